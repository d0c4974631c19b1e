"""Operators that only move elements (and add where they meet): shuffles, unfold and fold."""

import numpy as np

from tests.reference.common import as_tuple
from tests.reference.pool import flat_windows, scatter


def pixel_shuffle_forward(x, upscale_factor):
    """(..., C r^2, H, W) -> (..., C, H r, W r)."""
    *lead, c, h, w = x.shape
    r = upscale_factor
    y = x.reshape(*lead, c // (r * r), r, r, h, w)
    y = np.moveaxis(y, (-4, -3), (-3, -1))  # (C, H, r, W, r)
    return np.ascontiguousarray(y).reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle_forward(x, downscale_factor):
    """The inverse of pixel_shuffle."""
    *lead, c, h, w = x.shape
    r = downscale_factor
    y = np.moveaxis(x.reshape(*lead, c, h // r, r, w // r, r), (-3, -1), (-4, -3))
    return np.ascontiguousarray(y).reshape(*lead, c * r * r, h // r, w // r)


def pixel_shuffle_backward(dy, x, upscale_factor):
    return (pixel_unshuffle_forward(dy, upscale_factor),)


def pixel_unshuffle_backward(dy, x, downscale_factor):
    return (pixel_shuffle_forward(dy, downscale_factor),)


def channel_shuffle_forward(x, groups):
    """Channel g C/G + c becomes channel c G + g."""
    split = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(x.shape)


def channel_shuffle_backward(dy, x, groups):
    return (channel_shuffle_forward(dy, x.shape[1] // groups),)


def _windows(spatial, kernel_size, dilation, padding, stride):
    frame = np.empty((1, 1, *spatial))
    stride = as_tuple(stride, len(spatial))
    return flat_windows(frame, None, kernel_size, stride, padding, dilation, False)[2:]


def unfold_forward(x, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C, H, W) or (C, H, W) -> (N, C kernel, windows); padding is 0."""
    if x.ndim == 3:
        return unfold_forward(x[None], kernel_size, dilation, padding, stride)[0]
    flat, inside = _windows(x.shape[2:], kernel_size, dilation, padding, stride)
    columns = np.where(inside, x.reshape(*x.shape[:2], -1)[..., flat], 0)  # (N, C, windows, K)
    n, c, windows, k = columns.shape
    return columns.swapaxes(2, 3).reshape(n, c * k, windows).astype(x.dtype)


def fold_forward(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The adjoint of unfold: windows (N, C kernel, windows) are added into an image."""
    if x.ndim == 2:
        return fold_forward(x[None], output_size, kernel_size, dilation, padding, stride)[0]
    spatial = as_tuple(output_size, 2)
    flat, inside = _windows(spatial, kernel_size, dilation, padding, stride)
    k = flat.shape[1]
    columns = x.reshape(x.shape[0], x.shape[1] // k, k, x.shape[2]).swapaxes(2, 3)
    image = np.empty((*columns.shape[:2], *spatial), x.dtype)
    return scatter(np.where(inside, columns, 0).astype(x.dtype), image, 2, flat)


def unfold_backward(dy, x, kernel_size, dilation=1, padding=0, stride=1):
    return (fold_forward(dy, x.shape[-2:], kernel_size, dilation, padding, stride),)


def fold_backward(dy, x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    return (unfold_forward(dy, kernel_size, dilation, padding, stride),)
