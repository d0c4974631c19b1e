"""Arithmetic and comparisons with broadcasting and PyTorch's type promotion."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError
from ..autograd.node import Node
from . import inplace
from ._integers import stored
from ._util import TensorBase, as_tensor_operand, require_tensor, require_tensors, store, wrap

_NUMBERS = (int, float, bool)
_core.set_store(store)


def reduce_to(g: Any, shape: tuple, dtype: np.dtype) -> Any:
    """The gradient of a broadcast operand: `g` summed to its shape, in its dtype."""
    if g._data.shape != shape:
        g = g.sum_to_size(shape)
    if g._data.dtype != dtype:
        g = g.to(dtypes.as_dtype(dtype))
    return g


def _reduced(node: Node, ga: Any, gb: Any) -> tuple:
    """The gradients (None where not wanted), each brought back to its operand where that was broadcast or converted."""
    if node.ctx is None:
        return ga, gb
    ma, mb = node.ctx
    return (
        ga if ga is None or ma is None else reduce_to(ga, *ma),
        gb if gb is None or mb is None else reduce_to(gb, *mb),
    )


def _binary(
    name: str,
    backward: Callable[..., Any] | None = None,
    saves: str = "",
    floats: bool = False,
    doc: str = "",
) -> Callable[..., Any]:
    """``op(input, other, *, out=None)``, an op of two operands, tensors or numbers.

    saves: what backward needs, '' or 'inputs'. floats: integers become the default dtype first (true division).
    """
    return _core.make_binary(name, backward, saves, floats, doc)


def _add_backward(node: Node, g: Any) -> tuple:
    wa, wb = node.wanted
    return _reduced(node, g if wa else None, g if wb else None)


def _sub_backward(node: Node, g: Any) -> tuple:
    wa, wb = node.wanted
    return _reduced(node, g if wa else None, -g if wb else None)


def _mul_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    wa, wb = node.wanted
    return _reduced(node, g * b if wa else None, g * a if wb else None)


def _div_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    wa, wb = node.wanted
    return _reduced(node, g / b if wa else None, -(g * a) / (b * b) if wb else None)


def _pow_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()

    def base() -> Any:
        if not isinstance(b, TensorBase):
            return g * 0.0 if b == 0 else g * (b * pow(a, b - 1))
        from .pointwise import where

        return where(b == 0, wrap(np.zeros((), g._data.dtype)), g * (b * pow(a, b - 1)))

    def exponent() -> Any:
        from .pointwise import where, zero_like_number

        t = a if isinstance(a, TensorBase) else wrap(np.asarray(a, b._data.dtype))
        safe = where((t == 0) & (b >= 0), zero_like_number(b), (t**b) * t.log())
        return g * safe

    wa, wb = node.wanted
    return _reduced(node, base() if wa else None, exponent() if wb else None)


def _tied(node: Node, g: Any, first_wins: Callable[..., Any]) -> tuple:
    """maximum and minimum: the winner gets the gradient, both get half of it on a tie."""
    from .pointwise import where

    a, b = node.saved_tensors()
    zero, half = wrap(np.zeros((), g._data.dtype)), g * 0.5
    tie = where(a == b, half, zero)
    wa, wb = node.wanted
    return _reduced(
        node,
        where(first_wins(a, b), g, tie) if wa else None,
        where(first_wins(b, a), g, tie) if wb else None,
    )


def _maximum_backward(node: Node, g: Any) -> tuple:
    return _tied(node, g, gt)


def _minimum_backward(node: Node, g: Any) -> tuple:
    return _tied(node, g, lt)


def _atan2_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    scale = g / (a * a + b * b)
    wa, wb = node.wanted
    return _reduced(node, scale * b if wa else None, -scale * a if wb else None)


def _remainder_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    wa, wb = node.wanted
    return _reduced(node, g if wa else None, -g * floor_divide(a, b) if wb else None)


def _fmod_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    wa, wb = node.wanted
    return _reduced(node, g if wa else None, -g * (a / b).trunc() if wb else None)


add = _binary("add", _add_backward, doc="``input + alpha * other``.")
sub = _binary("sub", _sub_backward, doc="``input - alpha * other``.")


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``."""
    return sub(other, input, alpha=alpha)


mul = _binary("mul", _mul_backward, "inputs", doc="``input * other``.")
_true_div = _binary("div", _div_backward, "inputs", floats=True)


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """``input / other``; with rounding_mode 'trunc' or 'floor' rounded, in the promoted dtype."""
    if rounding_mode is None:
        return _true_div(input, other, out=out)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        if dtypes.result_type(input, other).is_floating_point:
            return _true_div(input, other).trunc()
        return _trunc_divide(input, other)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


_trunc_divide = _binary("trunc_divide")
floor_divide = _binary(
    "floor_divide",
    doc="``floor(input / other)`` in the promoted dtype (integer division for integers).",
)


_power = _binary("pow", _pow_backward, "inputs")


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent``. RuntimeError for integers to a negative whole number: cast to float."""
    if isinstance(exponent, int) and not 0 <= exponent < 128 and isinstance(input, TensorBase):
        d = input._data.dtype
        if d.kind in "iub" and exponent < 0:
            raise RuntimeError(
                f"pow: Integers to negative integer powers are not allowed, got {d} to the power "
                f"{exponent}; use .float() first"
            )
        stored(exponent, d, "pow")
    return _power(input, exponent, out=out)


maximum = _binary(
    "maximum", _maximum_backward, "inputs", doc="The larger of two, NaN if either is."
)
minimum = _binary(
    "minimum", _minimum_backward, "inputs", doc="The smaller of two, NaN if either is."
)
atan2 = _binary("atan2", _atan2_backward, "inputs", floats=True, doc="The angle of (other, input).")
remainder = _binary(
    "remainder",
    _remainder_backward,
    "inputs",
    doc="The remainder, with the divisor's sign.",
)
fmod = _binary("fmod", _fmod_backward, "inputs", doc="The remainder, with the dividend's sign.")


def fmax(input: Any, other: Any) -> Any:
    """The larger of two; a NaN loses."""
    require_tensors("fmax", input=input, other=other)
    from .pointwise import where

    return where(other.isnan(), input, where(input.isnan(), other, maximum(input, other)))


def fmin(input: Any, other: Any) -> Any:
    """The smaller of two; a NaN loses."""
    require_tensors("fmin", input=input, other=other)
    from .pointwise import where

    return where(other.isnan(), input, where(input.isnan(), other, minimum(input, other)))


def hypot(input: Any, other: Any) -> Any:
    """``sqrt(input**2 + other**2)``."""
    require_tensors("hypot", input=input, other=other)
    return (input * input + other * other).sqrt()


# ---- comparisons, logic, bits ------------------------------------------------------------------------------------

eq = _binary("eq", doc="Elementwise ``==``.")
ne = _binary("ne", doc="Elementwise ``!=``.")
lt = _binary("lt", doc="Elementwise ``<``.")
le = _binary("le", doc="Elementwise ``<=``.")
gt = _binary("gt", doc="Elementwise ``>``.")
ge = _binary("ge", doc="Elementwise ``>=``.")


logical_and = _binary("logical_and", doc="Elementwise ``and``.")
logical_or = _binary("logical_or", doc="Elementwise ``or``.")
logical_xor = _binary("logical_xor", doc="Elementwise ``xor``.")


def _integers_only(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def op(input: Any, other: Any) -> Any:
        for x, argument in ((input, "input"), (other, "other")):
            as_tensor_operand(x, name, argument)
        d = dtypes.result_type(input, other)
        if d.is_floating_point:
            raise RuntimeError(f"{name} is not implemented for {d}; it takes bools and integers")
        return function(input, other)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Elementwise {name.replace('_', ' ')}, of bools and integers."
    return op


def _by_numpy(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    """Rare integer ops are NumPy's, under our promotion."""

    def function(input: Any, other: Any) -> Any:
        d = dtypes.result_type(input, other).numpy
        x, y = (getattr(t, "_data", t) for t in (input, other))
        return wrap(np.asarray(ufunc(np.asarray(x).astype(d), np.asarray(y).astype(d))))

    return function


bitwise_and = _integers_only("bitwise_and", _binary("bitwise_and"))
bitwise_or = _integers_only("bitwise_or", _binary("bitwise_or"))
bitwise_xor = _integers_only("bitwise_xor", _binary("bitwise_xor"))
bitwise_left_shift = _integers_only("bitwise_left_shift", _by_numpy(np.left_shift))
bitwise_right_shift = _integers_only("bitwise_right_shift", _by_numpy(np.right_shift))


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements."""
    require_tensors("equal", input=input, other=other)
    return input._data.shape == other._data.shape and bool(np.all(eq(input, other)._data))


def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Elementwise ``|input - other| <= atol + rtol * |other|``."""
    require_tensors("isclose", input=input, other=other)
    if input._data.dtype != other._data.dtype:
        raise DTypeError(
            f"isclose: other must have input's dtype {input._data.dtype}, got {other._data.dtype}"
        )
    a = input._data.astype(np.float64)
    b = other._data.astype(np.float64)
    return wrap(np.asarray(np.isclose(a, b, rtol, atol, equal_nan)))


def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether isclose() holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


# ---- combinations ------------------------------------------------------------------------------------------------


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value * tensor1 * tensor2``."""
    product = tensor1 * tensor2
    return add(input, product if value == 1 else product * value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value * tensor1 / tensor2``."""
    quotient = tensor1 / tensor2
    return add(input, quotient if value == 1 else quotient * value)


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """``input + weight * (end - input)``."""
    require_tensor(input, "lerp")
    if require_tensor(end, "lerp", "end")._data.dtype != input._data.dtype:
        raise DTypeError(
            f"lerp: end must have input's dtype {input._data.dtype}, got {end._data.dtype}"
        )
    as_tensor_operand(weight, "lerp", "weight")
    return input + (end - input) * weight


# ---- in place ----------------------------------------------------------------------------------------------------


def _in_place(name: str, op: Callable[..., Any], kernel: str = "") -> Any:
    """``x.op_(other)``; kernel: the one that does it alone when there is no history and nothing to convert."""

    @functools.wraps(op)
    def method(self: Any, other: Any, **kwargs: Any) -> Any:
        return inplace.apply(self, name, op, other, **kwargs)

    method.__name__ = name
    return _core.make_in_place(kernel, method) if kernel else method


add_ = _in_place("add_", add, "add")
sub_ = _in_place("sub_", sub, "sub")
mul_ = _in_place("mul_", mul, "mul")
div_ = _in_place("div_", div, "div")
pow_ = _in_place("pow_", pow)
remainder_ = _in_place("remainder_", remainder)
fmod_ = _in_place("fmod_", fmod)
floor_divide_ = _in_place("floor_divide_", floor_divide)
logical_and_ = _in_place("logical_and_", logical_and)
logical_or_ = _in_place("logical_or_", logical_or)
logical_xor_ = _in_place("logical_xor_", logical_xor)
bitwise_and_ = _in_place("bitwise_and_", bitwise_and)
bitwise_or_ = _in_place("bitwise_or_", bitwise_or)
bitwise_xor_ = _in_place("bitwise_xor_", bitwise_xor)
bitwise_left_shift_ = _in_place("bitwise_left_shift_", bitwise_left_shift)
bitwise_right_shift_ = _in_place("bitwise_right_shift_", bitwise_right_shift)
eq_, ne_ = _in_place("eq_", eq), _in_place("ne_", ne)
lt_, le_ = _in_place("lt_", lt), _in_place("le_", le)
gt_, ge_ = _in_place("gt_", gt), _in_place("ge_", ge)


def addcmul_(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """In-place addcmul()."""
    return inplace.apply(self, "addcmul_", addcmul, tensor1, tensor2, value=value)


def addcdiv_(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """In-place addcdiv()."""
    return inplace.apply(self, "addcdiv_", addcdiv, tensor1, tensor2, value=value)


def lerp_(self: Any, end: Any, weight: Any) -> Any:
    """In-place lerp()."""
    return inplace.apply(self, "lerp_", lerp, end, weight)


def logical_not(input: Any) -> Any:
    """Elementwise ``not``."""
    return eq(input, 0)


def bitwise_not(input: Any) -> Any:
    """Elementwise ``~`` of bools and integers."""
    if require_tensor(input, "bitwise_not")._data.dtype.kind not in "iub":
        raise RuntimeError(f"bitwise_not is not implemented for {input._data.dtype}")
    return wrap(np.asarray(np.invert(input._data)))


def _swapped(op: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return op(other, self)

    return method


def _comparison(op: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, np.ndarray, np.generic, *_NUMBERS)):
            return otherwise
        return op(self, other)

    return method


multiply, subtract, divide, true_divide = mul, sub, div, _true_div
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

METHODS = (
    "add sub mul div floor_divide pow maximum minimum atan2 remainder fmod fmax fmin hypot eq ne lt le gt ge "
    "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not "
    "bitwise_left_shift bitwise_right_shift equal isclose allclose addcmul addcdiv lerp multiply subtract divide "
    "true_divide not_equal less less_equal greater greater_equal add_ sub_ mul_ div_ pow_ remainder_ fmod_ "
    "floor_divide_ logical_and_ logical_or_ logical_xor_ bitwise_and_ bitwise_or_ bitwise_xor_ "
    "bitwise_left_shift_ bitwise_right_shift_ eq_ ne_ lt_ le_ gt_ ge_ addcmul_ addcdiv_ lerp_"
).split()
OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": add,
    "__radd__": add,
    "__sub__": sub,
    "__rsub__": rsub,
    "__mul__": mul,
    "__rmul__": mul,
    "__truediv__": _true_div,
    "__rtruediv__": _swapped(_true_div),
    "__floordiv__": floor_divide,
    "__rfloordiv__": _swapped(floor_divide),
    "__pow__": pow,
    "__rpow__": _swapped(pow),
    "__mod__": remainder,
    "__rmod__": _swapped(remainder),
    "__eq__": _comparison(eq, False),
    "__ne__": _comparison(ne, True),
    "__lt__": lt,
    "__le__": le,
    "__gt__": gt,
    "__ge__": ge,
    "__and__": bitwise_and,
    "__rand__": bitwise_and,
    "__or__": bitwise_or,
    "__ror__": bitwise_or,
    "__xor__": bitwise_xor,
    "__rxor__": bitwise_xor,
    "__lshift__": bitwise_left_shift,
    "__rlshift__": _swapped(bitwise_left_shift),
    "__rshift__": bitwise_right_shift,
    "__rrshift__": _swapped(bitwise_right_shift),
    "__invert__": bitwise_not,
    "__iadd__": add_,
    "__isub__": sub_,
    "__imul__": mul_,
    "__itruediv__": div_,
    "__ipow__": pow_,
    "__imod__": remainder_,
    "__ifloordiv__": floor_divide_,
    "__iand__": bitwise_and_,
    "__ior__": bitwise_or_,
    "__ixor__": bitwise_xor_,
    "__ilshift__": bitwise_left_shift_,
    "__irshift__": bitwise_right_shift_,
}
