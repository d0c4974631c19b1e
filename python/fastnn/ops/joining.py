"""Concatenation, stacking, repetition, flips and triangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._util import (
    cast,
    dim_of,
    dims_of,
    index_array,
    normalize_dim,
    require_tensor,
    shape_args,
    wrap,
)
from .views import narrow, select


def _listed(tensors: Any, op: str) -> tuple:
    """The tensors that `op` joins; TypeError for anything else, an error for none."""
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{op}(): tensors must be a tuple or list of Tensors, not {type(tensors).__name__}"
        )
    if not tensors:
        raise ShapeError(f"{op}(): expected a non-empty list of Tensors")
    for t in tensors:
        require_tensor(t, op, "tensors")
    return tuple(tensors)


def cat(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """Joins tensors along `dim`; their other sizes must agree. The dtype is the promoted one."""
    tensors = _listed(tensors, "cat")
    # PyTorch's legacy: an empty 1-D tensor joins with anything.
    kept = [t for t in tensors if t._data.shape != (0,)] or [tensors[0]]
    n = kept[0]._data.ndim
    d = normalize_dim(dim, n, "cat")
    for t in kept:
        s, first = t._data.shape, kept[0]._data.shape
        if len(s) != n or s[:d] + s[d + 1 :] != first[:d] + first[d + 1 :]:
            raise ShapeError(
                f"cat(): Sizes of tensors must match except in dimension {d}. Expected shape "
                f"{list(first)}, got {list(s)}"
            )
    if n == 0:
        raise RuntimeError("cat(): zero-dimensional tensor cannot be concatenated; use stack()")
    target = dtypes.result_type(*kept).numpy
    result = wrap(np.concatenate([cast(t._data, target) for t in kept], axis=d))
    if wants_grad(*kept):
        record(result, _cat_backward, tuple(kept), (), (d, [t._data.shape[d] for t in kept]))
    if out is not None:
        from ._util import store

        return store(out, result, "cat")
    return result


concat = concatenate = cat


def _cat_backward(node: Node, g: Any) -> tuple:
    d, lengths = node.ctx
    grads, start = [], 0
    for edge, length in zip(node.edges, lengths, strict=True):
        grads.append(None if edge is None else narrow(g, d, start, length))
        start += length
    return tuple(grads)


def stack(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """Joins tensors of one shape along a new dimension."""
    tensors = _listed(tensors, "stack")
    first = tensors[0]._data.shape
    for i, t in enumerate(tensors):
        if t._data.shape != first:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(t._data.shape)} at entry {i}"
            )
    d = normalize_dim(dim, len(first) + 1, "stack")
    target = dtypes.result_type(*tensors).numpy
    result = wrap(np.stack([cast(t._data, target) for t in tensors], axis=d))
    if wants_grad(*tensors):
        record(result, _stack_backward, tensors, (), d)
    if out is not None:
        from ._util import store

        return store(out, result, "stack")
    return result


def _stack_backward(node: Node, g: Any) -> tuple:
    return tuple(None if e is None else select(g, node.ctx, i) for i, e in enumerate(node.edges))


def atleast_1d(x: Any) -> Any:
    """x, as a vector if it is a single number."""
    return x if require_tensor(x, "atleast_1d", "x")._data.ndim >= 1 else x.reshape(1)


def atleast_2d(x: Any) -> Any:
    """x with dimensions of size 1 in front until it has two."""
    return x if require_tensor(x, "atleast_2d", "x")._data.ndim >= 2 else atleast_1d(x).unsqueeze(0)


def hstack(tensors: Sequence[Any]) -> Any:
    """Joins along the second dimension (the first for 1-D tensors)."""
    parts = [atleast_1d(t) for t in _listed(tensors, "hstack")]
    return cat(parts, 0 if parts[0]._data.ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """Joins along the first dimension, 1-D tensors as rows."""
    return cat([atleast_2d(t) for t in _listed(tensors, "vstack")], 0)


def column_stack(tensors: Sequence[Any]) -> Any:
    """Joins 1-D tensors as columns."""
    tensors = _listed(tensors, "column_stack")
    return cat([t.reshape(-1, 1) if t._data.ndim <= 1 else t for t in tensors], 1)


def repeat(input: Any, *sizes: Any) -> Any:
    """The tensor tiled that many times along each dimension (copies)."""
    reps = shape_args(sizes, "repeat")
    if len(reps) < input._data.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
        )
    own = (1,) * (len(reps) - input._data.ndim) + input._data.shape
    pairs = [n for r, s in zip(reps, own, strict=True) for n in (r, s)]
    spread = [n for s in own for n in (1, s)]
    return (
        input.reshape(spread)
        .expand(pairs)
        .reshape([r * s for r, s in zip(reps, own, strict=True)])
        .clone()
    )


def tile(input: Any, *dims: Any) -> Any:
    """repeat() with ones put before too few sizes."""
    require_tensor(input, "tile")
    reps = shape_args(dims, "tile")
    return repeat(input, (1,) * (input._data.ndim - len(reps)) + reps)


def repeat_interleave(input: Any, repeats: Any, dim: int | None = None) -> Any:
    """Every element (slice of `dim`) repeated in its place."""
    require_tensor(input, "repeat_interleave")
    if dim is None:
        input, dim = input.reshape(-1), 0
    d = dim_of(input, dim, "repeat_interleave")
    if not isinstance(repeats, int):
        repeats = index_array(repeats, "repeat_interleave", "repeats")
    if np.any(np.less(repeats, 0)):
        raise ValueError(f"repeat_interleave: repeats must be non-negative, got {repeats}")
    return input.index_select(d, wrap(np.repeat(np.arange(input._data.shape[d]), repeats)))


def flip(input: Any, *dims: Any) -> Any:
    """Reverses the order along dimensions (a copy)."""
    axes = dims_of(input, shape_args(dims, "flip"), "flip")
    out = wrap(np.ascontiguousarray(np.flip(input._data, axes)).reshape(input._data.shape))
    if wants_grad(input):
        record(out, _flip_backward, (input,), (), axes)
    return out


def _flip_backward(node: Node, g: Any) -> Any:
    return flip(g, node.ctx)


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Shifts elements along dimensions; what leaves on one side enters on the other."""
    require_tensor(input, "roll")
    if dims is None:
        return roll(input.reshape(-1), shifts, 0).reshape(input._data.shape)
    s = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    axes = dims_of(input, dims, "roll")
    if len(s) != len(axes):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(s)}, dims: {len(axes)}")
    out = wrap(np.roll(input._data, s, axes))
    if wants_grad(input):
        record(out, _roll_backward, (input,), (), (tuple(-n for n in s), axes))
    return out


def _roll_backward(node: Node, g: Any) -> Any:
    return roll(g, *node.ctx)


def _triangle(name: str, keep: Any) -> Any:
    def backward(node: Node, g: Any) -> Any:
        return triangle(g, node.ctx)

    def triangle(input: Any, diagonal: int = 0) -> Any:
        if require_tensor(input, name)._data.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        out = wrap(keep(input._data, diagonal))
        if wants_grad(input):
            record(out, backward, (input,), (), diagonal)
        return out

    triangle.__name__ = name
    backward.__name__ = name + "_backward"
    return triangle


tril = _triangle("tril", np.tril)
tril.__doc__ = "The lower triangle of the last two dimensions, zeros above."
triu = _triangle("triu", np.triu)
triu.__doc__ = "The upper triangle of the last two dimensions, zeros below."


def diag(input: Any, diagonal: int = 0) -> Any:
    """A vector to a diagonal matrix, or the diagonal of a matrix."""
    if require_tensor(input, "diag")._data.ndim == 1:
        return diag_embed(input, diagonal)
    if input._data.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._data.ndim}D")
    return input.diagonal(diagonal).clone()


def diag_embed(input: Any, offset: int = 0) -> Any:
    """Matrices whose diagonal is the last dimension of the input."""
    n = require_tensor(input, "diag_embed")._data.shape[-1] + abs(offset)
    out = wrap(np.zeros((*input._data.shape[:-1], n, n), input._data.dtype))
    out.diagonal(offset, -2, -1).copy_(input)
    return out


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """Turns the plane of two dimensions by k quarters."""
    a, b = (dim_of(input, d, "rot90") for d in dims)
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, (a, b))
    return flip(input.transpose(a, b), (a,) if k == 1 else (b,))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """Coordinate grids of 1-D tensors; ``indexing`` 'ij' or 'xy'."""
    items = tuple(tensors[0]) if len(tensors) == 1 and not hasattr(tensors[0], "_data") else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swap = indexing == "xy" and len(items) >= 2
    if swap:
        items = (items[1], items[0], *items[2:])
    shape = tuple(t._data.size for t in items)
    grids = [
        t.reshape([n if i == k else 1 for k, n in enumerate(shape)]).expand(shape)
        for i, t in enumerate(items)
    ]
    if swap:
        grids = [g.transpose(0, 1) for g in grids]
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


METHODS = "repeat tile repeat_interleave flip roll tril triu diag diag_embed rot90".split()
