"""The references agree with PyTorch on NaN and infinities, and on many random shapes."""

from functools import partial

import pytest

torch = pytest.importorskip("torch")

from tests.cases import conv as conv_cases
from tests.cases import gemm as gemm_cases
from tests.cases import generated, special
from tests.cases import norm as norm_cases
from tests.cases import pool as pool_cases
from tests.cases import resample as resample_cases
from tests.cases import softmax as softmax_cases
from tests.parity.validate import validate
from tests.reference import conv, gemm, norm, pool, resample, softmax

F = torch.nn.functional


def check(function, module, name, case, skip=(), **extra):
    forward, backward = (getattr(module, f"{name}_{way}") for way in ("forward", "backward"))
    validate(function, forward, backward, case, skip=skip, kwargs=extra)


GENERATED = [
    (torch.matmul, gemm, "matmul", generated.matmul, {}),
    (F.linear, gemm, "linear", generated.linear, {}),
    (F.softmax, softmax, "softmax", generated.softmax, {}),
    (F.log_softmax, softmax, "log_softmax", generated.softmax, {}),
    (F.layer_norm, norm, "layer_norm", generated.layer_norm, {}),
    (F.batch_norm, norm, "batch_norm", generated.batch_norm, {}),
    *[
        (getattr(F, f"{name}{n}d"), module, name, partial(getattr(generated, name), n), extra)
        for n in (1, 2, 3)
        for module, name, extra in (
            (conv, "conv", {}),
            (conv, "conv_transpose", {}),
            (pool, "max_pool", {"n": n}),
            (pool, "avg_pool", {"n": n}),
        )
    ],
]


@pytest.mark.parametrize(
    "function, module, name, cases, extra",
    [pytest.param(*row, id=f"{row[2]}-{i}") for i, row in enumerate(GENERATED)],
)
def test_generated(function, module, name, cases, extra):
    for case in cases(count=40):
        check(function, module, name, case, skip=(1, 2) if name == "batch_norm" else (), **extra)


def named(rows, id):
    return next(case for case in rows if case.id == id)


SPECIAL = [
    (torch.matmul, gemm, "matmul", named(gemm_cases.MATMUL, "primes")),
    (F.linear, gemm, "linear", named(gemm_cases.LINEAR, "batch")),
    (F.conv2d, conv, "conv", named(conv_cases.CONV2D, "3x3")),
    (F.conv2d, conv, "conv", named(conv_cases.CONV2D, "groups")),
    (F.conv2d, conv, "conv", named(conv_cases.CONV2D, "7x7-stride2")),
    (F.max_pool2d, pool, "max_pool", named(pool_cases.MAX2D, "3x3-stride2")),
    (F.avg_pool2d, pool, "avg_pool", named(pool_cases.AVG2D, "exclude-pad")),
    (F.softmax, softmax, "softmax", named(softmax_cases.SOFTMAX, "rows")),
    (F.log_softmax, softmax, "log_softmax", named(softmax_cases.SOFTMAX, "rows")),
    (F.batch_norm, norm, "batch_norm", named(norm_cases.BATCH, "train-2d")),
    (F.batch_norm, norm, "batch_norm", named(norm_cases.BATCH, "eval-2d")),
    (F.layer_norm, norm, "layer_norm", named(norm_cases.LAYER, "last")),
    (F.group_norm, norm, "group_norm", named(norm_cases.GROUP, "2d")),
    (F.interpolate, resample, "interpolate", named(resample_cases.INTERPOLATE, "nearest-2d")),
]


@pytest.mark.parametrize(
    "function, module, name, case", SPECIAL, ids=lambda v: v if isinstance(v, str) else ""
)
def test_special(function, module, name, case):
    check(function, module, name, special(case), skip=(1, 2) if name == "batch_norm" else ())
