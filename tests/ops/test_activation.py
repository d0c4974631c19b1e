"""Activation kernels on arrays: forward and backward through the harness, and what NaN and infinity do."""

import numpy as np
import pytest

from fastnn import _core
from tests.cases import activations as cases
from tests.harness import check_op
from tests.reference import activations as reference

NAMES = [n for n in cases.PARAMETERS if n not in ("exp", "log", "erf", "rrelu")]
SAVES_OUTPUT = ("relu", "sigmoid", "tanh")
DEFAULTS = {
    "leaky_relu": {"negative_slope": 0.01},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "hardshrink": {"lambd": 0.5},
    "softshrink": {"lambd": 0.5},
}
DTYPES = ("float32", "float64", "bfloat16", "float16")


def parameters(name, kwargs):
    if name == "gelu":
        return [float(kwargs.get("approximate", "none") == "tanh")]
    return list({**DEFAULTS.get(name, {}), **kwargs}.values())


def kernels(name):
    def forward(x, **kwargs):
        return _core.activation(name, x, *parameters(name, kwargs))

    def backward(dy, x, **kwargs):
        p = parameters(name, kwargs)
        saved = _core.activation(name, x, *p) if name in SAVES_OUTPUT else x
        return (_core.activation_backward(name, dy, saved, *p),)

    forward.__name__ = name
    return forward, backward


@pytest.mark.parametrize("case", [c for n in NAMES for c in cases.cases(n)], ids=str)
def test_kernels(case):
    name = str(case).rsplit("-", 1)[0]
    known = reference.ACTIVATIONS[name]
    # The gradient of an output that was rounded to 16 bits is not that of the exact output.
    dtypes = DTYPES[:2] if name in SAVES_OUTPUT else DTYPES
    check_op(
        kernels(name), known.forward, known.backward, case, ceilings="activation", dtypes=dtypes
    )


def per_channel(weight, x):
    return weight.reshape(-1, *(1,) * (x.ndim - 2)) if weight.size > 1 else weight


def prelu(x, weight):
    return _core.prelu(x, per_channel(weight, x))


def prelu_backward(dy, x, weight):
    dw = _core.prelu_weight_backward(dy, x)
    axes = tuple(a for a in range(x.ndim) if a != 1 or weight.size == 1)
    return (
        _core.prelu_backward(dy, x, per_channel(weight, x)),
        _core.sum(dw, axes).reshape(weight.shape),
    )


@pytest.mark.parametrize("case", cases.PRELU, ids=str)
def test_prelu(case):
    check_op((prelu, prelu_backward), reference.prelu_forward, reference.prelu_backward, case)


def glu(x, dim=-1):
    return _core.glu(*np.split(x, 2, axis=dim))


def glu_backward(dy, x, dim=-1):
    a, b = np.split(x, 2, axis=dim)
    dx = np.empty(x.shape, x.dtype)
    da, db = np.split(dx, 2, axis=dim)
    _core.glu_value_backward(dy, b, out=da)
    _core.glu_gate_backward(dy, a, b, out=db)
    return (dx,)


@pytest.mark.parametrize("case", cases.GLU, ids=str)
def test_glu(case):
    check_op((glu, glu_backward), reference.glu_forward, reference.glu_backward, case)


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_where_it_is(name):
    forward, _ = kernels(name)
    kwargs = {"threshold": 0.5, "value": 2.0} if name == "threshold" else {}
    for n in (1, 5, 40):
        for at in range(n):
            x = np.ones(n, np.float32)
            x[at] = np.nan
            assert np.isnan(forward(x, **kwargs)).tolist() == np.isnan(x).tolist()


LIMITS = {
    "relu": (0, np.inf), "relu6": (0, 6), "elu": (-1, np.inf), "selu": (-1.7580993408473766, np.inf),
    "celu": (-1, np.inf), "softplus": (0, np.inf), "sigmoid": (0, 1), "tanh": (-1, 1),
    "logsigmoid": (-np.inf, 0), "hardsigmoid": (0, 1), "hardtanh": (-1, 1),
    "hardshrink": (-np.inf, np.inf), "softshrink": (-np.inf, np.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_infinities(name):
    got = kernels(name)[0](np.array([-np.inf, np.inf], np.float32))
    assert np.array_equal(got, np.array(LIMITS[name], np.float32))


def test_tails_keep_their_digits():
    x = np.array([-80.0, -30.0, 30.0, 80.0])
    for dtype, rtol in ((np.float32, 1e-6), (np.float64, 1e-14)):
        y = x.astype(dtype)
        e = np.exp(-np.abs(x))
        s, log = e / (1 + e), np.log1p(e)
        np.testing.assert_allclose(_core.sigmoid(y)[:2], s[:2], rtol=rtol)
        log_sigmoid = [-80 - log[0], -30 - log[1], -log[2], -log[3]]
        np.testing.assert_allclose(_core.logsigmoid(y), log_sigmoid, rtol=rtol)
        np.testing.assert_allclose(_core.softplus(y, 1.0, 20.0), [*log[:2], 30, 80], rtol=rtol)
        np.testing.assert_allclose(_core.silu(y)[:2], x[:2] * s[:2], rtol=rtol)
        small = np.array([1e-3, -1e-3], dtype)
        np.testing.assert_allclose(_core.tanhshrink(small), small.astype("f8") ** 3 / 3, rtol=1e-6)


def test_refusals():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="unknown activation"):
        _core.activation("swoosh", x)
    with pytest.raises(ValueError, match="unknown activation"):
        _core.activation("prelu", x)
    with pytest.raises(ValueError, match="missing"):
        _core.activation("elu", x)
    with pytest.raises(TypeError, match="floating point"):
        _core.activation("relu", np.arange(3))
