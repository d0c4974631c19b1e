"""Reading and writing by index: basic, integer-array and boolean."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._integers import put
from ._util import (
    TensorBase,
    cast,
    refuse_on_gpu,
    wide,
    wrap,
)
from .inplace import bump, copy_, guard, rebase

_BASIC = (int, slice, type(None), type(Ellipsis))
_PARTS = (slice, type(None), type(Ellipsis), TensorBase, np.ndarray, list, tuple, range)


def _key(index: Any, shape: tuple[int, ...]) -> tuple[tuple, bool]:
    """A NumPy key, and whether it is basic (a view)."""
    parts = index if type(index) is tuple else (index,)
    if isinstance(index, list) and any(isinstance(i, _PARTS) for i in index):
        parts = tuple(index)  # as PyTorch reads a list that holds more than numbers
    out, basic = [], True
    for p in parts:
        if isinstance(p, TensorBase):
            p = p._data
            refuse_on_gpu(p, "indexing with a tensor")
        elif isinstance(p, (list, tuple, range)):
            p = np.asarray([q._data if isinstance(q, TensorBase) else q for q in p])
            if p.size == 0:
                p = p.astype(np.int64)
        if isinstance(p, np.ndarray):
            if p.dtype.kind not in "iub":
                raise IndexError(
                    f"tensors used as indices must be long, int, byte or bool tensors, got {p.dtype}"
                )
            if p.dtype == np.uint8:
                p = p.astype(np.bool_)
            if p.ndim == 0 and p.dtype != np.bool_:
                p = int(p)
            else:
                basic = False
        elif isinstance(p, (bool, np.bool_)):
            p, basic = np.asarray(p), False
        elif isinstance(p, slice):
            p = _checked_slice(p)
        elif isinstance(p, np.integer):
            p = int(p)
        elif not isinstance(p, _BASIC):
            try:
                p = p.__index__()
            except AttributeError:
                raise TypeError(
                    "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
                    f"are valid indices (got {type(p).__name__})"
                ) from None
        out.append(p)
    _check_count(out, shape)
    return tuple(out), basic


def _checked_slice(s: slice) -> slice:
    parts = [p._data.item() if isinstance(p, TensorBase) else p for p in (s.start, s.stop, s.step)]
    if parts[2] is not None and parts[2] <= 0:
        raise ValueError("step must be greater than zero")
    return slice(*parts)


def _check_count(parts: list, shape: tuple[int, ...]) -> None:
    used, position = 0, 0
    after_ellipsis = False
    for p in parts:
        if p is None:
            continue
        if p is Ellipsis:
            after_ellipsis = True
            continue
        n = _dims_of(p)
        if isinstance(p, int) and not after_ellipsis and position < len(shape):
            size = shape[position]
            if not -size <= p < size:
                raise IndexError(
                    f"index {p} is out of bounds for dimension {position} with size {size}"
                )
        used += n
        position += n
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")


def _dims_of(part: Any) -> int:
    """How many dimensions one part of a key takes."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == np.bool_ else 1


def _as_numpy_key(x: Any, key: tuple) -> tuple[Any, tuple]:
    """A view of `x` and a key with which NumPy lays the result out as PyTorch does.

    NumPy broadcasts whole numbers with the arrays, which moves the result's dimensions; PyTorch selects them first. And an
    ellipsis that stands for nothing keeps arrays apart in NumPy only.
    """
    if sum(map(_dims_of, key)) == x._data.ndim:
        key = tuple(p for p in key if p is not Ellipsis)
    if not any(type(p) is int for p in key):
        return x, key
    first: list[Any] = []
    for p in key:
        if type(p) is int or p is Ellipsis:
            first.append(p)
        else:
            first.extend([slice(None)] * _dims_of(p))
    return getitem(x, tuple(first)), tuple(p for p in key if type(p) is not int)


def _getitem_by_array(self: Any, index: Any) -> Any:
    key, basic = _key(index, self._data.shape)
    if basic:
        return getitem(self, key)
    refuse_on_gpu(self._data, "indexing with a tensor")
    self, key = _as_numpy_key(self, key)
    try:
        out = wrap(np.asarray(self._data[key]))
    except IndexError as e:
        raise IndexError(f"{e} (tensor of shape {list(self._data.shape)})") from None
    if wants_grad(self):
        record(out, _index_backward, (self,), (), (self._data.shape, key))
    return out


getitem = _core.make_getitem(_getitem_by_array)


def _index_backward(node: Node, g: Any) -> Any:
    shape, key = node.ctx
    return added_at(g, shape, key)


def added_at(g: Any, shape: tuple, key: tuple) -> Any:
    """zeros(shape) with `g` added at `key`; its own gradient reads at `key`."""
    out = wrap(index_add_array(g._data, shape, key))
    if wants_grad(g):
        record(out, _index_add_backward, (g,), (), key)
    return out


def _index_add_backward(node: Node, g: Any) -> Any:
    return getitem(g, node.ctx)


def index_add_array(values: np.ndarray, shape: tuple, key: Any) -> np.ndarray:
    """zeros(shape) with `values` added at `key`, in the order of the indices."""
    work = wide(values)
    full = np.zeros(shape, work.dtype)
    arrays = [k for k in (key if isinstance(key, tuple) else (key,)) if isinstance(k, np.ndarray)]
    if all(a.dtype == np.bool_ for a in arrays):  # every element at most once
        full[key] = work
    else:
        np.add.at(full, key, work)
    return cast(full, values.dtype)


def _without_leading_ones(value: Any, ndim: int) -> Any:
    """`value` with at most `ndim` dimensions where those beyond are 1, as PyTorch takes it."""
    extra = value._data.ndim - ndim
    if extra > 0 and all(n == 1 for n in value._data.shape[:extra]):
        return value.reshape(value._data.shape[extra:])
    return value


def _assignable(value: Any) -> Any:
    """A tensor of a number, an array or nested lists of numbers."""
    a = np.asarray(value)
    if a.dtype.kind not in "iubf" and a.dtype not in dtypes.NARROW_NUMPY:
        raise TypeError(
            f"setitem: value must be a Tensor, a number or numbers in lists, got {type(value).__name__}"
        )
    return wrap(a)


def _setitem_any(self: Any, index: Any, value: Any) -> None:
    key, basic = _key(index, self._data.shape)
    if not isinstance(value, TensorBase):
        value = _assignable(put(value, self._data.dtype, "setitem"))
    if basic and (wants_grad(self, value) or not isinstance(self._data, np.ndarray)):
        window = getitem(self, key)
        copy_(window, _without_leading_ones(value, window._data.ndim))
        return
    if not basic:
        self, key = _as_numpy_key(self, key)
    guard(self, "setitem")
    target = self._data[key].shape
    value = _without_leading_ones(value, len(target))
    data = value._data
    try:
        data = np.broadcast_to(data, target)
    except ValueError:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(value._data.shape)} cannot be broadcast to "
            f"indexing result of shape {list(target)}"
        ) from None
    recording = wants_grad(self, value)
    after = wrap(self._data)
    if recording:
        record(after, _index_put_backward, (self, value), (), (key, value._data.shape))
    self._data[key] = cast(data, self._data.dtype)
    bump(self)
    if recording:
        rebase(self, after)


setitem = _core.make_setitem(_setitem_any)


def _index_put_backward(node: Node, g: Any) -> tuple:
    key, shape = node.ctx
    rest = None
    if node.edges[0] is not None:
        rest = g.clone()
        setitem(rest, key, 0)
    mine = getitem(g, key).sum_to_size(shape) if node.edges[1] is not None else None
    return rest, mine
