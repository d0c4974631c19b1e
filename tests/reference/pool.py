"""Pooling in any number of dimensions.

A pooling is a table: for each output position (rows) the flat input positions of its window
(columns), and which of them lie inside the image. All kinds of windows, plain and adaptive, are
such tables, so that max, average and power pooling are a few lines each. ``n`` is the number of
pooled axes (default: all but two), with or without a batch axis before them.
"""

import math

import numpy as np

from tests.reference.common import as_tuple


def _combine(spatial, per_axis):
    """Tables of single axes -> one table of flat positions (P, K) and its mask."""
    flat, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for size, (at, ok) in zip(spatial, per_axis, strict=True):
        shape = (flat.shape[0] * at.shape[0], flat.shape[1] * at.shape[1])
        flat = (flat[:, None, :, None] * size + at[None, :, None, :]).reshape(shape)
        inside = (inside[:, None, :, None] & ok[None, :, None, :]).reshape(shape)
    return np.where(inside, flat, 0), inside


def pool_out_size(size, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    """torch's rule: with ceil_mode, no window may start in the right padding."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    return out - 1 if ceil_mode and (out - 1) * stride >= size + padding else out


def flat_windows(x, n, kernel_size, stride, padding, dilation, ceil_mode):
    n = x.ndim - 2 if n is None else n
    kernel = as_tuple(kernel_size, n)
    stride = kernel if stride is None else as_tuple(stride, n)
    spatial, out, per_axis = x.shape[x.ndim - n :], [], []
    geometry = (kernel, stride, as_tuple(padding, n), as_tuple(dilation, n))
    for size, k, s, p, d in zip(spatial, *geometry, strict=True):
        out.append(pool_out_size(size, k, s, p, d, ceil_mode))
        at = np.arange(out[-1])[:, None] * s - p + np.arange(k) * d
        per_axis.append((at, (at >= 0) & (at < size)))
    return n, tuple(out), *_combine(spatial, per_axis)


def _adaptive_windows(x, n, output_size):
    """Window i of an axis runs from floor(i size/out) to ceil((i+1) size/out)."""
    n = x.ndim - 2 if n is None else n
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
    spatial, out, per_axis = x.shape[x.ndim - n :], [], []
    for size, o in zip(spatial, wanted, strict=True):
        out.append(size if o is None else o)
        first = np.arange(out[-1]) * size // out[-1]
        last = -(-(np.arange(out[-1]) + 1) * size // out[-1])
        at = first[:, None] + np.arange(max(last - first, default=1))
        per_axis.append((at, at < last[:, None]))
    return n, tuple(out), *_combine(spatial, per_axis)


def _flat(x, n):
    """(..., spatial) as (..., pixels)."""
    return x.reshape(*x.shape[: x.ndim - n], math.prod(x.shape[x.ndim - n :]))


def scatter(weights, x, n, flat):
    """Add weights (..., P, K) to the positions ``flat`` (..., P, K) of an image like x."""
    images = math.prod(x.shape[: x.ndim - n])
    each = math.prod(weights.shape[x.ndim - n :])
    dx = np.zeros((images, math.prod(x.shape[x.ndim - n :])), weights.dtype)
    flat = np.broadcast_to(flat, weights.shape).reshape(images, each)
    np.add.at(dx, (np.arange(images)[:, None], flat), weights.reshape(images, each))
    return dx.reshape(x.shape)


def _argmax(x, n, flat, inside):
    """The flat position of each window's maximum: the first of equals, and a NaN wins."""
    window = np.where(inside, _flat(x, n)[..., flat], -np.inf)
    hit = inside & ((window == window.max(-1, keepdims=True)) | np.isnan(window))
    return np.take_along_axis(np.broadcast_to(flat, hit.shape), hit.argmax(-1)[..., None], -1)[
        ..., 0
    ]


def _max_result(x, n, out, argmax, return_indices):
    shape = (*x.shape[: x.ndim - n], *out)
    y = np.take_along_axis(_flat(x, n), argmax, -1).reshape(shape)
    return (y, argmax.reshape(shape)) if return_indices else y


def max_pool_forward(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False,
    n=None,
):  # fmt: skip
    """Indices are flat positions in the pooled axes of x, as in torch."""
    n, out, flat, inside = flat_windows(x, n, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_result(x, n, out, _argmax(x, n, flat, inside), return_indices)


def max_pool_backward(
    dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False,
    n=None,
):  # fmt: skip
    n, _, flat, inside = flat_windows(x, n, kernel_size, stride, padding, dilation, ceil_mode)
    return (scatter(_flat(dy, n), x, n, _argmax(x, n, flat, inside)),)


def adaptive_max_pool_forward(x, output_size, return_indices=False, n=None):
    n, out, flat, inside = _adaptive_windows(x, n, output_size)
    return _max_result(x, n, out, _argmax(x, n, flat, inside), return_indices)


def adaptive_max_pool_backward(dy, x, output_size, return_indices=False, n=None):
    n, _, flat, inside = _adaptive_windows(x, n, output_size)
    return (scatter(_flat(dy, n), x, n, _argmax(x, n, flat, inside)),)


def _unpool_shape(x, kernel_size, stride, padding, output_size, n):
    kernel = as_tuple(kernel_size, n)
    stride = kernel if stride is None else as_tuple(stride, n)
    geometry = zip(x.shape[x.ndim - n :], kernel, stride, as_tuple(padding, n), strict=True)
    size = tuple((length - 1) * s + k - 2 * p for length, k, s, p in geometry)
    return (*x.shape[: x.ndim - n], *(size if output_size is None else output_size[-n:]))


def max_unpool_forward(x, indices, kernel_size, stride=None, padding=0, output_size=None, n=None):
    """Zeros, with x written at ``indices``; indices within one image must be distinct."""
    n = x.ndim - 2 if n is None else n
    y = np.zeros(_unpool_shape(x, kernel_size, stride, padding, output_size, n), x.dtype)
    flat = _flat(y, n)
    np.put_along_axis(flat, _flat(indices, n), _flat(x, n), -1)
    return flat.reshape(y.shape)


def max_unpool_backward(
    dy, x, indices, kernel_size, stride=None, padding=0, output_size=None, n=None
):
    n = x.ndim - 2 if n is None else n
    return np.take_along_axis(_flat(dy, n), _flat(indices, n), -1).reshape(x.shape), None


def _padded_window_sizes(x, n, out, kernel_size, stride, padding):
    """Elements of each window, padding included, but not what ceil_mode adds beyond it."""
    kernel = as_tuple(kernel_size, n)
    stride = kernel if stride is None else as_tuple(stride, n)
    geometry = (x.shape[x.ndim - n :], out, kernel, stride, as_tuple(padding, n))
    sizes = np.ones(1, np.int64)
    for size, o, k, s, p in zip(*geometry, strict=True):
        start = np.arange(o) * s - p
        sizes = np.multiply.outer(sizes, np.minimum(start + k, size + p) - start).ravel()
    return sizes


def _weighted_sum(x, n, out, flat, weights):
    """Sum of the elements of each window times their weights; 0 skips an element, NaN or not."""
    window = np.where(weights != 0, _flat(x, n)[..., flat], 0)
    return (window * weights).sum(-1).reshape(*x.shape[: x.ndim - n], *out)


def _average(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, n):
    """The table of an average pooling, and the weight of each element: 1 / divisor, or 0."""
    n, out, flat, inside = flat_windows(x, n, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None:
        divisor = np.full(len(flat), divisor_override)
    elif count_include_pad:
        divisor = _padded_window_sizes(x, n, out, kernel_size, stride, padding)
    else:
        divisor = inside.sum(-1)
    return n, out, flat, (inside / divisor[:, None]).astype(x.dtype)


def avg_pool_forward(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, n=None,
):  # fmt: skip
    n, out, flat, weights = _average(
        x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, n
    )
    return _weighted_sum(x, n, out, flat, weights)


def avg_pool_backward(
    dy, x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, n=None,
):  # fmt: skip
    n, _, flat, weights = _average(
        x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, n
    )
    return (scatter(_flat(dy, n)[..., None] * weights, x, n, flat),)


def adaptive_avg_pool_forward(x, output_size, n=None):
    n, out, flat, inside = _adaptive_windows(x, n, output_size)
    weights = (inside / inside.sum(-1, keepdims=True)).astype(x.dtype)
    return _weighted_sum(x, n, out, flat, weights)


def adaptive_avg_pool_backward(dy, x, output_size, n=None):
    n, _, flat, inside = _adaptive_windows(x, n, output_size)
    weights = (inside / inside.sum(-1, keepdims=True)).astype(x.dtype)
    return (scatter(_flat(dy, n)[..., None] * weights, x, n, flat),)


def _power_means(x, norm_type, kernel_size, stride, ceil_mode, n):
    """torch's definition: average of x^p times the kernel's size, also where ceil_mode clips."""
    n, out, flat, weights = _average(x, kernel_size, stride, 0, ceil_mode, True, None, n)
    weights = weights * x.dtype.type(np.prod(as_tuple(kernel_size, n)))
    return n, flat, weights, _weighted_sum(x**norm_type, n, out, flat, weights)


def lp_pool_forward(x, norm_type, kernel_size, stride=None, ceil_mode=False, n=None):
    """(sum of x^p over the window)^(1/p)."""
    return _power_means(x, norm_type, kernel_size, stride, ceil_mode, n)[3] ** (1 / norm_type)


def lp_pool_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False, n=None):
    """d/dx = total^(1/p - 1) x^(p-1); 0 where the total is 0."""
    n, flat, weights, total = _power_means(x, norm_type, kernel_size, stride, ceil_mode, n)
    safe = np.where(total > 0, total, 1)
    rows = np.where(total > 0, dy * safe ** (1 / norm_type - 1), 0)
    return (scatter(_flat(rows, n)[..., None] * weights, x, n, flat) * x ** (norm_type - 1),)
