"""Reading and writing where a mask is True; where an input is not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import DTypeError
from ._integers import put
from ._util import TensorBase, broadcast_shape, require_tensor, require_tensors, wide, wrap
from .indexing import getitem, setitem
from .inplace import in_place


def _mask(mask: Any, op: str) -> Any:
    require_tensor(mask, op, "mask")
    if mask._data.dtype != np.bool_:
        raise DTypeError(f"{op} expects mask to be a bool tensor, got {mask._data.dtype}")
    return mask


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`value` where mask is True, the input elsewhere."""
    from .pointwise import where

    require_tensor(input, "masked_fill")
    _mask(mask, "masked_fill")
    if isinstance(value, TensorBase):
        if value._data.ndim:
            raise RuntimeError("masked_fill only supports a 0-dimensional value tensor")
        value = value.to(input.dtype)
    else:
        d = input._data.dtype
        value = wrap(np.asarray(put(value, d, "masked_fill")).astype(d))
    return where(mask, value, input)


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where mask is True, as one dimension."""
    require_tensor(input, "masked_select")
    _mask(mask, "masked_select")
    shape = broadcast_shape(input._data.shape, mask._data.shape, "masked_select")
    return getitem(input.expand(shape), wrap(np.broadcast_to(mask._data, shape)))


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The elements of `source`, in order, where mask is True; the input elsewhere."""
    require_tensors("masked_scatter", input=input, source=source)
    _mask(mask, "masked_scatter")
    shape = broadcast_shape(input._data.shape, mask._data.shape, "masked_scatter")
    full = np.broadcast_to(mask._data, shape)
    count = int(full.sum())
    if source._data.size < count:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have {count} elements at least"
        )
    out = input.expand(shape).clone()
    setitem(out, wrap(full), source.reshape(-1)[:count])
    return out


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: (count, ndim), or one tensor a dimension."""
    found = np.nonzero(np.atleast_1d(wide(require_tensor(input, "nonzero")._data)))
    if as_tuple:
        return tuple(wrap(f) for f in found)
    if input._data.ndim == 0:
        return wrap(np.empty((len(found[0]), 0), np.int64))
    return wrap(np.stack(found, 1).reshape(-1, input._data.ndim))


def argwhere(input: Any) -> Any:
    """nonzero(input)."""
    return nonzero(input)


masked_fill_ = in_place("masked_fill_", masked_fill)
masked_scatter_ = in_place("masked_scatter_", masked_scatter)

METHODS = (
    "masked_fill masked_select masked_scatter nonzero argwhere masked_fill_ masked_scatter_"
).split()
