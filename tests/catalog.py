"""Every operator with a reference: its name under torch.nn.functional (or torch), cases and bar.

One table for all who go through the operators: finite differences of the references, parity of
the references with PyTorch, and the tests of fastnn's own functions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps

from tests.cases import activations as activation_cases
from tests.cases import conv as conv_cases
from tests.cases import distance as distance_cases
from tests.cases import embedding as embedding_cases
from tests.cases import gemm as gemm_cases
from tests.cases import losses as loss_cases
from tests.cases import norm as norm_cases
from tests.cases import pool as pool_cases
from tests.cases import rearrange as rearrange_cases
from tests.cases import resample as resample_cases
from tests.cases import softmax as softmax_cases
from tests.reference import (
    activations,
    conv,
    distance,
    embedding,
    gemm,
    loss_class,
    norm,
    pad,
    pool,
    rearrange,
    resample,
    softmax,
)
from tests.reference.common import as_tuple
from tests.reference.loss_pointwise import LOSSES


@dataclass(frozen=True)
class Operator:
    """``forward`` and ``backward`` are the references, ``ceilings`` a key of harness.CEILINGS."""

    name: str
    forward: Callable
    backward: Callable
    cases: list
    ceilings: str

    def of(self, library):
        """The function in a library shaped like torch, or None."""
        functional = library.nn.functional
        function = getattr(functional, self.name, None) or getattr(library, self.name, None)
        if function and self.name in ("conv1d", "conv2d", "conv3d"):
            return _with_padding_modes(functional, function)
        return function


def _with_padding_modes(functional, convolve):
    """A convolution that knows the padding modes, which otherwise only the layers do."""

    @wraps(convolve)
    def convolve_padded(x, weight, bias=None, padding=0, padding_mode="zeros", **kwargs):
        if padding_mode != "zeros":
            dilation = as_tuple(kwargs.get("dilation", 1), weight.ndim - 2)
            pairs = conv.conv_padding(tuple(weight.shape[2:]), padding, dilation)
            last_axis_first = [p for pair in reversed(pairs) for p in pair]
            x, padding = functional.pad(x, last_axis_first, mode=padding_mode), 0
        return convolve(x, weight, bias, padding=padding, **kwargs)

    return convolve_padded


def _op(module, name, cases, ceilings, torch_name=None, **options):
    """``<name>_forward`` and ``<name>_backward`` of a reference module."""
    ways = (getattr(module, f"{name}_{way}") for way in ("forward", "backward"))
    forward, backward = (partial(way, **options) if options else way for way in ways)
    return Operator(torch_name or name, forward, backward, cases, ceilings)


def _dense():
    matmul = gemm_cases.MATMUL + gemm_cases.VECTORS + gemm_cases.BATCHED
    yield _op(gemm, "matmul", matmul, "gemm")
    yield _op(gemm, "linear", gemm_cases.LINEAR, "gemm")
    yield _op(gemm, "addmm", gemm_cases.ADDMM, "gemm")
    yield _op(gemm, "baddbmm", gemm_cases.BADDBMM, "gemm")
    yield _op(distance, "bilinear", distance_cases.BILINEAR, "gemm")
    for n in (1, 2, 3):
        cases = getattr(conv_cases, f"CONV{n}D")
        yield _op(conv, "conv", cases, "conv", f"conv{n}d")
        cases = getattr(conv_cases, f"CONV_TRANSPOSE{n}D")
        yield _op(conv, "conv_transpose", cases, "conv_transpose", f"conv_transpose{n}d")


def _pools():
    bars = {"max": "max_pool", "avg": "avg_pool", "lp": "activation"}
    for n in (1, 2, 3):
        for kind, bar in bars.items():
            cases = getattr(pool_cases, f"{kind.upper()}{n}D")
            yield _op(pool, f"{kind}_pool", cases, bar, f"{kind}_pool{n}d", n=n)
        rows = getattr(pool_cases, f"ADAPTIVE{n}D")
        for kind, make in (("max", pool_cases.distinct), ("avg", pool_cases.normal)):
            cases, name = pool_cases.adaptive(rows, make), f"adaptive_{kind}_pool"
            yield _op(pool, name, cases, bars[kind], f"{name}{n}d", n=n)


def _pointwise():
    for name, activation in activations.ACTIVATIONS.items():
        cases = activation_cases.cases(name)
        yield Operator(name, activation.forward, activation.backward, cases, "activation")
    yield _op(activations, "prelu", activation_cases.PRELU, "activation")
    yield _op(activations, "glu", activation_cases.GLU, "activation")
    for name in ("softmax", "log_softmax", "softmin"):
        yield _op(softmax, name, softmax_cases.SOFTMAX, "softmax")
    for name in ("batch", "layer", "rms", "group", "instance", "local_response"):
        yield _op(norm, f"{name}_norm", getattr(norm_cases, name.upper()), "norm")


def _losses():
    for name, loss in LOSSES.items():
        yield Operator(name, loss.forward, loss.backward, loss_cases.POINTWISE[name], "loss")
    yield _op(loss_class, "cross_entropy", loss_cases.CROSS_ENTROPY, "loss")
    for name in ("nll", "multi_margin", "multilabel_margin", "multilabel_soft_margin"):
        yield _op(loss_class, f"{name}_loss", getattr(loss_cases, name.upper()), "loss")
    for name in ("triplet_margin", "gaussian_nll", "cosine_embedding", "margin_ranking"):
        yield _op(distance, f"{name}_loss", getattr(loss_cases, name.upper()), "distance")
    for name in ("pairwise_distance", "normalize", "cosine_similarity", "pdist"):
        yield _op(distance, name, getattr(distance_cases, name.upper()), "distance")


def _moving():
    yield _op(resample, "interpolate", resample_cases.INTERPOLATE, "resample")
    yield _op(resample, "affine_grid", resample_cases.AFFINE_GRID, "gemm")
    yield _op(resample, "grid_sample", resample_cases.GRID_SAMPLE, "grid_sample")
    yield _op(pad, "pad", rearrange_cases.PAD, "rearrange")
    for name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"):
        yield _op(rearrange, name, getattr(rearrange_cases, name.upper()), "copy")
    yield _op(rearrange, "unfold", rearrange_cases.UNFOLD, "rearrange")
    yield _op(rearrange, "fold", rearrange_cases.FOLD, "sum")
    yield _op(embedding, "embedding", embedding_cases.EMBEDDING, "embedding")
    yield _op(embedding, "embedding_bag", embedding_cases.EMBEDDING_BAG, "sum")


OPERATORS = [*_dense(), *_pools(), *_pointwise(), *_losses(), *_moving()]

# Cases (by id) whose written gradient is not the derivative of the forward formula: at ties, where
# torch clamps outside of its tape, and where a parameter asks for another gradient.
NOT_DERIVATIVES = {
    "ties",
    "below-eps",
    "clamped",
    "padding",
    "padding-negative",
    "frequency",
}


def differentiable(case):
    """Whether finite differences make sense: the gradient is the derivative, and not too long."""
    return case.id not in NOT_DERIVATIVES and not case.id.endswith(("long", "huge"))
