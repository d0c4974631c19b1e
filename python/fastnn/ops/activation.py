"""Activations: one kernel call forward, one backward; a composition of ops where the gradient is differentiated again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _core, dtypes
from .._errors import DTypeError, ShapeError
from . import inplace as _inplace
from ._narrow import in_float32
from ._util import dim_of, require_float, require_tensor
from .pointwise import clamp, where, zero_like_number


def _zero(g: Any) -> Any:
    return zero_like_number(g)


def _gelu_derivative(g: Any, x: Any, kind: float, _: float) -> Any:
    if kind == 0:
        cdf = ((x * math.sqrt(0.5)).erf() + 1.0) * 0.5
        return g * (cdf + x * (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi)))
    k = math.sqrt(2 / math.pi)
    t = ((x + x * x * x * 0.044715) * k).tanh()
    return g * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * (x * x * (3 * 0.044715) + 1.0) * k)


def _mish_derivative(g: Any, x: Any, *_: float) -> Any:
    s = x.sigmoid()
    t = _softplus(x, 1.0, 20.0).tanh()
    return g * (t + x * s * (1.0 - t * t))


# name: (what is saved, the derivative as ops: f(g, saved, p0, p1))
_DERIVATIVES: dict[str, tuple[str, Callable[..., Any]]] = {
    "relu": ("y", lambda g, y, *_: where(y > 0, g, _zero(g))),
    "relu6": ("x", lambda g, x, *_: where((x > 0) & (x < 6), g, _zero(g))),
    "leaky_relu": ("x", lambda g, x, slope, _: where(x > 0, g, g * slope)),
    "elu": ("x", lambda g, x, alpha, _: where(x > 0, g, g * x.exp() * alpha)),
    "selu": (
        "x",
        lambda g, x, *_: where(x > 0, g * _SELU_SCALE, g * x.exp() * (_SELU_SCALE * _SELU_ALPHA)),
    ),
    "celu": ("x", lambda g, x, alpha, _: where(x > 0, g, g * (x / alpha).exp())),
    "gelu": ("x", _gelu_derivative),
    "silu": ("x", lambda g, x, *_: g * x.sigmoid() * (x * (1.0 - x.sigmoid()) + 1.0)),
    "mish": ("x", _mish_derivative),
    "softplus": (
        "x",
        lambda g, x, beta, limit: where(x * beta > limit, g, g * (x * beta).sigmoid()),
    ),
    "softsign": ("x", lambda g, x, *_: g / (x.abs() + 1.0).square()),
    "sigmoid": ("y", lambda g, y, *_: g * y * (1.0 - y)),
    "tanh": ("y", lambda g, y, *_: g * (1.0 - y * y)),
    "logsigmoid": ("x", lambda g, x, *_: g * (-x).sigmoid()),
    "hardsigmoid": ("x", lambda g, x, *_: where((x > -3) & (x < 3), g * (1 / 6), _zero(g))),
    "hardswish": (
        "x",
        lambda g, x, *_: where(x <= -3, _zero(g), where(x < 3, g * (x * (1 / 3) + 0.5), g)),
    ),
    "hardtanh": ("x", lambda g, x, low, high: where((x > low) & (x < high), g, _zero(g))),
    "hardshrink": ("x", lambda g, x, limit, _: where((x > limit) | (x < -limit), g, _zero(g))),
    "softshrink": ("x", lambda g, x, limit, _: where((x > limit) | (x < -limit), g, _zero(g))),
    "tanhshrink": ("x", lambda g, x, *_: g * x.tanh().square()),
    "threshold": ("x", lambda g, x, limit, _: where(x > limit, g, _zero(g))),
}
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _made(name: str, derivative: str = "") -> Callable[..., Any]:
    saves, function = _DERIVATIVES[derivative or name]
    return _core.make_activation(name, "output" if saves == "y" else "inputs", function)


_OPS = {name: _made(name) for name in _DERIVATIVES}
_OPS["gelu_tanh"] = _made("gelu_tanh", "gelu")
_relu = _OPS["relu"]


def _apply(name: str, input: Any, inplace_: bool = False, *p: float) -> Any:
    """The activation with its parameters."""
    if inplace_:
        return _inplace.apply(input, name + "_", lambda x: _apply(name, x, False, *p))
    return _OPS[name](input, *p)


def relu(input: Any, inplace: bool = False) -> Any:
    """``max(input, 0)``; NaN stays. Of integers too."""
    if inplace:
        return _inplace.apply(input, "relu_", relu)
    try:
        return _relu(input)
    except DTypeError:
        return _clamped_integers(input, "relu", 0, None)


def _clamped_integers(input: Any, op: str, low: int, high: int | None) -> Any:
    """relu() and relu6() of integers."""
    if input._data.dtype.kind not in "iu":
        raise DTypeError(f"{op}: Boolean inputs not supported for {op}")
    return clamp(input, low, high)


def relu6(input: Any, inplace: bool = False) -> Any:
    """``min(max(input, 0), 6)``. Of integers too."""
    if inplace:
        return _inplace.apply(input, "relu6_", relu6)
    try:
        return _apply("relu6", input)
    except DTypeError:
        return _clamped_integers(input, "relu6", 0, 6)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """The input where positive, ``negative_slope * input`` elsewhere."""
    return _apply("leaky_relu", input, inplace, negative_slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """The input where positive, ``alpha * (exp(input) - 1)`` elsewhere (Clevert et al., 2015)."""
    return _apply("elu", input, inplace, alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """ELU with the self-normalising scale and alpha of Klambauer et al., 2017."""
    return _apply("selu", input, inplace)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron, 2017)."""
    if alpha == 0:
        raise RuntimeError("celu: ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply("celu", input, inplace, alpha)


def gelu(input: Any, approximate: str = "none") -> Any:
    """``x * Φ(x)``, exact or by the tanh approximation (Hendrycks and Gimpel, 2016)."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(
            f"gelu: approximate argument must be either none or tanh, got {approximate}"
        )
    exact = approximate == "none"
    return _apply("gelu" if exact else "gelu_tanh", input, False, 0.0 if exact else 1.0)


def silu(input: Any, inplace: bool = False) -> Any:
    """``x * sigmoid(x)``, also called swish."""
    return _apply("silu", input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """``x * tanh(softplus(x))`` (Misra, 2019)."""
    return _apply("mish", input, inplace)


def _softplus(input: Any, beta: float, threshold: float) -> Any:
    return _apply("softplus", input, False, float(beta), float(threshold))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + exp(beta * x)) / beta``; x itself where ``beta * x > threshold``."""
    return _softplus(input, beta, threshold)


def softsign(input: Any) -> Any:
    """``x / (1 + |x|)``."""
    return _apply("softsign", input)


def _of_integers(op: str, input: Any) -> Any:
    """`op` of integers and bools, in the default dtype: what PyTorch's mathematical functions do."""
    return _apply(op, input.to(dtypes.get_default_dtype()))


def sigmoid(input: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    try:
        return _apply("sigmoid", input)
    except DTypeError:
        if input._data.dtype.kind not in "iub":
            raise
        return _of_integers("sigmoid", input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent."""
    try:
        return _apply("tanh", input)
    except DTypeError:
        if input._data.dtype.kind not in "iub":
            raise
        return _of_integers("tanh", input)


def logsigmoid(input: Any) -> Any:
    """``log(sigmoid(x))``, without overflow."""
    return _apply("logsigmoid", input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """``clamp(x / 6 + 1/2, 0, 1)``."""
    return _apply("hardsigmoid", input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """``x * hardsigmoid(x)`` (Howard et al., 2019)."""
    return _apply("hardswish", input, inplace)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """``clamp(x, min_val, max_val)``."""
    if min_val > max_val:
        raise ValueError(
            f"hardtanh: min_val cannot be greater than max_val, got {min_val}, {max_val}"
        )
    return _apply("hardtanh", input, inplace, float(min_val), float(max_val))


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """0 where ``|x| <= lambd``, x elsewhere."""
    return _apply("hardshrink", input, False, lambd)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards 0 by lambd, 0 where ``|x| <= lambd``."""
    if lambd < 0:
        raise RuntimeError(
            f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}."
        )
    return _apply("softshrink", input, False, lambd)


def tanhshrink(input: Any) -> Any:
    """``x - tanh(x)``."""
    return _apply("tanhshrink", input)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where ``x > threshold``, `value` elsewhere."""
    return _apply("threshold", input, inplace, float(threshold), float(value))


def relu_(input: Any) -> Any:
    """In-place relu()."""
    return relu(input, True)


def relu6_(input: Any) -> Any:
    """In-place relu6()."""
    return relu6(input, True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """In-place leaky_relu()."""
    return leaky_relu(input, negative_slope, True)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """In-place elu()."""
    return elu(input, alpha, True)


def selu_(input: Any) -> Any:
    """In-place selu()."""
    return selu(input, True)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """In-place celu()."""
    return celu(input, alpha, True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """In-place hardtanh()."""
    return hardtanh(input, min_val, max_val, True)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """In-place threshold()."""
    return _apply("threshold", input, True, float(threshold), float(value))


def rrelu_(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Any:
    """In-place rrelu()."""
    return rrelu(input, lower, upper, training, True)


def prelu(input: Any, weight: Any) -> Any:
    """The input where positive, ``weight * input`` elsewhere; one weight, or one for each channel (dim 1)."""
    require_float(input, "prelu")
    require_tensor(weight, "prelu", "weight")
    n = weight._data.size
    if n != 1:
        channels = input._data.shape[1] if input._data.ndim > 1 else 1
        if weight._data.ndim > 1 or n != channels:
            raise ShapeError(
                f"prelu: Mismatch of parameter numbers and input channel size. Found parameter numbers "
                f"= {n}, channel size = {channels}"
            )
        weight = weight.reshape([n if i == 1 else 1 for i in range(input._data.ndim)])
    return where(input > 0, input, weight * input)


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """leaky_relu() with a slope drawn from U(lower, upper) for each element in training, else their mean."""
    if lower > upper:
        raise RuntimeError(
            f"rrelu: lower bound {lower} should be less than or equal to upper {upper}"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    from .random import rand_like

    slope = rand_like(input) * (upper - lower) + lower
    out = where(input > 0, input, input * slope)
    return input.copy_(out) if inplace else out


def glu(input: Any, dim: int = -1) -> Any:
    """``a * sigmoid(b)`` for the two halves a, b of `dim` (Dauphin et al., 2016)."""
    d = dim_of(input, dim, "glu")
    if input._data.shape[d] % 2:
        raise RuntimeError(
            f"glu: Halving dimension must be even, but dimension {d} is size {input._data.shape[d]}"
        )
    a, b = input.chunk(2, d)
    return a * sigmoid(b)


@in_float32
def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """``input / max(‖input‖_p, eps)`` along `dim`."""
    require_tensor(input, "normalize")
    return input / input.norm(p, dim, True).clamp_min(eps).expand_as(input)


sigmoid_, tanh_ = _inplace.in_place("sigmoid_", sigmoid), _inplace.in_place("tanh_", tanh)

METHODS = ["relu", "relu_", "sigmoid", "sigmoid_", "tanh", "tanh_", "prelu", "hardshrink"]
