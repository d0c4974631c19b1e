"""Tables of rows: embedding and embedding_bag."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._util import cast, refuse_on_gpu, require_float, require_tensor, wide, wrap


def _padding(padding_idx: int | None, rows: int, op: str) -> int:
    """The row that has no gradient, -1 for none."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise ValueError(
            f"{op}: padding_idx must be within num_embeddings: {padding_idx} is not in "
            f"[{-rows}, {rows - 1}]"
        )
    return padding_idx % rows


def _check(input: Any, weight: Any, sparse: bool, op: str) -> None:
    require_tensor(input, op)
    require_float(weight, op, "weight")
    if sparse:
        raise NotImplementedError(f"{op}: sparse gradients are not supported; use sparse=False")


def _renormalize(weight: Any, indices: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scales the rows in use that are longer than max_norm down to it, in place."""
    rows = np.unique(indices)
    if rows.size and (rows[0] < 0 or rows[-1] >= weight._data.shape[0]):
        return  # the lookup says what is wrong
    used = wide(weight._data[rows])
    norms = np.linalg.norm(used.astype(np.float64), norm_type, axis=1)
    scale = np.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)[:, None]
    weight._data[rows] = cast((used * scale).astype(used.dtype), weight._data.dtype)
    weight._counter.value += 1


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of `weight` (V, D) with the indices in `input` (*): a tensor (*, D).

    The row padding_idx gets no gradient. max_norm first scales the rows in use down to that norm,
    in place. scale_grad_by_freq divides gradients by how often their row is used. Raises
    IndexError for an index outside of [0, V).
    """
    _check(input, weight, sparse, "embedding")
    padding = _padding(padding_idx, weight._data.shape[0], "embedding")
    if max_norm is not None:
        _renormalize(weight, input._data, float(max_norm), float(norm_type))
    out = wrap(_core.embedding(weight._data, input._data))
    if wants_grad(weight):
        rows = weight._data.shape[0]
        ctx = (None, None, rows, padding, bool(scale_grad_by_freq), weight._data.dtype)
        record(out, _embedding_backward, (weight,), (input,), ctx)
    return out


def _embedding_backward(node: Node, dy: Any) -> Any:
    (input,) = node.saved_tensors()
    source, scale, rows, padding, by_frequency, dtype = node.ctx
    dy = dy.reshape(-1, dy._data.shape[-1])
    return _row_gradient(dy, input._data, source, scale, rows, padding, by_frequency, dtype)


def _row_gradient(
    dy: Any, indices: np.ndarray, source: np.ndarray | None, scale: Any, rows: int, padding: int,
    by_frequency: bool, dtype: np.dtype,
) -> Any:  # fmt: skip
    """The table's gradient: ``scale[i] dy[source[i]]`` is added to row ``indices[i]``."""
    if not wants_grad(dy, scale):
        factors = None if scale is None else wide(scale._data)
        g = _core.embedding_backward(
            wide(dy._data), indices, source, factors, rows, padding, by_frequency
        )
        return wrap(cast(g, dtype))
    flat = indices.reshape(-1).astype(np.int64)
    factor = np.where(flat == padding, 0.0, 1.0)
    if by_frequency:
        factor /= np.bincount(flat, minlength=1)[flat]
    g = dy if source is None else dy[wrap(source)]
    g = g * wrap(cast(factor[:, None], g._data.dtype))
    if scale is not None:
        g = g * scale.unsqueeze(-1)
    zeros = wrap(np.zeros((rows, g._data.shape[1]), g._data.dtype))
    return zeros.index_add(0, wrap(flat), g)


# ---- Bags ----------------------------------------------------------------------------------------


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sum, mean or maximum of the rows of `weight` (V, D) in each bag of indices: (B, D).

    input: (B, N), a bag a row; or flat, with `offsets` (B,) saying where each bag begins (with
    include_last_offset, and then (B + 1,), also where the last one ends). per_sample_weights (mode
    "sum") has the shape of input. Indices equal to padding_idx do not count. An empty bag gives 0.
    Raises IndexError for an index outside of [0, V), ValueError for offsets that do not ascend.
    """
    op = "embedding_bag"
    _check(input, weight, sparse, op)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{op}: mode has to be one of sum, mean or max, got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{op}: max mode does not support scaling the gradient by the frequency")
    refuse_on_gpu(weight._data, op)
    flat, starts = _bags(input, offsets, include_last_offset, op)
    scale = per_sample_weights
    if scale is not None:
        if mode != "sum":
            raise NotImplementedError(
                f"{op}: per_sample_weights was not None, but is only supported for mode='sum' "
                f"(got mode='{mode}')"
            )
        if require_tensor(scale, op, "per_sample_weights")._data.shape != input._data.shape:
            raise ShapeError(
                f"{op}: If per_sample_weights ({list(scale._data.shape)}) is not None, then it must "
                f"have the same shape as the input ({list(input._data.shape)})"
            )
        scale = scale.reshape(-1)
    padding = _padding(padding_idx, weight._data.shape[0], op)
    if max_norm is not None:
        _renormalize(weight, flat, float(max_norm), float(norm_type))
    factors = None if scale is None else wide(scale._data)
    y, where = _core.embedding_bag(wide(weight._data), flat, starts, factors, mode, padding)
    out = wrap(cast(y, weight._data.dtype))
    if wants_grad(weight, scale):
        ctx = (flat, starts, mode, padding, bool(scale_grad_by_freq), where)
        record(out, _embedding_bag_backward, (weight, scale), (weight, scale), ctx)
    return out


def _bags(input: Any, offsets: Any, include_last: bool, op: str) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices and where each bag begins in them."""
    indices = input._data
    if indices.ndim == 2:
        if offsets is not None:
            raise ValueError(
                f"{op}: if input is 2D, then offsets has to be None, as input is treated is a "
                "mini-batch of fixed length sequences"
            )
        return indices.reshape(-1), np.arange(indices.shape[0], dtype=np.int64) * indices.shape[1]
    if indices.ndim != 1:
        raise ValueError(f"{op}: input has to be 1D or 2D Tensor, but got Tensor of dimension "
                         f"{indices.ndim}")  # fmt: skip
    if offsets is None:
        raise ValueError(f"{op}: offsets has to be a 1D Tensor but got None")
    starts = require_tensor(offsets, op, "offsets")._data
    if starts.ndim != 1:
        raise ValueError(f"{op}: offsets has to be a 1D Tensor")
    if include_last:
        if not starts.size or int(starts[-1]) > indices.size:
            raise ValueError(f"{op}: the last offset must be at most the number of indices")
        indices, starts = indices[: int(starts[-1])], starts[:-1]
    return indices, np.ascontiguousarray(starts, np.int64)


def _sources(flat: np.ndarray, starts: np.ndarray, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """The bag of each index, and how many indices of each bag count."""
    ends = np.append(starts[1:], flat.size)
    bag = np.repeat(np.arange(starts.size, dtype=np.int64), ends - starts)
    return bag, np.bincount(bag[flat != padding], minlength=starts.size)


def _embedding_bag_backward(node: Node, dy: Any) -> tuple:
    weight, scale = node.saved_tensors()
    flat, starts, mode, padding, by_frequency, where = node.ctx
    rows, dtype = weight._data.shape[0], weight._data.dtype
    if mode == "max":
        return _max_gradient(dy, weight, flat, where), None
    bag, counts = _sources(flat, starts, padding)
    factor = scale
    if mode == "mean":
        factor = wrap((1.0 / np.maximum(counts, 1))[bag].astype(wide(dy._data).dtype))
    dweight = dscale = None
    if node.edges[0] is not None:
        dweight = _row_gradient(dy, flat, bag, factor, rows, padding, by_frequency, dtype)
    if scale is not None and node.edges[1] is not None:
        kept = wrap(cast((flat != padding).astype(np.float32), dtype))
        dscale = (dy[wrap(bag)] * embedding(wrap(flat), weight)).sum(-1) * kept
    return dweight, dscale


def _max_gradient(dy: Any, weight: Any, flat: np.ndarray, where: np.ndarray) -> Any:
    """Each maximum's gradient goes to the element that it came from."""
    rows, columns = weight._data.shape
    found = where >= 0
    row = flat[np.where(found, where, 0)] if flat.size else np.zeros(where.shape, np.int64)
    target = (row * columns + np.arange(columns)).reshape(-1)
    g = dy * wrap(cast(found.astype(np.float32), dy._data.dtype))
    zeros = wrap(np.zeros(rows * columns, dy._data.dtype))
    return zeros.index_add(0, wrap(target), g.reshape(-1)).reshape(rows, columns)
