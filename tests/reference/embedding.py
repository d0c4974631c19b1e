"""embedding and embedding_bag."""

import numpy as np


def renormalize(weight, indices, max_norm, norm_type=2.0):
    """The table after ``max_norm``: rows in use that are longer are scaled down to it."""
    weight = weight.copy()
    for row in np.unique(indices):
        norm = (np.abs(weight[row]) ** norm_type).sum() ** (1 / norm_type)
        if norm > max_norm:
            weight[row] *= max_norm / (norm + 1e-7)
    return weight


def _row_gradient(rows, indices, weight, padding_idx, scale_grad_by_freq):
    """Add ``rows`` to the rows ``indices`` of the table's gradient."""
    dweight = np.zeros(weight.shape, rows.dtype)
    indices, rows = indices.reshape(-1), rows.reshape(-1, weight.shape[1])
    if scale_grad_by_freq:
        rows = rows / np.bincount(indices, minlength=len(weight))[indices][:, None]
    np.add.at(dweight, indices, rows.astype(dweight.dtype))
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight


def embedding_forward(
    indices, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False
):
    if max_norm is not None:
        weight = renormalize(weight, indices, max_norm, norm_type)
    return weight[indices]


def embedding_backward(
    dy, indices, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False
):
    return None, _row_gradient(dy, indices, weight, padding_idx, scale_grad_by_freq)


def _bags(indices, weight, offsets, padding_idx, include_last_offset):
    """For each bag, the positions in the flat indices that count."""
    flat = indices.reshape(-1)
    if offsets is None:
        offsets = np.arange(indices.shape[0]) * indices.shape[1]
    elif include_last_offset:
        offsets = offsets[:-1]
    ends = [*offsets[1:], len(flat)] if len(offsets) else []
    padding = None if padding_idx is None else padding_idx % len(weight)
    bags = [np.arange(a, b) for a, b in zip(offsets, ends, strict=True)]
    return flat, [at[flat[at] != padding] for at in bags]


def embedding_bag_forward(
    indices, weight, offsets=None, per_sample_weights=None, *, max_norm=None, norm_type=2.0,
    scale_grad_by_freq=False, mode="mean", include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """Sum, mean or maximum of the rows of each bag; 0 for an empty bag."""
    if max_norm is not None:
        weight = renormalize(weight, indices, max_norm, norm_type)
    flat, bags = _bags(indices, weight, offsets, padding_idx, include_last_offset)
    y = np.zeros((len(bags), weight.shape[1]), weight.dtype)
    for bag, at in enumerate(bags):
        rows = weight[flat[at]]
        if per_sample_weights is not None:
            rows = rows * per_sample_weights.reshape(-1)[at][:, None]
        if len(at):
            y[bag] = (
                rows.max(0) if mode == "max" else rows.sum(0) / (len(at) if mode == "mean" else 1)
            )
    return y


def embedding_bag_backward(
    dy, indices, weight, offsets=None, per_sample_weights=None, *, max_norm=None, norm_type=2.0,
    scale_grad_by_freq=False, mode="mean", include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """Gradients of the table and of per_sample_weights; a maximum is its first occurrence."""
    flat, bags = _bags(indices, weight, offsets, padding_idx, include_last_offset)
    rows = np.zeros((len(flat), weight.shape[1]), dy.dtype)
    scale = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    dscale = None if scale is None else np.zeros_like(scale)
    for bag, at in enumerate(bags):
        if mode == "max" and len(at):
            first = at[weight[flat[at]].argmax(0)]
            rows[first, np.arange(weight.shape[1])] = dy[bag]
        elif len(at):
            rows[at] = dy[bag] / (len(at) if mode == "mean" else 1)
        if scale is not None:
            dscale[at] = (rows[at] * weight[flat[at]]).sum(-1)
            rows[at] *= scale[at][:, None]
    dweight = _row_gradient(rows, flat, weight, padding_idx, scale_grad_by_freq)
    return None, dweight, None, None if dscale is None else dscale.reshape(indices.shape)
