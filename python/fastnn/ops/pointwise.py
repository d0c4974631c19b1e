"""Elementwise functions of one tensor, conversion and copying, where and clamp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError
from .._memory_format import channels_go_last, contiguous_format
from ..autograd.node import Node, record, wants_grad
from . import inplace
from ._integers import stored
from ._util import TensorBase, as_array, as_tensor_operand, cast, require_tensor, wide, wrap
from .arithmetic import reduce_to

_PI_FACTOR = 2 / np.sqrt(np.pi)
_LN2, _LN10 = float(np.log(2)), float(np.log(10))


def _unary(
    name: str,
    derivative: Callable[..., Any],
    saves: str = "inputs",
    floats: bool = True,
    doc: str = "",
) -> Callable[..., Any]:
    """An op of one operand. derivative(g, saved) gives the gradient; saves: 'inputs', 'output' or ''."""

    def backward(node: Node, g: Any) -> Any:
        return derivative(g, *node.saved_tensors())

    backward.__name__ = name + "_backward"
    return _core.make_unary(name, backward, saves, floats, doc or f"Elementwise {name}.")


def zero_like_number(t: Any) -> Any:
    """A 0-d zero of t's dtype."""
    return wrap(np.zeros((), t._data.dtype))


def _zero(g: Any, *_: Any) -> Any:
    return g * 0.0


neg = _unary("neg", lambda g: -g, "", floats=False, doc="``-input``.")
abs = _unary("abs", lambda g, x: g * x.sign(), floats=False, doc="The absolute value.")
sign = _unary("sign", _zero, "", floats=False, doc="-1, 0 or 1.")
sqrt = _unary("sqrt", lambda g, y: g / (y * 2.0), "output")
rsqrt = _unary("rsqrt", lambda g, y: g * (y * y * y) * -0.5, "output", doc="``1 / sqrt(input)``.")
square = _unary("square", lambda g, x: g * (x * 2.0), floats=False, doc="``input * input``.")
reciprocal = _unary("reciprocal", lambda g, y: -g * (y * y), "output", doc="``1 / input``.")
exp = _unary("exp", lambda g, y: g * y, "output")
exp2 = _unary("exp2", lambda g, y: g * y * _LN2, "output", doc="``2 ** input``.")
expm1 = _unary(
    "expm1", lambda g, y: g * (y + 1.0), "output", doc="``exp(input) - 1``, exact near 0."
)
log = _unary("log", lambda g, x: g / x)
log2 = _unary("log2", lambda g, x: g / (x * _LN2))
log10 = _unary("log10", lambda g, x: g / (x * _LN10))
log1p = _unary("log1p", lambda g, x: g / (x + 1.0), doc="``log(1 + input)``, exact near 0.")
sin = _unary("sin", lambda g, x: g * x.cos())
cos = _unary("cos", lambda g, x: -g * x.sin())
tan = _unary("tan", lambda g, y: g * (y * y + 1.0), "output")
sinh = _unary("sinh", lambda g, x: g * x.cosh())
cosh = _unary("cosh", lambda g, x: g * x.sinh())
asin = _unary("asin", lambda g, x: g * (1.0 - x * x).rsqrt())
acos = _unary("acos", lambda g, x: -g * (1.0 - x * x).rsqrt())
atan = _unary("atan", lambda g, x: g / (x * x + 1.0))
asinh = _unary("asinh", lambda g, x: g * (x * x + 1.0).rsqrt())
acosh = _unary("acosh", lambda g, x: g * (x * x - 1.0).rsqrt())
atanh = _unary("atanh", lambda g, x: g / (1.0 - x * x))
erf = _unary("erf", lambda g, x: g * (-(x * x)).exp() * _PI_FACTOR, doc="The error function.")
erfc = _unary("erfc", lambda g, x: g * (-(x * x)).exp() * -_PI_FACTOR, doc="``1 - erf(input)``.")
floor = _unary("floor", _zero, "", floats=False, doc="The largest integer not above.")
ceil = _unary("ceil", _zero, "", floats=False, doc="The smallest integer not below.")
trunc = _unary("trunc", _zero, "", floats=False, doc="The integer part.")
frac = _unary("frac", lambda g: g, "", doc="The fractional part, with the sign of the input.")
_round = _unary("round", _zero, "", floats=False)


def round(input: Any, *, decimals: int = 0) -> Any:
    """To the nearest integer (halves to even), or to that many decimals."""
    if decimals == 0:
        return _round(input)
    scale = 10.0**decimals
    return _round(input * scale) / scale


def _test(name: str, test: Callable[[np.ndarray], Any], doc: str) -> Callable[..., Any]:
    def op(input: Any) -> Any:
        return wrap(as_array(test(wide(require_tensor(input, name)._data))))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


isnan = _test("isnan", np.isnan, "Where NaN is.")
isinf = _test("isinf", np.isinf, "Where an infinity is.")
isfinite = _test("isfinite", np.isfinite, "Where neither NaN nor an infinity is.")
isposinf = _test("isposinf", np.isposinf, "Where +infinity is.")
isneginf = _test("isneginf", np.isneginf, "Where -infinity is.")
signbit = _test("signbit", np.signbit, "Where the sign bit is set.")


def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """NaN and infinities replaced by numbers (infinities by the dtype's limits unless given)."""
    d = dtypes.of_array(require_tensor(input, "nan_to_num")._data)
    if not d.is_floating_point:
        return input.clone()
    info = dtypes.finfo(d)
    out = where(isnan(input), nan, input)
    out = where(isposinf(input), info.max if posinf is None else posinf, out)
    return where(isneginf(input), info.min if neginf is None else neginf, out)


def logit(input: Any, eps: float | None = None) -> Any:
    """``log(x / (1 - x))``, with x first clamped to [eps, 1 - eps] when eps is given."""
    x = require_tensor(input, "logit")
    if x._data.dtype.kind in "iub":
        x = x.to(dtypes.get_default_dtype())
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return (x / (1.0 - x)).log()


# ---- conversion and copies ---------------------------------------------------------------------------------------


def to_dtype(input: Any, d: dtypes.dtype) -> Any:
    """The elements as dtype `d` (a copy)."""
    out = wrap(cast(input._data, d.numpy))
    if d.is_floating_point and wants_grad(input):
        record(out, _to_backward, (input,), (), dtypes.of_array(input._data))
    return out


def _to_backward(node: Node, g: Any) -> Any:
    return g.to(node.ctx)


def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy, with gradient; in the same memory order unless a memory_format is given."""
    a = require_tensor(input, "clone")._data
    if channels_go_last(memory_format, "clone"):
        data = np.moveaxis(_core.copy(np.ascontiguousarray(np.moveaxis(a, 1, -1))), -1, 1)
    elif memory_format is contiguous_format and not a.flags.c_contiguous:
        data = _core.contiguous(a)
    else:
        data = _core.copy(a)
    out = wrap(data)
    if wants_grad(input):
        record(out, _clone_backward, (input,), ())
    return out


def _clone_backward(node: Node, g: Any) -> Any:
    return g


# ---- choosing ----------------------------------------------------------------------------------------------------


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, else `other`; with the condition alone, nonzero(as_tuple=True)."""
    require_tensor(condition, "where", "condition")
    if input is None:
        from .masking import nonzero

        return nonzero(condition, as_tuple=True)
    mask = condition._data
    if mask.dtype == np.uint8:  # PyTorch's masks of old
        mask = mask != 0
    if mask.dtype != np.bool_:
        raise DTypeError(
            f"where: condition must be a bool tensor, got {mask.dtype}; compare it first"
        )
    d = dtypes.result_type(input, other).numpy
    a = as_tensor_operand(stored(input, d, "where"), "where", "input")
    b = as_tensor_operand(stored(other, d, "where"), "where", "other")
    out = wrap(_core.where(mask, cast(a._data, d), cast(b._data, d)))
    if wants_grad(a, b):
        meta = ((a._data.shape, a._data.dtype), (b._data.shape, b._data.dtype))
        record(out, _where_backward, (a, b), (), (mask, meta))
    return out


def _where_backward(node: Node, g: Any) -> tuple:
    mask, (meta_a, meta_b) = node.ctx
    condition, zero = wrap(mask), zero_like_number(g)
    ea, eb = node.edges
    return (
        None if ea is None else reduce_to(where(condition, g, zero), *meta_a),
        None if eb is None else reduce_to(where(condition, zero, g), *meta_b),
    )


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Limits every element to [min, max]; bounds are numbers or tensors, one may be None. NaN stays."""
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, TensorBase) or isinstance(max, TensorBase):
        from .arithmetic import maximum, minimum

        out = input
        if min is not None:
            out = maximum(out, as_tensor_operand(min, "clamp", "min"))
        return out if max is None else minimum(out, as_tensor_operand(max, "clamp", "max"))
    d = dtypes.result_type(*[v for v in (input, min, max) if v is not None]).numpy
    x = cast(input._data, d)
    min, max = stored(min, d, "clamp"), stored(max, d, "clamp")
    out = wrap(_core.clamp(x, min, max))
    if wants_grad(input):
        record(out, _clamp_backward, (input,), (input,), (min, max))
    return out


def _clamp_backward(node: Node, g: Any) -> Any:
    (x,) = node.saved_tensors()
    low, high = node.ctx
    a = wide(x._data)
    inside = True if low is None else a >= low
    if high is not None:
        inside = (a <= high) & inside
    return where(wrap(as_array(inside)), g, zero_like_number(g))


clip = clamp


def clamp_min(input: Any, min: Any) -> Any:
    """clamp() from below."""
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Any:
    """clamp() from above."""
    return clamp(input, max=max)


# ---- in place ----------------------------------------------------------------------------------------------------


_WITH_INPLACE = (
    "neg abs sign sqrt rsqrt square reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh asin "
    "acos atan asinh acosh atanh erf erfc floor ceil trunc frac round clamp clamp_min clamp_max nan_to_num "
    "logit clip"
).split()
for _name in _WITH_INPLACE:
    globals()[_name + "_"] = inplace.in_place(_name + "_", globals()[_name])

negative, absolute, arcsin, arccos, arctan = neg, abs, asin, acos, atan

METHODS = [
    *_WITH_INPLACE,
    *[n + "_" for n in _WITH_INPLACE],
    *(
        "isnan isinf isfinite isposinf isneginf signbit clone negative absolute arcsin arccos arctan"
    ).split(),
]


def _where_method(self: Any, condition: Any, other: Any) -> Any:
    return where(condition, self, other)


OPERATORS: dict[str, Callable[..., Any]] = {
    "__neg__": neg,
    "__pos__": lambda self: self,
    "__abs__": abs,
    "where": _where_method,
}
