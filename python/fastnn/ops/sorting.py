"""Order: sort, argsort, topk, kthvalue, median, unique, searchsorted and the like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._errors import ShapeError
from ._util import as_tensor_operand, dim_of, require_tensor, wide, wrap
from .gathering import gather
from .results import named_result

_SortResult = named_result("sort", "values", "indices")
_TopkResult = named_result("topk", "values", "indices")
_KthResult = named_result("kthvalue", "values", "indices")
_MedianResult = named_result("median", "values", "indices")
_ModeResult = named_result("mode", "values", "indices")


def _argsort(a: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    """Stable order; NaN counts as largest, as in PyTorch."""
    a = wide(a)
    if not descending:
        return np.argsort(a, axis=dim, kind="stable")
    # Stable and descending: sort the reversed array ascending, and reverse again.
    order = np.argsort(np.flip(a, dim), axis=dim, kind="stable")
    return np.ascontiguousarray(np.flip(a.shape[dim] - 1 - order, dim))


def _picked(input: Any, dim: int, indices: np.ndarray) -> Any:
    """The values at `indices` along `dim`, with gradient."""
    return gather(input, dim, wrap(indices))


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Values in order along `dim`, and where they came from. Always stable; NaN last (ascending)."""
    d = dim_of(input, dim, "sort")
    if input._data.ndim == 0:
        return _alone(input, _SortResult)
    order = _argsort(input._data, d, descending)
    return _SortResult((_picked(input, d, order), wrap(order)))


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices that sort along `dim`."""
    d = dim_of(input, dim, "argsort")
    if input._data.ndim == 0:
        return wrap(np.zeros((), np.int64))
    return wrap(_argsort(input._data, d, descending))


def msort(input: Any) -> Any:
    """The values in order along the first dimension."""
    return sort(require_tensor(input, "msort"), 0)[0]


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k largest (or smallest) values along `dim`, in order, and their indices."""
    d = dim_of(input, dim, "topk")
    if input._data.ndim == 0:
        return _alone(input, _TopkResult)
    n = input._data.shape[d]
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: selected index k out of range: k = {k}, dimension has size {n}")
    order = np.ascontiguousarray(np.take(_argsort(input._data, d, largest), range(k), axis=d))
    return _TopkResult((_picked(input, d, order), wrap(order)))


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest value (counted from 1) along `dim`, and its index."""
    d = dim_of(input, dim, "kthvalue")
    n = input._data.shape[d] if input._data.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}: k = {k}")
    if input._data.ndim == 0:
        return _alone(input, _KthResult)
    return _one(
        input, d, np.take(_argsort(input._data, d, False), [k - 1], axis=d), keepdim, _KthResult
    )


def _alone(input: Any, result: Any) -> Any:
    """A 0-d tensor reduced along its only, imagined, dimension."""
    return result((input.clone(), wrap(np.zeros((), np.int64))))


def _one(input: Any, d: int, index: np.ndarray, keepdim: bool, result: Any) -> Any:
    values, indices = _picked(input, d, index), wrap(index)
    if not keepdim:
        values, indices = values.squeeze(d), indices.squeeze(d)
    return result((values, indices))


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median (the lower of two) of all elements; or along `dim`, with indices. NaN wins."""
    if dim is None:
        flat = require_tensor(input, "median").reshape(-1)
        if not flat._data.size and flat._data.dtype.kind not in "iub":
            return flat.sum() * math.nan
        return _median(flat, 0, False)[0]
    d = dim_of(input, dim, "median")
    if input._data.ndim == 0:
        return _alone(input, _MedianResult)
    return _median(input, d, keepdim)


def _median(input: Any, d: int, keepdim: bool) -> Any:
    a = wide(input._data)
    n = a.shape[d]
    if n == 0:
        raise IndexError("median(): Expected reduction dim to have non-zero size.")
    order = _argsort(a, d, False)
    middle = np.take(order, [(n - 1) // 2], axis=d)
    if a.dtype.kind == "f":
        nan = np.isnan(a)
        first_nan = np.expand_dims(np.argmax(nan, axis=d), d)
        middle = np.where(np.any(nan, axis=d, keepdims=True), first_nan, middle)
    return _one(input, d, middle, keepdim, _MedianResult)


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent value along `dim` (the smallest of several), and the index of its last occurrence."""
    d = dim_of(input, dim, "mode")

    def last_of_most(row: np.ndarray) -> int:
        values, counts = np.unique(row, return_counts=True, equal_nan=False)
        places = np.flatnonzero(row == values[np.argmax(counts)])
        return int(places[-1]) if places.size else 0  # all are NaN

    if input._data.ndim == 0:
        return _alone(input, _ModeResult)
    if input._data.shape[d] == 0:
        raise IndexError("mode(): Expected reduction dim to have non-zero size.")
    if input._data.size == 0:
        index = np.zeros(np.take(input._data, [0], d).shape, np.int64)
        return _one(input, d, index, keepdim, _ModeResult)
    index = np.expand_dims(np.apply_along_axis(last_of_most, d, wide(input._data)), d)
    return _one(input, d, index, keepdim, _ModeResult)


def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices of `dim`), in order; on demand the inverse and the counts."""
    options: dict[str, Any] = {
        "return_inverse": return_inverse,
        "return_counts": return_counts,
        "axis": dim,
    }
    found: Any = np.unique(wide(require_tensor(input, "unique")._data), equal_nan=False, **options)
    if not (return_inverse or return_counts):
        return wrap(found.astype(input._data.dtype))
    parts = list(found)
    parts[0] = parts[0].astype(input._data.dtype)
    if return_inverse:
        shape = input._data.shape if dim is None else (input._data.shape[dim],)
        parts[1] = parts[1].reshape(shape)
    return tuple(wrap(p) for p in parts)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """The elements of the flat input without immediate repeats."""
    flat = require_tensor(input, "unique_consecutive")._data.reshape(-1)
    new = np.concatenate([[True], flat[1:] != flat[:-1]]) if flat.size else np.zeros(0, bool)
    out = [wrap(flat[new])]
    if return_inverse:
        out.append(wrap((np.cumsum(new) - 1).reshape(input._data.shape)))
    if return_counts:
        out.append(wrap(np.diff(np.append(np.flatnonzero(new), flat.size)).astype(np.int64)))
    return out[0] if len(out) == 1 else tuple(out)


def searchsorted(sorted_sequence: Any, input: Any, *, right: bool = False) -> Any:
    """Where each value of `input` would go in the sorted 1-D (or row-wise sorted) sequence."""
    side: Any = "right" if right else "left"
    s = wide(require_tensor(sorted_sequence, "searchsorted", "sorted_sequence")._data)
    v = as_tensor_operand(input, "searchsorted", "input")._data
    if s.ndim != 1 and s.shape[:-1] != v.shape[:-1]:
        raise ShapeError(
            f"searchsorted: sorted_sequence must be 1-D or have the leading sizes of input, got shapes "
            f"{s.shape} and {v.shape}"
        )
    if s.ndim == 1:
        return wrap(np.asarray(np.searchsorted(s, v, side)).astype(np.int64))
    rows = [
        np.searchsorted(a, b, side)
        for a, b in zip(s.reshape(-1, s.shape[-1]), v.reshape(-1, v.shape[-1]), strict=True)
    ]
    return wrap(np.stack(rows).reshape(v.shape).astype(np.int64))


def bucketize(input: Any, boundaries: Any, *, right: bool = False) -> Any:
    """The bucket of each value: searchsorted with the arguments in the other order."""
    return searchsorted(boundaries, input, right=right)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each non-negative int occurs (or the sum of its weights)."""
    a = require_tensor(input, "bincount")._data
    if a.ndim != 1 or a.dtype.kind not in "iu" or (a.size and int(a.min()) < 0):
        raise ValueError(
            "bincount: only 1-D tensors of non-negative integers are supported, got shape "
            f"{a.shape} of {a.dtype}"
        )
    if weights is None:
        return wrap(np.bincount(a, None, minlength))
    w = require_tensor(weights, "bincount", "weights")._data
    if w.shape != a.shape:
        raise ShapeError(
            f"bincount: weights should be 1-d and have the same length as input, got {w.shape} and {a.shape}"
        )
    sums = np.bincount(a, w.astype(np.float64), minlength)
    return wrap(sums.astype(np.float32) if w.dtype == np.float32 else sums)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Counts in `bins` equal ranges from min to max (those of the data when both are 0)."""
    a = wide(require_tensor(input, "histc")._data)
    if bins <= 0:
        raise ValueError(f"histc: bins must be positive, got {bins}")
    if not -np.inf < min <= max < np.inf:
        raise ValueError(f"histc: expected finite min <= max, got {min} and {max}")
    if min == max == 0 and a.size:
        min, max = float(a.min()), float(a.max())
    if min == max:
        min, max = min - 1, max + 1
    inside = a[(a >= min) & (a <= max)]
    counts = np.histogram(inside, bins, (min, max))[0]
    return wrap(counts.astype(input._data.dtype))


METHODS = (
    "sort argsort msort topk kthvalue median mode unique unique_consecutive bincount histc"
).split()
