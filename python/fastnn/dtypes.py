"""Element types, PyTorch's promotion rules, and the default dtype."""

from __future__ import annotations

import builtins
from typing import Any

import ml_dtypes
import numpy as np

from . import _core
from ._errors import DTypeError


class dtype:
    """An element type: ``fastnn.float32`` and its siblings. Compare with ``is`` or ``==``."""

    __slots__ = ("category", "is_floating_point", "itemsize", "name", "numpy")
    category: builtins.int

    def __init__(self, name: str, numpy_type: Any, category: builtins.int) -> None:
        self.name = name
        self.numpy = np.dtype(numpy_type)
        self.itemsize = self.numpy.itemsize
        self.category = category  # 0 bool, 1 integer, 2 floating point
        self.is_floating_point = category == 2

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.name not in ("bool", "uint8")

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __reduce__(self) -> str:
        return self.name if self.name != "bool" else "bool_"


float32 = float = dtype("float32", np.float32, 2)
float64 = double = dtype("float64", np.float64, 2)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, 2)
float16 = half = dtype("float16", np.float16, 2)
bool_ = dtype("bool", np.bool_, 0)
uint8 = dtype("uint8", np.uint8, 1)
int8 = dtype("int8", np.int8, 1)
int16 = short = dtype("int16", np.int16, 1)
int32 = int = dtype("int32", np.int32, 1)
int64 = long = dtype("int64", np.int64, 1)

ALL = (float32, float64, bfloat16, float16, bool_, uint8, int8, int16, int32, int64)
_BY_NUMPY = {d.numpy: d for d in ALL}
# On 64-bit Linux `long long` is a second int64, with a dtype object of its own.
_BY_NUMPY[np.dtype(np.longlong)] = int64
# Types whose arithmetic NumPy must not do: stored only, widened to float32 for computing.
NARROW = (bfloat16, float16)
NARROW_NUMPY = frozenset(d.numpy for d in NARROW)

_default = float32


def of_array(array: Any) -> dtype:
    """The dtype of a NumPy array; DTypeError for one that fastnn has no name for."""
    found = _BY_NUMPY.get(array.dtype)
    if found is None:
        found = _BY_NUMPY.get(array.dtype.newbyteorder("="))
    if found is None:
        raise DTypeError(
            f"unsupported dtype {array.dtype}; expected one of {', '.join(d.name for d in ALL)}"
        )
    return found


def as_dtype(value: Any) -> dtype:
    """A dtype from a dtype, a NumPy dtype or type, a name, or Python's bool, int, float."""
    if isinstance(value, dtype):
        return value
    if value is builtins.float:
        return _default
    if value is builtins.int:
        return int64
    try:
        return _BY_NUMPY[np.dtype(value)]
    except (TypeError, KeyError):
        raise DTypeError(
            f"dtype must be a fastnn dtype such as fastnn.float32, got {value!r}"
        ) from None


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors (float32 unless changed)."""
    return _default


def set_default_dtype(d: Any) -> None:
    """Sets the dtype of new floating-point tensors; must be a floating-point dtype."""
    global _default
    d = as_dtype(d)
    if not d.is_floating_point:
        raise DTypeError(f"set_default_dtype: only floating-point dtypes are supported, got {d}")
    _default = d
    _core.set_default_dtype(d.numpy)


def of_scalar(value: Any) -> dtype:
    """The dtype that a Python number has by itself."""
    if isinstance(value, (builtins.bool, np.bool_)):
        return bool_
    if isinstance(value, (builtins.int, np.integer)):
        return int64
    return _default


_SIGNED = {8: int8, 16: int16, 32: int32, 64: int64}


def promote_types(a: Any, b: Any) -> dtype:
    """The smallest dtype that holds both, as PyTorch's table has it."""
    a, b = as_dtype(a), as_dtype(b)
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.category == 2:
        if a.itemsize == b.itemsize:  # bfloat16 with float16
            return float32
        return a if a.itemsize > b.itemsize else b
    if uint8 in (a, b):
        other = a if b is uint8 else b
        return _SIGNED[max(16, other.itemsize * 8)]
    return a if a.itemsize > b.itemsize else b


def result_type(*operands: Any) -> dtype:
    """The dtype that arithmetic on these tensors and Python numbers gives.

    Tensors with dimensions rank before 0-d tensors, and those before Python numbers: a lower rank changes the result only
    when its category (bool < integer < floating point) is higher.
    """
    ranks: list[dtype | None] = [None, None, None]
    for x in operands:
        data = getattr(x, "_data", x if isinstance(x, np.ndarray) else None)
        if data is None:
            rank, d = 2, of_scalar(x)
        else:
            rank, d = (0 if data.ndim else 1), of_array(data)
        known = ranks[rank]
        ranks[rank] = d if known is None else promote_types(known, d)
    result: dtype | None = None
    for found in ranks:
        # A lower rank wins by category only; a number's float is the default float.
        if found is not None and (result is None or found.category > result.category):
            result = found
    if result is None:
        raise TypeError("result_type: needs at least one operand")
    return result


def can_cast(from_: Any, to: Any) -> builtins.bool:
    """Whether PyTorch lets an in-place op store `from_` into `to` (no fall in category)."""
    return as_dtype(from_).category <= as_dtype(to).category


class finfo:
    """Limits of a floating-point dtype (default: the default dtype)."""

    def __init__(self, type: Any = None) -> None:
        d = _default if type is None else as_dtype(type)
        if not d.is_floating_point:
            raise DTypeError(f"finfo: needs a floating-point dtype, got {d}; use iinfo")
        info = ml_dtypes.finfo(d.numpy)
        self.dtype = d.name
        self.bits = d.itemsize * 8
        self.eps = builtins.float(info.eps)
        self.max = builtins.float(info.max)
        self.min = builtins.float(info.min)
        self.tiny = self.smallest_normal = builtins.float(info.smallest_normal)
        self.resolution = builtins.float(info.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype."""

    def __init__(self, type: Any) -> None:
        d = as_dtype(type)
        if d.category != 1:
            raise DTypeError(f"iinfo: needs an integer dtype, got {d}; use finfo")
        info = np.iinfo(d.numpy)
        self.dtype, self.bits = d.name, d.itemsize * 8
        self.min, self.max = builtins.int(info.min), builtins.int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
