"""Arithmetic with broadcasting and PyTorch's type promotion."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError
from ..autograd.node import Node
from . import inplace
from ._integers import stored
from ._util import TensorBase, as_tensor_operand, require_tensor, require_tensors, store, wrap

NUMBERS = (int, float, bool)
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


def binary(
    name: str,
    backward: Callable[..., Any] | None = None,
    saves: str = "",
    floats: bool = False,
    doc: str = "",
    module: str = __name__,
) -> Callable[..., Any]:
    """``op(input, other, *, out=None)``, an op of two operands, tensors or numbers.

    saves: what backward needs, '' or 'inputs'. floats: integers become the default dtype first (true division).
    """
    return _core.make_binary(name, backward, saves, floats, doc, module)


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
    return _tied(node, g, operator.gt)


def _minimum_backward(node: Node, g: Any) -> tuple:
    return _tied(node, g, operator.lt)


def _atan2_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    scale = g / (a * a + b * b)
    wa, wb = node.wanted
    return _reduced(node, scale * b if wa else None, -scale * a if wb else None)


def _hypot_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    scale = g / hypot(a, b)
    wa, wb = node.wanted
    return _reduced(node, scale * a if wa else None, scale * b if wb else None)


def _remainder_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    wa, wb = node.wanted
    return _reduced(node, g if wa else None, -g * floor_divide(a, b) if wb else None)


def _fmod_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    wa, wb = node.wanted
    return _reduced(node, g if wa else None, -g * (a / b).trunc() if wb else None)


add = binary("add", _add_backward, doc="``input + alpha * other``.")
sub = binary("sub", _sub_backward, doc="``input - alpha * other``.")


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``."""
    return sub(other, input, alpha=alpha)


mul = binary("mul", _mul_backward, "inputs", doc="``input * other``.")
_true_div = binary(
    "div", _div_backward, "inputs", floats=True, doc="``input / other``; of integers in floats."
)


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


_trunc_divide = binary("trunc_divide")
floor_divide = binary(
    "floor_divide",
    doc="``floor(input / other)`` in the promoted dtype (integer division for integers).",
)


_power = binary("pow", _pow_backward, "inputs")


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


maximum = binary("maximum", _maximum_backward, "inputs", doc="The larger of two, NaN if either is.")
minimum = binary(
    "minimum", _minimum_backward, "inputs", doc="The smaller of two, NaN if either is."
)
atan2 = binary("atan2", _atan2_backward, "inputs", floats=True, doc="The angle of (other, input).")
remainder = binary(
    "remainder",
    _remainder_backward,
    "inputs",
    doc="The remainder, with the divisor's sign.",
)
fmod = binary("fmod", _fmod_backward, "inputs", doc="The remainder, with the dividend's sign.")


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


_hypot = binary("hypot", _hypot_backward, "inputs", floats=True)


def hypot(input: Any, other: Any) -> Any:
    """``sqrt(input**2 + other**2)``, where the squares may be out of range."""
    require_tensors("hypot", input=input, other=other)
    return _hypot(input, other)


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


add_ = inplace.in_place("add_", add, "add")
sub_ = inplace.in_place("sub_", sub, "sub")
mul_ = inplace.in_place("mul_", mul, "mul")
div_ = inplace.in_place("div_", div, "div")
pow_ = inplace.in_place("pow_", pow)
remainder_ = inplace.in_place("remainder_", remainder)
fmod_ = inplace.in_place("fmod_", fmod)
floor_divide_ = inplace.in_place("floor_divide_", floor_divide)


addcmul_ = inplace.in_place("addcmul_", addcmul)
addcdiv_ = inplace.in_place("addcdiv_", addcdiv)
lerp_ = inplace.in_place("lerp_", lerp)


def swapped(op: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return op(other, self)

    return method


multiply, subtract, divide, true_divide = mul, sub, div, _true_div

METHODS = (
    "add sub mul div floor_divide pow maximum minimum atan2 remainder fmod fmax fmin hypot addcmul addcdiv lerp "
    "multiply subtract divide true_divide add_ sub_ mul_ div_ pow_ remainder_ fmod_ floor_divide_ addcmul_ "
    "addcdiv_ lerp_"
).split()
OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": add,
    "__radd__": add,
    "__sub__": sub,
    "__rsub__": rsub,
    "__mul__": mul,
    "__rmul__": mul,
    "__truediv__": _true_div,
    "__rtruediv__": swapped(_true_div),
    "__floordiv__": floor_divide,
    "__rfloordiv__": swapped(floor_divide),
    "__pow__": pow,
    "__rpow__": swapped(pow),
    "__mod__": remainder,
    "__rmod__": swapped(remainder),
    "__iadd__": add_,
    "__isub__": sub_,
    "__imul__": mul_,
    "__itruediv__": div_,
    "__ipow__": pow_,
    "__imod__": remainder_,
    "__ifloordiv__": floor_divide_,
}
