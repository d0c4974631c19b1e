"""Arithmetic and comparisons with broadcasting and PyTorch's type promotion."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError
from ..autograd.node import OUTPUT, Node, record, state, wants_grad
from . import inplace
from ._util import TensorBase, as_tensor_operand, require_tensor, store, wrap

_NUMBERS = (int, float, bool)


def _operand(x: Any, op: str, name: str) -> tuple[Any, Any]:
    """The tensor (None for a Python number) and what the kernel takes: its array, or the number."""
    if isinstance(x, TensorBase):
        return x, x._data
    if type(x) in _NUMBERS:
        return None, x
    if isinstance(x, np.generic):  # a NumPy number counts as a Python one and keeps its digits
        return None, x.item()
    t = as_tensor_operand(x, op, name)
    return t, t._data


def _run(kernel: Callable[..., np.ndarray], x: Any, y: Any, floats: bool = False) -> np.ndarray:
    """The kernel promotes by itself; it is only told when the default dtype is not float32."""
    if dtypes.get_default_dtype() is dtypes.float32:
        return kernel(x, y)
    d = dtypes.result_type(x, y)
    if floats and not d.is_floating_point:
        d = dtypes.get_default_dtype()
    return kernel(x, y, dtype=d.numpy)


def reduce_to(g: Any, shape: tuple, dtype: np.dtype) -> Any:
    """The gradient of a broadcast operand: `g` summed to its shape, in its dtype."""
    if g._data.shape != shape:
        g = g.sum_to_size(shape)
    if g._data.dtype != dtype:
        g = g.to(dtypes.as_dtype(dtype))
    return g


def _meta(t: Any) -> Any:
    return None if t is None else (t._data.shape, t._data.dtype)


def _route(node: Node, ga: Callable[[], Any], gb: Callable[[], Any]) -> tuple:
    """Computes only the gradients that are wanted, each reduced to its operand."""
    ea, eb = node.edges
    ma, mb = node.ctx[:2]
    return (
        None if ea is None else reduce_to(ga(), *ma),
        None if eb is None else reduce_to(gb(), *mb),
    )


def _binary(
    name: str,
    kernel: Callable[[Any, Any], np.ndarray],
    backward: Callable[..., Any] | None,
    saves: str,
    floats: bool = False,
    doc: str = "",
) -> Callable[..., Any]:
    """An op of two operands.

    saves: what backward needs: '' nothing, 'a', 'b', 'ab' operands, 'o' the output. floats: integers become the default
    dtype first (true division).
    """

    def op(input: Any, other: Any, *, out: Any = None) -> Any:
        a, x = _operand(input, name, "input")
        b, y = _operand(other, name, "other")
        result = wrap(_run(kernel, x, y, floats))
        if (
            state.enabled
            and backward is not None
            and ((a is not None and a.requires_grad) or (b is not None and b.requires_grad))
        ):
            _note(result, a, b, y if b is None else None, x if a is None else None)
        return result if out is None else store(out, result, name)

    def _note(result: Any, a: Any, b: Any, number_b: Any = None, number_a: Any = None) -> None:
        saved = tuple([a if s == "a" else b if s == "b" else OUTPUT for s in saves])
        assert backward is not None
        record(result, backward, (a, b), saved, (_meta(a), _meta(b), number_a, number_b))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


def _saved(node: Node, *which: str) -> list:
    """Saved operands; a number operand stands in ctx."""
    _, _, number_a, number_b = node.ctx
    numbers = {"a": number_a, "b": number_b}
    out = []
    for name, t in zip(which, node.saved_tensors(), strict=True):
        n = numbers.get(name)
        out.append(n if t is None else t)
    return out


def _add_backward(node: Node, g: Any) -> tuple:
    return _route(node, lambda: g, lambda: g)


def _sub_backward(node: Node, g: Any) -> tuple:
    return _route(node, lambda: g, lambda: -g)


def _mul_backward(node: Node, g: Any) -> tuple:
    a, b = _saved(node, "a", "b")
    return _route(node, lambda: g * b, lambda: g * a)


def _div_backward(node: Node, g: Any) -> tuple:
    a, b = _saved(node, "a", "b")
    return _route(node, lambda: g / b, lambda: -(g * a) / (b * b))


def _pow_backward(node: Node, g: Any) -> tuple:
    a, b = _saved(node, "a", "b")

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

    return _route(node, base, exponent)


def _tied(node: Node, g: Any, first_wins: Callable[..., Any]) -> tuple:
    """maximum and minimum: the winner gets the gradient, both get half of it on a tie."""
    from .pointwise import where

    a, b = _saved(node, "a", "b")
    zero, half = wrap(np.zeros((), g._data.dtype)), g * 0.5
    tie = where(a == b, half, zero)
    return _route(
        node,
        lambda: where(first_wins(a, b), g, tie),
        lambda: where(first_wins(b, a), g, tie),
    )


def _maximum_backward(node: Node, g: Any) -> tuple:
    return _tied(node, g, gt)


def _minimum_backward(node: Node, g: Any) -> tuple:
    return _tied(node, g, lt)


def _atan2_backward(node: Node, g: Any) -> tuple:
    a, b = _saved(node, "a", "b")
    scale = g / (a * a + b * b)
    return _route(node, lambda: scale * b, lambda: -scale * a)


def _remainder_backward(node: Node, g: Any) -> tuple:
    a, b = _saved(node, "a", "b")
    return _route(node, lambda: g, lambda: -g * floor_divide(a, b))


def _fmod_backward(node: Node, g: Any) -> tuple:
    a, b = _saved(node, "a", "b")
    return _route(node, lambda: g, lambda: -g * (a / b).trunc())


_plain_add = _binary("add", _core.add, _add_backward, "")
_plain_sub = _binary("sub", _core.sub, _sub_backward, "")


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``input + alpha * other``."""
    return _plain_add(input, other if alpha == 1 else other * alpha, out=out)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``input - alpha * other``."""
    for x in (input, other):
        if isinstance(x, TensorBase) and x._data.dtype == np.bool_:
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. Use the `^` or "
                "`logical_xor()` operator instead."
            )
    return _plain_sub(input, other if alpha == 1 else other * alpha, out=out)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``."""
    return sub(other, input, alpha=alpha)


mul = _binary("mul", _core.mul, _mul_backward, "ab", doc="``input * other``.")
_true_div = _binary("div", _core.div, _div_backward, "ab", floats=True)


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """``input / other``; with rounding_mode 'trunc' or 'floor' rounded, in the promoted dtype."""
    if rounding_mode is None:
        return _true_div(input, other, out=out)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        d = dtypes.result_type(input, other)
        return _true_div(input, other).trunc().to(d)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


_floor_divide = _binary("floor_divide", _core.floor_divide, None, "")


def floor_divide(input: Any, other: Any) -> Any:
    """``floor(input / other)`` in the promoted dtype (integer division for integers)."""
    if not dtypes.result_type(input, other).is_floating_point:
        divisor = other._data if isinstance(other, TensorBase) else np.asarray(other)
        if not divisor.all():
            raise RuntimeError("ZeroDivisionError: floor_divide of integers by zero")
    return _floor_divide(input, other)


_power = _binary("pow", _core.pow, _pow_backward, "ab")


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent``. RuntimeError for integers to a negative whole number: cast to float."""
    if isinstance(exponent, int) and exponent < 0 and isinstance(input, TensorBase):
        d = input._data.dtype
        if d.kind in "iub":
            raise RuntimeError(
                f"pow: Integers to negative integer powers are not allowed, got {d} to the power "
                f"{exponent}; use .float() first"
            )
    return _power(input, exponent, out=out)


maximum = _binary(
    "maximum", _core.maximum, _maximum_backward, "ab", doc="The larger of two, NaN if either is."
)
minimum = _binary(
    "minimum", _core.minimum, _minimum_backward, "ab", doc="The smaller of two, NaN if either is."
)
atan2 = _binary(
    "atan2", _core.atan2, _atan2_backward, "ab", floats=True, doc="The angle of (other, input)."
)
remainder = _binary(
    "remainder",
    _core.remainder,
    _remainder_backward,
    "ab",
    doc="The remainder, with the divisor's sign.",
)
fmod = _binary(
    "fmod", _core.fmod, _fmod_backward, "ab", doc="The remainder, with the dividend's sign."
)


def fmax(input: Any, other: Any) -> Any:
    """The larger of two; a NaN loses."""
    from .pointwise import where

    return where(other.isnan(), input, where(input.isnan(), other, maximum(input, other)))


def fmin(input: Any, other: Any) -> Any:
    """The smaller of two; a NaN loses."""
    from .pointwise import where

    return where(other.isnan(), input, where(input.isnan(), other, minimum(input, other)))


def hypot(input: Any, other: Any) -> Any:
    """``sqrt(input**2 + other**2)``."""
    return (input * input + other * other).sqrt()


# ---- comparisons, logic, bits ------------------------------------------------------------------------------------

eq = _binary("eq", _core.eq, None, "", doc="Elementwise ``==``.")
ne = _binary("ne", _core.ne, None, "", doc="Elementwise ``!=``.")
lt = _binary("lt", _core.lt, None, "", doc="Elementwise ``<``.")
le = _binary("le", _core.le, None, "", doc="Elementwise ``<=``.")
gt = _binary("gt", _core.gt, None, "", doc="Elementwise ``>``.")
ge = _binary("ge", _core.ge, None, "", doc="Elementwise ``>=``.")


logical_and = _binary("logical_and", _core.logical_and, None, "", doc="Elementwise ``and``.")
logical_or = _binary("logical_or", _core.logical_or, None, "", doc="Elementwise ``or``.")
logical_xor = _binary("logical_xor", _core.logical_xor, None, "", doc="Elementwise ``xor``.")


def _integers_only(name: str, kernel: Callable[..., np.ndarray]) -> Callable[..., Any]:
    def op(input: Any, other: Any) -> Any:
        d = dtypes.result_type(input, other)
        if d.is_floating_point:
            raise RuntimeError(f"{name} is not implemented for {d}; it takes bools and integers")
        return wrap(kernel(_operand(input, name, "input")[1], _operand(other, name, "other")[1]))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Elementwise {name.replace('_', ' ')}, of bools and integers."
    return op


def _by_numpy(ufunc: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """Rare integer ops are NumPy's, under our promotion."""

    def kernel(x: Any, y: Any) -> np.ndarray:
        d = dtypes.result_type(x, y).numpy
        return np.asarray(ufunc(np.asarray(x).astype(d), np.asarray(y).astype(d)))

    return kernel


bitwise_and = _integers_only("bitwise_and", _core.bitwise_and)
bitwise_or = _integers_only("bitwise_or", _core.bitwise_or)
bitwise_xor = _integers_only("bitwise_xor", _core.bitwise_xor)
bitwise_left_shift = _integers_only("bitwise_left_shift", _by_numpy(np.left_shift))
bitwise_right_shift = _integers_only("bitwise_right_shift", _by_numpy(np.right_shift))


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements."""
    return input._data.shape == other._data.shape and bool(np.all(eq(input, other)._data))


def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Elementwise ``|input - other| <= atol + rtol * |other|``."""
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


def _in_place(name: str, op: Callable[..., Any], kernel: Callable[..., Any] | None = None) -> Any:
    @functools.wraps(op)
    def method(self: Any, other: Any, **kwargs: Any) -> Any:
        if kernel is not None and not kwargs and self._data.dtype.kind == "f":
            b = other
            tensor = isinstance(b, TensorBase)
            fits = (
                tensor and b._data.dtype == self._data.dtype and b._data.shape == self._data.shape
            )
            if (fits or type(b) in _NUMBERS) and not wants_grad(self, b if tensor else None):
                inplace.guard(self, name)
                kernel(self._data, b._data if tensor else b, out=self._data)
                inplace.bump(self)
                return self
        return inplace.apply(self, name, op, other, **kwargs)

    method.__name__ = name
    return method


add_ = _in_place("add_", add, _core.add)
sub_ = _in_place("sub_", sub, _core.sub)
mul_ = _in_place("mul_", mul, _core.mul)
div_ = _in_place("div_", div, _core.div)
pow_ = _in_place("pow_", pow)
remainder_ = _in_place("remainder_", remainder)
fmod_ = _in_place("fmod_", fmod)
floor_divide_ = _in_place("floor_divide_", floor_divide)
logical_and_ = _in_place("logical_and_", logical_and)
logical_or_ = _in_place("logical_or_", logical_or)


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
    if input._data.dtype.kind not in "iub":
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
    "floor_divide_ logical_and_ logical_or_ addcmul_ addcdiv_ lerp_"
).split()
OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": _plain_add,
    "__radd__": _plain_add,
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
    "__rshift__": bitwise_right_shift,
    "__invert__": bitwise_not,
    "__iadd__": add_,
    "__isub__": sub_,
    "__imul__": mul_,
    "__itruediv__": div_,
    "__ipow__": pow_,
    "__imod__": remainder_,
}
