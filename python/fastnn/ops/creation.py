"""Making tensors: from data, filled, ranges, and like another tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError
from . import transfer
from ._integers import put, require_fit
from ._util import TensorBase, cast, check_bytes, require_tensor, shape_args, wrap


def _finish(a: np.ndarray, requires_grad: bool, op: str, device: Any = None) -> Any:
    t = wrap(a if device is None else transfer.move_array(a, transfer.parse(device)))
    if requires_grad:
        t.requires_grad = True
    return t


def from_numpy(array: np.ndarray) -> Any:
    """A tensor on the memory of a NumPy array (shared, no copy).

    An array that kernels cannot read as it is (byte-swapped, misaligned) is copied. Raises TypeError for anything that is
    no ndarray, and for dtypes that fastnn does not have.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected np.ndarray (got {type(array).__name__})")
    if array.ndim > 16:
        raise RuntimeError(f"from_numpy: at most 16 dimensions are supported, got {array.ndim}")
    d = dtypes.of_array(array)
    if type(array) is not np.ndarray:
        array = np.asarray(array)
    if array.dtype != d.numpy or not array.flags.aligned:
        array = array.astype(d.numpy)
    return wrap(array)


def _from_data(data: Any, dtype: Any, copy: bool) -> np.ndarray:
    if isinstance(data, TensorBase):
        a = data._data
    elif isinstance(data, (np.ndarray, np.generic)):
        a = from_numpy(np.asarray(data))._data
    elif _core.is_device_array(data):
        a = data
    elif hasattr(data, "__dlpack__"):
        a = from_numpy(np.from_dlpack(data))._data
    else:
        if isinstance(data, (list, tuple)) and any(isinstance(x, TensorBase) for x in data):
            data = [x.tolist() if isinstance(x, TensorBase) else x for x in data]
        try:
            a = np.array(data)
        except ValueError as e:
            raise ValueError(f"tensor: {e}") from None
        if a.dtype == np.float64 and dtype is None:
            a = cast(a, dtypes.get_default_dtype().numpy)
        elif a.size == 0 and dtype is None:
            a = a.astype(dtypes.get_default_dtype().numpy)
        elif a.dtype.kind not in "fiub":
            raise TypeError(
                f"tensor: cannot make a tensor of {type(data).__name__} data with dtype {a.dtype}; "
                "expected numbers or nested lists of numbers of one length a level"
            )
        copy = False
        if dtype is not None:
            require_fit(a, dtypes.as_dtype(dtype).numpy, "tensor")
    if dtype is not None:
        d = dtypes.as_dtype(dtype).numpy
        if a.dtype != d:
            return cast(a, d)
    return _copied(a) if copy else a


def _copied(a: np.ndarray) -> np.ndarray:
    """A copy in fastnn's own memory, whose vectors lie on cache lines."""
    if not isinstance(a, np.ndarray):
        return a.copy()
    out = _core.empty(a.shape, a.dtype)
    np.copyto(out, a)
    return out


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """A new tensor with a copy of `data` (numbers, nested lists, arrays, tensors), without history.

    Without a dtype, Python floats become the default dtype, Python ints int64; arrays keep their dtype.
    """
    return _finish(_from_data(data, dtype, copy=True), requires_grad, "tensor", device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """A tensor of `data` that shares memory (and history) where it can."""
    if isinstance(data, TensorBase):
        out = data if dtype is None else data.to(dtype)
        return out if device is None else transfer.move(out, transfer.parse(device))
    return _finish(_from_data(data, dtype, copy=False), False, "as_tensor", device)


def from_dlpack(ext: Any) -> Any:
    """A tensor on the memory of any object with ``__dlpack__``."""
    if not hasattr(ext, "__dlpack__"):
        raise TypeError(
            f"from_dlpack: expected an object with __dlpack__, got {type(ext).__name__}"
        )
    return from_numpy(np.from_dlpack(ext))


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Any:
    """A 1-D tensor on the memory of a buffer."""
    d = dtypes.as_dtype(dtype).numpy
    try:
        a = np.frombuffer(buffer, d, count, offset)
    except (TypeError, ValueError, AttributeError) as e:
        raise ValueError(f"frombuffer: {e} (dtype {d}, count {count}, offset {offset})") from None
    if not a.size:
        raise ValueError("frombuffer: the buffer must hold at least one element, got none")
    return _finish(a, requires_grad, "frombuffer")


# ---- filled ------------------------------------------------------------------------------------------------------


def _new(size: Any, dtype: Any, op: str) -> np.ndarray:
    shape = shape_args(size, op)
    for s in shape:
        if s < 0:
            raise RuntimeError(
                f"{op}: Trying to create tensor with negative dimension {s}: {list(shape)}"
            )
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    check_bytes(shape, d.itemsize, op)
    return _core.empty(shape, d.numpy)


def empty(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
) -> Any:
    """A tensor of uninitialised memory."""
    return _finish(_new(size, dtype, "empty"), requires_grad, "empty", device)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of zeros."""
    a = _new(size, dtype, "zeros")
    a.fill(0)
    return _finish(a, requires_grad, "zeros", device)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of ones."""
    a = _new(size, dtype, "ones")
    a.fill(1)
    return _finish(a, requires_grad, "ones", device)


def _fill(a: np.ndarray, value: Any, op: str) -> None:
    if not isinstance(value, (bool, int, float, np.number, np.bool_)):
        raise TypeError(f"{op}: fill_value must be a number, got {type(value).__name__}")
    a.fill(put(value, a.dtype, op))


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """A tensor filled with one number; without a dtype, that of the number."""
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()
    a = _new((size,), dtypes.of_scalar(fill_value) if dtype is None else dtype, "full")
    _fill(a, fill_value, "full")
    return _finish(a, requires_grad, "full", device)


def _like(input: Any, dtype: Any, op: str) -> np.ndarray:
    require_tensor(input, op)
    return np.empty_like(input._data, dtype=None if dtype is None else dtypes.as_dtype(dtype).numpy)


def empty_like(input: Any, *, dtype: Any = None, requires_grad: bool = False, **_: Any) -> Any:
    """Uninitialised, with the shape and dtype of `input`."""
    return _finish(_like(input, dtype, "empty_like"), requires_grad, "empty_like")


def zeros_like(input: Any, *, dtype: Any = None, requires_grad: bool = False, **_: Any) -> Any:
    """Zeros, with the shape and dtype of `input`."""
    a = _like(input, dtype, "zeros_like")
    a.fill(0)
    return _finish(a, requires_grad, "zeros_like")


def ones_like(input: Any, *, dtype: Any = None, requires_grad: bool = False, **_: Any) -> Any:
    """Ones, with the shape and dtype of `input`."""
    a = _like(input, dtype, "ones_like")
    a.fill(1)
    return _finish(a, requires_grad, "ones_like")


def full_like(
    input: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, **_: Any
) -> Any:
    """One number everywhere, with the shape and dtype of `input`."""
    a = _like(input, dtype, "full_like")
    _fill(a, fill_value, "full_like")
    return _finish(a, requires_grad, "full_like")


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Ones on the diagonal, zeros elsewhere."""
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    shape = (n, n if m is None else m)
    if min(shape) < 0:
        raise RuntimeError(f"eye: sizes must be non-negative, got {shape}")
    check_bytes(shape, 8, "eye")
    return _finish(np.eye(n, m).astype(d.numpy), requires_grad, "eye", device)


# ---- ranges ------------------------------------------------------------------------------------------------------


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """start, start+step, … below end. int64 when all are ints, else the default dtype."""
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, TensorBase) else x for x in (start, end, step))
    if not all(isinstance(x, (int, float, np.number)) for x in (start, end, step)):
        raise TypeError(f"arange: expected numbers, got {start!r}, {end!r}, {step!r}")
    if not all(math.isfinite(x) for x in (start, end, step)):
        raise RuntimeError(f"arange: unsupported range {start} to {end} by {step}: not finite")
    if step == 0:
        raise RuntimeError("arange: step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("arange: upper bound and lower bound inconsistent with step sign")
    whole = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
    if dtype is None:
        d = dtypes.int64 if whole else dtypes.get_default_dtype()
    else:
        d = dtypes.as_dtype(dtype)
    n = math.ceil((end - start) / step)
    check_bytes((n,), d.itemsize, "arange")
    if whole:
        a = (start + step * np.arange(n, dtype=np.int64)).astype(d.numpy)
    else:
        a = (start + step * np.arange(n, dtype=np.float64)).astype(d.numpy)
    return _finish(a, requires_grad, "arange", device)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """`steps` evenly spaced numbers from start to end, both included."""
    if steps < 0:
        raise RuntimeError(f"linspace: number of steps must be non-negative, got {steps}")
    check_bytes((steps,), 8, "linspace")
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return _finish(
        np.linspace(start, end, steps).astype(d.numpy), requires_grad, "linspace", device
    )


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """``base ** linspace(start, end, steps)``."""
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    a = np.logspace(start, end, steps, base=base).astype(d.numpy)
    return _finish(a, requires_grad, "logspace", device)


def tril_indices(row: int, col: int, offset: int = 0) -> Any:
    """The (2, n) indices of the lower triangle."""
    rows, cols, k = shape_args((row, col, offset), "tril_indices")
    return wrap(np.stack(np.tril_indices(rows, k, cols)).astype(np.int64))


def triu_indices(row: int, col: int, offset: int = 0) -> Any:
    """The (2, n) indices of the upper triangle."""
    rows, cols, k = shape_args((row, col, offset), "triu_indices")
    return wrap(np.stack(np.triu_indices(rows, k, cols)).astype(np.int64))


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 rows with a one at each class index of an int64 tensor."""
    a = require_tensor(tensor, "one_hot", "tensor")._data
    if a.dtype.kind not in "iu":
        raise DTypeError(
            f"one_hot: is only applicable to index tensor of type LongTensor, got {a.dtype}"
        )
    if a.size and int(a.min()) < 0:
        raise RuntimeError("one_hot: Class values must be non-negative.")
    largest = int(a.max()) if a.size else -1
    if num_classes == -1:
        if not a.size:
            raise RuntimeError("one_hot: Can not infer total number of classes from empty tensor.")
        num_classes = largest + 1
    if largest >= num_classes:
        raise RuntimeError("one_hot: Class values must be smaller than num_classes.")
    check_bytes((*a.shape, num_classes), 8, "one_hot")
    out = np.zeros((*a.shape, num_classes), np.int64)
    np.put_along_axis(out, a[..., None].astype(np.int64), 1, -1)
    return wrap(out)


# ---- methods: as a given tensor is -------------------------------------------------------------------------------


def new_tensor(self: Any, data: Any, *, dtype: Any = None, requires_grad: Any = False) -> Any:
    """tensor() with the dtype and device of `self`."""
    return tensor(data, dtype=dtype or self.dtype, device=self.device, requires_grad=requires_grad)


def new_empty(self: Any, *size: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """empty() with the dtype and device of `self`."""
    return empty(*size, dtype=dtype or self.dtype, **{"device": self.device, **kwargs})


def new_zeros(self: Any, *size: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """zeros() with the dtype and device of `self`."""
    return zeros(*size, dtype=dtype or self.dtype, **{"device": self.device, **kwargs})


def new_ones(self: Any, *size: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """ones() with the dtype and device of `self`."""
    return ones(*size, dtype=dtype or self.dtype, **{"device": self.device, **kwargs})


def new_full(self: Any, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Any:
    """full() with the dtype and device of `self`."""
    return full(size, fill_value, dtype=dtype or self.dtype, **{"device": self.device, **kwargs})


METHODS = "new_tensor new_empty new_zeros new_ones new_full".split()
