"""Views: other windows on the same memory, tied to their base for gradients and writes in place.

Those that only move axes or cut windows are C's (``csrc/bindings/view_ops.cpp``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import (  # noqa: F401 (METHODS names them)
    alias,
    diagonal,
    expand,
    flatten,
    narrow,
    permute,
    reshape,
    select,
    squeeze,
    transpose,
    unflatten,
    unsqueeze,
    view,
)
from ..autograd.node import Node, record, state, wants_grad
from ._util import dim_of, normalize_dim, normalize_dims, require_tensor, shape_args, wrap


def replay(view: Any, base: Any) -> Any:
    """The view that `view` describes (a tensor's `_view`), made of another base."""
    later = []
    while type(view) is tuple:  # a view of a view
        later.append(view[1])
        view = view[0]
    out = view(base)
    for again in reversed(later):
        out = again(out)
    return out


def sync_view(v: Any) -> None:
    """The base of `v` was written in place since v was made: v's history is that of the same view made now."""
    base = v._base
    v._seen_version = base._version
    if not base.requires_grad:
        return
    before = state.enabled
    state.enabled = True
    try:
        fresh = replay(v._view, base)
    finally:
        state.enabled = before
    v._node, v._index, v._requires_grad = fresh._node, fresh._index, True


# ---- reshaping ---------------------------------------------------------------------------------------------------


def view_as(input: Any, other: Any) -> Any:
    """view() in the shape of `other`."""
    return view(input, require_tensor(other, "view_as", "other")._data.shape)


def reshape_as(input: Any, other: Any) -> Any:
    """reshape() in the shape of `other`."""
    return reshape(input, require_tensor(other, "reshape_as", "other")._data.shape)


def ravel(input: Any) -> Any:
    """The elements as one dimension."""
    return reshape(input, (-1,))


# ---- axes --------------------------------------------------------------------------------------------------------


def t(input: Any) -> Any:
    """The transpose of a matrix (0-d and 1-d tensors as they are)."""
    if require_tensor(input, "t")._data.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {input._data.ndim}D"
        )
    return transpose(input, 0, 1) if input._data.ndim == 2 else alias(input)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Moves dimensions to new places; the others keep their order."""
    n = require_tensor(input, "movedim")._data.ndim
    src, dst = (
        normalize_dims((d,) if isinstance(d, int) else shape_args((d,), "movedim"), n, "movedim")
        for d in (source, destination)
    )
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: source and destination must name as many dims, got {source} and {destination}"
        )
    order = [d for d in range(n) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return permute(input, order)


def expand_as(input: Any, other: Any) -> Any:
    """expand() to the shape of `other`."""
    return expand(input, require_tensor(other, "expand_as", "other")._data.shape)


broadcast_to = expand


# ---- windows along one dimension ---------------------------------------------------------------------------------


def _along(n: int, dim: int, what: Any) -> tuple:
    return (slice(None),) * dim + (what,) + (slice(None),) * (n - dim - 1)


def unbind(input: Any, dim: int = 0) -> tuple:
    """All slices of dimension `dim`."""
    d = dim_of(input, dim, "unbind")
    return tuple(select(input, d, i) for i in range(input._data.shape[d]))


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces of the given size (the last may be smaller) or of the given sizes along `dim`."""
    d = dim_of(tensor, dim, "split")
    n = tensor._data.shape[d]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and n):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        lengths = [size] * (n // size) + ([n % size] if n % size else []) if n else [0]
    else:
        lengths = [int(s) for s in split_size_or_sections]
        if sum(lengths) != n or min(lengths, default=0) < 0:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
                f"dimension {dim}), but got split_sizes={lengths}"
            )
    out, start = [], 0
    for length in lengths:
        out.append(narrow(tensor, dim, start, length))
        start += length
    return tuple(out)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` pieces of equal size (the last may be smaller)."""
    require_tensor(input, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input._data.shape[dim_of(input, dim, "chunk")]
    return split(input, max(-(-n // chunks), 1), dim)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces between the given indices, or that many pieces of nearly equal size."""
    d = dim_of(input, dim, "tensor_split")
    n = input._data.shape[d]
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {k}")
        return split(input, [n // k + (i < n % k) for i in range(k)], dim)
    edges = [0, *[min(max(i + n if i < 0 else i, 0), n) for i in indices_or_sections], n]
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in itertools.pairwise(edges))


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Sliding windows of `size` elements every `step` along `dimension`, as a new last dimension."""
    shape = require_tensor(input, "unfold")._data.shape
    d = normalize_dim(dimension, len(shape), "unfold")
    if not shape:
        raise RuntimeError("unfold: needs at least one dimension")
    if step <= 0 or size < 0 or size > shape[d]:
        raise RuntimeError(
            f"unfold: size {size} and step {step} do not fit dimension {d} of size {shape[d]}"
        )
    windows = (
        np.lib.stride_tricks.sliding_window_view(input._data, size, d, writeable=True)
        if (size and input._data.flags.writeable)
        else np.lib.stride_tricks.sliding_window_view(input._data, size, d)
    )
    data = windows[_along(windows.ndim, d, slice(None, None, step))]
    out = wrap(data)
    out._counter = input._counter
    if wants_grad(input):
        record(out, _unfold_backward, (input,), (), (shape, d, size, step))
    return out


def _unfold_backward(node: Node, g: Any) -> Any:
    shape, d, size, step = node.ctx
    out = wrap(np.zeros(shape, g._data.dtype))
    count = g._data.shape[d]
    for k in range(size):  # windows overlap: one offset at a time
        where = _along(len(shape), d, slice(k, k + (count - 1) * step + 1, step))
        out[where].add_(select(g, -1, k))
    return out


def as_strided(
    input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int = 0
) -> Any:
    """A window with any strides (in elements) on the memory of `input`, checked to lie within it."""
    require_tensor(input, "as_strided")
    size, stride = shape_args((size,), "as_strided"), shape_args((stride,), "as_strided")
    a = input._data if input._base is None else input._base._data
    if not a.flags.c_contiguous:
        raise RuntimeError("as_strided: the storage of input must be contiguous")
    if len(size) != len(stride) or any(n < 0 for n in size):
        raise RuntimeError(
            f"as_strided: expected non-negative sizes and as many strides, got {list(size)} and "
            f"{list(stride)}"
        )
    last = storage_offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True) if n > 0)
    if storage_offset < 0 or any(s < 0 for s in stride) or (0 not in size and last >= a.size):
        raise RuntimeError(
            f"as_strided: size {list(size)}, stride {list(stride)}, storage_offset {storage_offset} "
            f"reach element {last} of a storage of {a.size}"
        )
    flat = a.reshape(-1)
    data = np.lib.stride_tricks.as_strided(
        flat[storage_offset:], tuple(size), tuple(s * a.itemsize for s in stride)
    )
    out = wrap(data)
    out._counter = input._counter
    if wants_grad(input):
        raise NotImplementedError("as_strided: no gradient; use slicing, unfold or expand")
    return out


METHODS = (
    "view reshape view_as reshape_as flatten unflatten ravel alias permute transpose t movedim squeeze unsqueeze expand "
    "expand_as broadcast_to diagonal narrow select unbind split chunk tensor_split unfold as_strided"
).split()
OPERATORS = {"swapaxes": transpose, "swapdims": transpose, "moveaxis": movedim}
