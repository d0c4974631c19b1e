"""gather, scatter, index_select and their relatives: by indices along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from .._errors import DTypeError, ShapeError
from ..autograd.node import wants_grad
from ._util import (
    TensorBase,
    as_tensor_operand,
    check_index_range,
    dim_of,
    index_array,
    normalize_dim,
    require_tensor,
    require_tensors,
    wrap,
)
from .indexing import added_at, getitem, setitem
from .inplace import in_place


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
    require_tensors("take", input=input, index=index)
    return getitem(input.reshape(-1), index)


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
    return input + added_at(part, input._data.shape, _gather_key(d, i))


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """scatter with a reduction: sum, prod, mean, amax or amin (gradients for sum and mean)."""
    i = index_array(index, "scatter_reduce")
    d = dim_of(input, dim, "scatter_reduce")
    check_index_range(i, input._data.shape[d], "scatter_reduce")
    as_tensor_operand(src, "scatter_reduce", "src")
    if not isinstance(src, TensorBase):
        src = wrap(np.full(i.shape, src, input._data.dtype))
    key = _gather_key(d, i)
    hit = np.zeros(input._data.shape, np.bool_)
    hit[key] = True
    start = input
    if not include_self:
        start = input.masked_fill(wrap(hit), _neutral(reduce, input._data.dtype))
    if reduce in ("sum", "mean"):
        total = scatter_add(start, dim, index, src)
        if reduce == "sum":
            return total
        count = np.full(input._data.shape, 1 if include_self else 0, np.int64)
        np.add.at(count, key, 1)
        rounding = None if dtypes.of_array(input._data).is_floating_point else "floor"
        divisor = wrap(np.maximum(count, 1).astype(input._data.dtype))
        return total.div(divisor, rounding_mode=rounding)
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


def _neutral(reduce: str, d: np.dtype) -> Any:
    """What a reduction starts from when the input's own elements do not count."""
    if reduce not in ("amax", "amin"):
        return int(reduce == "prod")
    if d.kind == "b":
        return reduce == "amin"
    low, high = (np.iinfo(d).min, np.iinfo(d).max) if d.kind in "iu" else (-np.inf, np.inf)
    return low if reduce == "amax" else high


def _check_slices(input: Any, dim: int, index: np.ndarray, source: Any, op: str) -> None:
    """`source` must have a slice of the input, of its dtype, for every index."""
    shape = list(input._data.shape)
    if shape:
        shape[dim] = index.size
    if list(require_tensor(source, op, "source")._data.shape) != shape:
        raise ShapeError(
            f"{op}(): source must have a slice of input for every index, shape {shape}, got "
            f"{list(source._data.shape)}"
        )
    if source._data.dtype != input._data.dtype:
        raise DTypeError(
            f"{op}(): source must have input's dtype {input._data.dtype}, got {source._data.dtype}"
        )


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """A copy of input with ``out[index[i]] += alpha * source[i]`` along `dim`."""
    i = index_array(index, "index_add")
    d = dim_of(input, dim, "index_add")
    _check_slices(input, d, i, source, "index_add")
    check_index_range(i, input._data.shape[d], "index_add")
    key = (slice(None),) * d + (i,)
    if alpha != 1:
        source = source * alpha
    return input + added_at(source, input._data.shape, key)


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy of input with the slices at `index` replaced by those of `source`."""
    i = index_array(index, "index_copy")
    d = dim_of(input, dim, "index_copy")
    _check_slices(input, d, i, source, "index_copy")
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
        return input + added_at(values.expand(target), input._data.shape, key)
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
