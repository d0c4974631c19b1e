"""To another dtype, device or memory order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes
from .._device import device
from .._memory_format import channels_go_last, channels_moved_last, contiguous_format
from . import pointwise, transfer
from ._util import TensorBase, require_tensor


def to_arguments(args: tuple, kwargs: dict) -> tuple[Any, Any, Any]:
    """The dtype, memory format and place that to() is asked for; None where nothing is."""
    d, place = kwargs.get("dtype"), None
    if kwargs.get("device") is not None:
        place = transfer.parse(kwargs["device"])
    for a in args:
        if isinstance(a, TensorBase):
            d, place = a.dtype, transfer.place_of(a._data)
        elif isinstance(a, (str, device)):
            place = transfer.parse(a)
        elif isinstance(a, bool):
            continue  # non_blocking, copy
        elif isinstance(a, int):
            place = transfer.parse(a)
        elif a is not None:
            d = a
    unknown = set(kwargs) - {"dtype", "device", "copy", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"to() got an unexpected keyword argument '{unknown.pop()}'")
    return None if d is None else dtypes.as_dtype(d), kwargs.get("memory_format"), place


def to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """To a dtype, a device, or the dtype of another tensor. Itself when nothing changes."""
    d, memory_format, place = to_arguments(args, kwargs)
    out = self if place is None else transfer.move(self, place)
    if d is not None and d.numpy != self._data.dtype:
        out = pointwise.to_dtype(out, d)
    elif kwargs.get("copy") and out is self:
        out = pointwise.clone(self)
    if memory_format is not None:
        out = out.contiguous(memory_format=memory_format)
    return out


def type_as(self: Any, other: Any) -> Any:
    """As the dtype of `other`."""
    return to(self, require_tensor(other, "type_as", "other").dtype)


def type(self: Any, dtype: Any = None) -> Any:
    """As to(dtype); the dtype's name without one."""
    return f"fastnn.{self.dtype.name}" if dtype is None else to(self, dtypes.as_dtype(dtype))


def cpu(self: Any) -> Any:
    """On the CPU: itself when it is there."""
    return transfer.move(self, ("cpu", None))


def cuda(self: Any, device: Any = None) -> Any:
    """On a GPU (the current one, or `device`): itself when it is there."""
    return transfer.move(self, transfer.parse("cuda" if device is None else device))


def is_contiguous(self: Any, memory_format: Any = None) -> bool:
    """Whether the memory is row-major (or channels-last, when asked for that)."""
    if channels_go_last(memory_format, "is_contiguous"):
        return channels_moved_last(self._data).flags.c_contiguous
    return self._data.flags.c_contiguous


def contiguous(self: Any, *, memory_format: Any = None) -> Any:
    """Itself when the memory is row-major (or channels-last, as asked), else a copy that is."""
    if is_contiguous(self, memory_format):
        return self
    return pointwise.clone(self, memory_format=memory_format or contiguous_format)


def _as(d: dtypes.dtype) -> Callable[..., Any]:
    def method(self: Any) -> Any:
        return to(self, d)

    method.__doc__ = f"As {d!r}."
    return method


METHODS = "to type type_as cpu cuda is_contiguous contiguous".split()
OPERATORS: dict[str, Callable[..., Any]] = {
    "float": _as(dtypes.float32),
    "double": _as(dtypes.float64),
    "half": _as(dtypes.float16),
    "bfloat16": _as(dtypes.bfloat16),
    "int": _as(dtypes.int32),
    "long": _as(dtypes.int64),
    "short": _as(dtypes.int16),
    "bool": _as(dtypes.bool_),
    "byte": _as(dtypes.uint8),
}
