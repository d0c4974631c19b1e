"""Reading and writing by index: basic, integer-array and boolean; gather, scatter, index_select and relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError, ShapeError
from ..autograd.node import Node, record, wants_grad
from ._util import (
    TensorBase,
    cast,
    check_index_range,
    dim_of,
    index_array,
    normalize_dim,
    require_tensor,
    require_tensors,
    wide,
    wrap,
)
from .inplace import bump, copy_, guard, in_place, rebase

_BASIC = (int, slice, type(None), type(Ellipsis))


def _key(index: Any, shape: tuple[int, ...]) -> tuple[tuple, bool]:
    """A NumPy key, and whether it is basic (a view)."""
    parts = index if type(index) is tuple else (index,)
    if isinstance(index, list):
        parts = tuple(index) if any(isinstance(i, (slice, TensorBase)) for i in index) else (index,)
    out, basic = [], True
    for p in parts:
        if isinstance(p, TensorBase):
            p = p._data
        elif isinstance(p, (list, range)):
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
    return _IndexAdd.of(g, shape, key)


class _IndexAdd:
    """zeros(shape) with `g` added at `key`; its own gradient reads at `key`."""

    @staticmethod
    def of(g: Any, shape: tuple, key: tuple) -> Any:
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
        value = _assignable(value)
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


# ---- along one dimension -----------------------------------------------------------------------------------------


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of dimension `dim` at `index` (1-D)."""
    i = index_array(index, "index_select")
    if i.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    d = dim_of(input, dim, "index_select")
    check_index_range(i, input._data.shape[d] if input._data.ndim else 1, "index_select")
    if input._data.ndim == 0:
        return input.clone()
    return getitem(input, (slice(None),) * d + (np.atleast_1d(i),))


def take(input: Any, index: Any) -> Any:
    """The elements at `index` of the input seen as one dimension."""
    return getitem(require_tensor(input, "take").reshape(-1), index)


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """gather() with broadcasting; over the flat input when `dim` is None."""
    require_tensors("take_along_dim", input=input, indices=indices)
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    d = dim_of(input, dim, "take_along_dim")
    a, b = list(input._data.shape), list(indices._data.shape)
    common = list(
        np.broadcast_shapes(tuple(a[:d] + [1] + a[d + 1 :]), tuple(b[:d] + [1] + b[d + 1 :]))
    )
    a[:d], a[d + 1 :] = common[:d], common[d + 1 :]
    b[:d], b[d + 1 :] = common[:d], common[d + 1 :]
    return gather(input.expand(a), d, indices.expand(b))


def _gather_key(dim: int, index: np.ndarray) -> tuple:
    """The integer-array key that picks `index` along `dim` and counts along the other dimensions."""
    grids = np.ogrid[tuple(slice(n) for n in index.shape)]
    key = list(grids)
    key[dim] = index
    return tuple(key)


def _check_gather(
    shape: tuple, dim: int, index: np.ndarray, op: str, skip_dim: bool = True
) -> None:
    if index.ndim != max(len(shape), 1) and index.size:
        raise RuntimeError(
            f"{op}(): Index tensor must have the same number of dimensions as input tensor, got "
            f"{index.ndim} and {len(shape)}"
        )
    for d, (n, m) in enumerate(zip(index.shape, shape, strict=False)):
        if n > m and not (skip_dim and d == dim):
            raise ShapeError(
                f"{op}(): Expected index {list(index.shape)} to be no larger than self {list(shape)} "
                f"apart from dimension {dim}"
            )


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """``out[i][j] = input[index[i][j]][j]`` (for dim 0): one pick along `dim` for each place of `index`."""
    require_tensor(input, "gather")
    i = index_array(index, "gather")
    shape = input._data.shape
    d = normalize_dim(dim, len(shape), "gather")
    _check_gather(shape, d, i, "gather")
    check_index_range(i, shape[d] if shape else 1, "gather")
    if not shape:
        return input.expand(i.shape).clone()
    if i.size == 0:
        return wrap(np.empty(i.shape, input._data.dtype))
    return getitem(input, _gather_key(d, i))


def scatter(input: Any, dim: int, index: Any, src: Any, *, reduce: str | None = None) -> Any:
    """A copy of input with ``out[index[i][j]][j] = src[i][j]`` (for dim 0)."""
    require_tensor(input, "scatter")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        return scatter_reduce(input, dim, index, src, {"add": "sum", "multiply": "prod"}[reduce])
    i = index_array(index, "scatter")
    d = dim_of(input, dim, "scatter")
    _check_gather(input._data.shape, d, i, "scatter")
    check_index_range(i, input._data.shape[d] if input._data.ndim else 1, "scatter")
    key = _gather_key(d, i)
    if isinstance(src, TensorBase):
        if src._data.dtype != input._data.dtype:
            raise DTypeError(
                f"scatter(): Expected self.dtype to be equal to src.dtype, got {input._data.dtype} and "
                f"{src._data.dtype}"
            )
        _check_gather(src._data.shape, d, i, "scatter (src)", skip_dim=False)
        src = getitem(src, tuple(slice(n) for n in i.shape))
    out = input.clone()
    setitem(out, key, src)
    return out


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of input with ``out[index[i][j]][j] += src[i][j]`` (for dim 0)."""
    i = index_array(index, "scatter_add")
    d = dim_of(input, dim, "scatter_add")
    require_tensor(src, "scatter_add", "src")
    _check_gather(input._data.shape, d, i, "scatter_add")
    _check_gather(src._data.shape, d, i, "scatter_add (src)", skip_dim=False)
    check_index_range(i, input._data.shape[d] if input._data.ndim else 1, "scatter_add")
    part = getitem(src, tuple(slice(n) for n in i.shape))
    return input + _IndexAdd.of(part, input._data.shape, _gather_key(d, i))


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """scatter with a reduction: sum, prod, mean, amax or amin (gradients for sum and mean)."""
    i = index_array(index, "scatter_reduce")
    d = dim_of(input, dim, "scatter_reduce")
    check_index_range(i, input._data.shape[d], "scatter_reduce")
    if not isinstance(src, TensorBase):
        src = wrap(np.full(i.shape, src, input._data.dtype))
    key = _gather_key(d, i)
    hit = np.zeros(input._data.shape, np.bool_)
    hit[key] = True
    start = input if include_self else input.masked_fill(wrap(hit), _NEUTRAL.get(reduce, 0))
    if reduce in ("sum", "mean"):
        total = scatter_add(start, dim, index, src)
        if reduce == "sum":
            return total
        count = np.full(input._data.shape, 1 if include_self else 0, np.int64)
        np.add.at(count, key, 1)
        return total / wrap(np.maximum(count, 1).astype(input._data.dtype))
    ufunc = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}.get(reduce)
    if ufunc is None:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if wants_grad(input, src):
        raise NotImplementedError(f"scatter_reduce: no gradient for reduce='{reduce}'")
    out = start._data.copy()
    ufunc.at(out, key, src._data[tuple(slice(n) for n in i.shape)])
    return wrap(out)


_NEUTRAL = {"sum": 0, "mean": 0, "prod": 1, "amax": -np.inf, "amin": np.inf}


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """A copy of input with ``out[index[i]] += alpha * source[i]`` along `dim`."""
    i = index_array(index, "index_add")
    d = dim_of(input, dim, "index_add")
    require_tensor(source, "index_add", "source")
    check_index_range(i, input._data.shape[d], "index_add")
    key = (slice(None),) * d + (i,)
    if alpha != 1:
        source = source * alpha
    return input + _IndexAdd.of(source, input._data.shape, key)


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy of input with the slices at `index` replaced by those of `source`."""
    i = index_array(index, "index_copy")
    d = dim_of(input, dim, "index_copy")
    check_index_range(i, input._data.shape[d], "index_copy")
    out = input.clone()
    setitem(out, (slice(None),) * d + (i,), source)
    return out


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy of input with the slices at `index` filled with a number."""
    i = index_array(index, "index_fill")
    d = dim_of(input, dim, "index_fill")
    check_index_range(i, input._data.shape[d], "index_fill")
    out = input.clone()
    setitem(out, (slice(None),) * d + (i,), value)
    return out


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy of input with ``out[indices] = values`` (or ``+=``)."""
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            f"index_put: indices must be a tuple of Tensors, got {type(indices).__name__}"
        )
    require_tensors("index_put", input=input, values=values)
    key = tuple(require_tensor(t, "index_put", "indices")._data for t in indices)
    if accumulate:
        target = input._data[key].shape
        return input + _IndexAdd.of(values.expand(target), input._data.shape, key)
    out = input.clone()
    setitem(out, tuple(indices), values)
    return out


scatter_ = in_place("scatter_", scatter)
scatter_add_ = in_place("scatter_add_", scatter_add)
scatter_reduce_ = in_place("scatter_reduce_", scatter_reduce)
index_add_ = in_place("index_add_", index_add)
index_copy_ = in_place("index_copy_", index_copy)
index_fill_ = in_place("index_fill_", index_fill)
index_put_ = in_place("index_put_", index_put)


METHODS = (
    "index_select take take_along_dim gather scatter scatter_add scatter_reduce index_add index_copy index_fill "
    "index_put scatter_ scatter_add_ scatter_reduce_ index_add_ index_copy_ index_fill_ index_put_"
).split()
