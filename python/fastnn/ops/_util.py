"""Small pieces that every op file needs."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._core import TensorBase, wrap
from .._errors import DTypeError, ShapeError


def normalize_dim(dim: Any, ndim: int, op: str) -> int:
    """A dimension counted from the end made one from the start; IndexError out of range."""
    try:
        d = operator.index(dim)
    except TypeError:
        raise TypeError(f"{op}: dim must be an int, got {type(dim).__name__}") from None
    n = max(ndim, 1)
    if not -n <= d < n:
        raise IndexError(
            f"{op}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})"
        )
    return d + n if d < 0 else d


def normalize_dims(dims: Any, ndim: int, op: str) -> tuple[int, ...]:
    """One dim or several, as sorted-as-given distinct non-negative ints; None means all.

    A 0-d tensor may be asked for its dim 0 or -1, as in PyTorch; it has none to give.
    """
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, Iterable):
        out = tuple(normalize_dim(d, ndim, op) for d in dims)
        if len(set(out)) != len(out):
            raise RuntimeError(
                f"{op}: dim {tuple(dims)} appears multiple times in the list of dims"
            )
        return out if out and ndim else tuple(range(ndim))
    d = normalize_dim(dims, ndim, op)
    return (d,) if ndim else ()


def dim_of(x: Any, dim: Any, op: str) -> int:
    """normalize_dim() of a tensor's dimension; TypeError for what is no tensor."""
    return normalize_dim(dim, require_tensor(x, op)._data.ndim, op)


def dims_of(x: Any, dims: Any, op: str) -> tuple[int, ...]:
    """normalize_dims() of a tensor's dimensions; TypeError for what is no tensor."""
    return normalize_dims(dims, require_tensor(x, op)._data.ndim, op)


def shape_args(args: Sequence[Any], op: str) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(args) == 1 and type(args[0]) is not int and not hasattr(args[0], "__index__"):
        args = args[0]
    try:
        return tuple([operator.index(a) for a in args])
    except TypeError:
        raise TypeError(f"{op}: sizes must be ints, got {args!r}") from None


def check_bytes(shape: Sequence[int], itemsize: int, op: str) -> None:
    """RuntimeError for an array too large for any address space."""
    if math.prod(shape) * itemsize > 2**62:
        raise RuntimeError(f"{op}: Storage size calculation overflowed with sizes={list(shape)}")


def sizes(shape: Any, op: str) -> tuple[int, ...]:
    """A shape whose sizes are non-negative."""
    out = shape_args(shape if isinstance(shape, (tuple, list)) else (shape,), op)
    for s in out:
        if s < 0:
            raise RuntimeError(f"{op}: negative dimension {s} in shape {out}")
    return out


def broadcast_shape(a: tuple, b: tuple, op: str) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(
            f"{op}: shapes {a} and {b} do not broadcast: counted from the right, sizes must be equal "
            "or 1"
        ) from None


def wide(a: np.ndarray) -> np.ndarray:
    """float32 for the storage-only 16-bit floats: what NumPy may compute with."""
    return cast(a, np.dtype(np.float32)) if a.dtype in dtypes.NARROW_NUMPY else a


def cast(a: np.ndarray, d: np.dtype) -> np.ndarray:
    """`a` as dtype `d`: itself when it has it already."""
    if a.dtype == d:
        return a
    return _core.cast(a, d)


def as_array(a: Any) -> Any:
    """An array from an array or one number of NumPy's; one on a GPU stays there."""
    return a if _core.is_device_array(a) else np.asarray(a)


def refuse_on_gpu(a: Any, op: str) -> None:
    """NotImplementedError where an array lies on a GPU and `op` computes with NumPy."""
    if _core.is_device_array(a):
        raise NotImplementedError(
            f"{op}: there are no CUDA kernels for it yet; move the tensors to the CPU with .cpu()"
        )


def as_tensor_operand(x: Any, op: str, name: str) -> Any:
    """A tensor from a tensor, an ndarray or a Python number (0-d)."""
    if isinstance(x, TensorBase):
        return x
    if isinstance(x, np.ndarray):
        return wrap(x)
    if isinstance(x, (bool, int, float, np.number, np.bool_)):
        return wrap(np.asarray(x, dtypes.of_scalar(x).numpy))
    raise TypeError(
        f"{op}(): argument '{name}' must be a Tensor or a number, got {type(x).__name__}"
    )


def require_tensor(x: Any, op: str, name: str = "input") -> Any:
    if not isinstance(x, TensorBase):
        raise TypeError(f"{op}(): argument '{name}' must be a Tensor, not {type(x).__name__}")
    return x


def require_tensors(op: str, **named: Any) -> None:
    """TypeError that names the first one that is no tensor."""
    for name, x in named.items():
        require_tensor(x, op, name)


def optional_tensors(op: str, **named: Any) -> None:
    """As require_tensors(), and None will do."""
    for name, x in named.items():
        if x is not None:
            require_tensor(x, op, name)


def require_float(x: Any, op: str, name: str = "input") -> Any:
    require_tensor(x, op, name)
    if x._data.dtype.kind in "iub":
        raise DTypeError(
            f"{op}: {name} must have a floating-point dtype, got {x._data.dtype}; convert it with "
            ".float() first"
        )
    return x


def index_array(index: Any, op: str, name: str = "index") -> np.ndarray:
    """The int64 array of an index tensor; DTypeError for other dtypes."""
    require_tensor(index, op, name)
    a = index._data
    refuse_on_gpu(a, op)
    if a.dtype == np.int64:
        return a
    if a.dtype == np.int32:
        return a.astype(np.int64)
    raise DTypeError(f"{op}(): Expected dtype int32/int64 for {name}, got {a.dtype}; use .long()")


def check_index_range(a: np.ndarray, n: int, op: str) -> None:
    """IndexError unless every entry is in [0, n)."""
    if a.size and (int(a.min()) < 0 or int(a.max()) >= n):
        bad = a[(a < 0) | (a >= n)].ravel()[0]
        raise IndexError(f"{op}: index {int(bad)} is out of bounds for dimension with size {n}")


def store(out: Any, result: Any, op: str) -> Any:
    """Implements ``out=``: writes `result` into the tensor `out` and returns it."""
    require_tensor(out, op, "out")
    if out.requires_grad or result.requires_grad:
        raise RuntimeError(
            f"{op}(): functions with out=... arguments don't support automatic differentiation, but "
            "one of the arguments requires grad."
        )
    if not dtypes.can_cast(dtypes.of_array(result._data), dtypes.of_array(out._data)):
        raise RuntimeError(
            f"result type {dtypes.of_array(result._data).name} can't be cast to the desired output "
            f"type {dtypes.of_array(out._data).name}"
        )
    if out._data.shape != result._data.shape:
        out._data = np.empty(result._data.shape, out._data.dtype)
    out.copy_(result)
    return out
