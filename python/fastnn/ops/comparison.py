"""Comparisons, logic and bits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from .._errors import DTypeError
from ._util import (
    TensorBase,
    as_tensor_operand,
    require_tensor,
    require_tensors,
    wrap,
)
from .arithmetic import NUMBERS, swapped
from .arithmetic import binary as _binary
from .inplace import in_place

binary = functools.partial(_binary, module=__name__)

eq = binary("eq", doc="Elementwise ``==``.")
ne = binary("ne", doc="Elementwise ``!=``.")
lt = binary("lt", doc="Elementwise ``<``.")
le = binary("le", doc="Elementwise ``<=``.")
gt = binary("gt", doc="Elementwise ``>``.")
ge = binary("ge", doc="Elementwise ``>=``.")


logical_and = binary("logical_and", doc="Elementwise ``and``.")
logical_or = binary("logical_or", doc="Elementwise ``or``.")
logical_xor = binary("logical_xor", doc="Elementwise ``xor``.")


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


bitwise_and = _integers_only("bitwise_and", binary("bitwise_and"))
bitwise_or = _integers_only("bitwise_or", binary("bitwise_or"))
bitwise_xor = _integers_only("bitwise_xor", binary("bitwise_xor"))
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


def logical_not(input: Any) -> Any:
    """Elementwise ``not``."""
    return eq(input, 0)


def bitwise_not(input: Any) -> Any:
    """Elementwise ``~`` of bools and integers."""
    if require_tensor(input, "bitwise_not")._data.dtype.kind not in "iub":
        raise RuntimeError(f"bitwise_not is not implemented for {input._data.dtype}")
    return wrap(np.asarray(np.invert(input._data)))


logical_and_ = in_place("logical_and_", logical_and)
logical_or_ = in_place("logical_or_", logical_or)
logical_xor_ = in_place("logical_xor_", logical_xor)
bitwise_and_ = in_place("bitwise_and_", bitwise_and)
bitwise_or_ = in_place("bitwise_or_", bitwise_or)
bitwise_xor_ = in_place("bitwise_xor_", bitwise_xor)
bitwise_left_shift_ = in_place("bitwise_left_shift_", bitwise_left_shift)
bitwise_right_shift_ = in_place("bitwise_right_shift_", bitwise_right_shift)
eq_, ne_ = in_place("eq_", eq), in_place("ne_", ne)
lt_, le_ = in_place("lt_", lt), in_place("le_", le)
gt_, ge_ = in_place("gt_", gt), in_place("ge_", ge)


def _comparison(op: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, np.ndarray, np.generic, *NUMBERS)):
            return otherwise
        return op(self, other)

    return method


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

METHODS = (
    "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor "
    "bitwise_not bitwise_left_shift bitwise_right_shift equal isclose allclose not_equal less less_equal greater "
    "greater_equal logical_and_ logical_or_ logical_xor_ bitwise_and_ bitwise_or_ bitwise_xor_ "
    "bitwise_left_shift_ bitwise_right_shift_ eq_ ne_ lt_ le_ gt_ ge_"
).split()
OPERATORS: dict[str, Callable[..., Any]] = {
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
    "__rlshift__": swapped(bitwise_left_shift),
    "__rshift__": bitwise_right_shift,
    "__rrshift__": swapped(bitwise_right_shift),
    "__invert__": bitwise_not,
    "__iand__": bitwise_and_,
    "__ior__": bitwise_or_,
    "__ixor__": bitwise_xor_,
    "__ilshift__": bitwise_left_shift_,
    "__irshift__": bitwise_right_shift_,
}
