"""Convolution and transposed convolution in any number of dimensions.

All is built from two products over columns (im2col): the correlation of an image with a weight,
and its gradient with respect to the weight. The gradient with respect to the image is again a
correlation: that of dy, spread out by the stride, with the flipped weight. Images are (N, C,
spatial), weights (O, C/G, kernel) with G groups of channels.
"""

import itertools
import math

import numpy as np

from tests.reference.common import as_tuple, product
from tests.reference.pad import pad_backward, pad_forward


def conv_padding(kernel, padding, dilation):
    """``padding`` (number, tuple, 'valid' or 'same') as (before, after) for each axis."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return [(p, p) for p in as_tuple(padding, len(kernel))]


def _columns(image, kernel, stride, dilation, groups):
    """(G, C/G kernel, N out): what each output pixel sees of the image; and the size ``out``."""
    geometry = list(zip(image.shape[2:], kernel, stride, dilation, strict=True))
    out = tuple((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in geometry)
    seen = []
    for position in itertools.product(*(range(k) for k in kernel)):
        starts = [i * d for i, d in zip(position, dilation, strict=True)]
        box = [
            slice(start, start + s * (o - 1) + 1, s) if o else slice(0)
            for start, s, o in zip(starts, stride, out, strict=True)
        ]
        seen.append(image[(..., *box)])
    rows = image.shape[1] // groups * math.prod(kernel)
    seen = np.moveaxis(np.stack(seen, axis=2), 0, 2)  # (C, kernel, N, out)
    return seen.reshape(groups, rows, image.shape[0] * math.prod(out)), out


def _correlate(image, weight, stride, dilation, groups):
    columns, out = _columns(image, weight.shape[2:], stride, dilation, groups)
    rows = weight.reshape(groups, weight.shape[0] // groups, columns.shape[1])
    y = product(rows, columns).reshape(weight.shape[0], image.shape[0], *out)
    return np.ascontiguousarray(np.moveaxis(y, 1, 0))


def _weight_gradient(dy, image, weight, stride, dilation, groups):
    columns, _ = _columns(image, weight.shape[2:], stride, dilation, groups)
    pixels = dy.shape[0] * math.prod(dy.shape[2:])
    rows = np.moveaxis(dy, 0, 1).reshape(groups, dy.shape[1] // groups, pixels)
    return product(rows, columns.swapaxes(1, 2)).reshape(weight.shape)


def _image_gradient(dy, size, weight, stride, dilation, groups):
    """For an image of ``size`` pixels: pixel p = i stride + k dilation gets dy[i] w[k]."""
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    spread = np.zeros((*dy.shape[:2], *(n + r for n, r in zip(size, reach, strict=True))), dy.dtype)
    box = [slice(r, r + s * o, s) for r, s, o in zip(reach, stride, dy.shape[2:], strict=True)]
    spread[(..., *box)] = dy
    w = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    w = np.flip(w.swapaxes(1, 2), tuple(range(3, w.ndim)))  # (G, C/G, O/G, kernel)
    w = w.reshape(groups * w.shape[1], *w.shape[2:])
    return _correlate(spread, w, (1,) * len(size), dilation, groups)


def _bias_gradient(dy, bias):
    return None if bias is None else dy.sum(axis=(0, *range(2, dy.ndim)))


def _add_bias(y, bias):
    return y if bias is None else y + bias.reshape(-1, *(1,) * (y.ndim - 2))


def _conv_geometry(weight, stride, padding, dilation, padding_mode):
    """Tuples for stride and dilation, and the arguments of ``pad`` (last axis first)."""
    n = weight.ndim - 2
    stride, dilation = as_tuple(stride, n), as_tuple(dilation, n)
    pairs = conv_padding(weight.shape[2:], padding, dilation)
    pad = [p for pair in reversed(pairs) for p in pair]
    return stride, dilation, pad, "constant" if padding_mode == "zeros" else padding_mode


def conv_forward(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"
):
    """x (N, C, spatial) or (C, spatial) -> (N, O, out) or (O, out).

    ``padding_mode`` is that of the layers: zeros, reflect, replicate or circular.
    """
    if x.ndim == weight.ndim - 1:
        args = (weight, bias, stride, padding, dilation, groups, padding_mode)
        return conv_forward(x[None], *args)[0]
    stride, dilation, pad, mode = _conv_geometry(weight, stride, padding, dilation, padding_mode)
    image = pad_forward(x, pad, mode)
    return _add_bias(_correlate(image, weight, stride, dilation, groups), bias)


def conv_backward(
    dy, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"
):
    if x.ndim == weight.ndim - 1:
        args = (weight, bias, stride, padding, dilation, groups, padding_mode)
        dx, dw, db = conv_backward(dy[None], x[None], *args)
        return dx[0], dw, db
    stride, dilation, pad, mode = _conv_geometry(weight, stride, padding, dilation, padding_mode)
    image = pad_forward(x, pad, mode)
    dimage = _image_gradient(dy, image.shape[2:], weight, stride, dilation, groups)
    dw = _weight_gradient(dy, image, weight, stride, dilation, groups)
    return pad_backward(dimage, x, pad, mode)[0], dw, _bias_gradient(dy, bias)


def conv_transpose_out_size(size, kernel, stride, padding, output_padding, dilation):
    """Per axis: (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1."""
    geometry = zip(size, kernel, stride, padding, output_padding, dilation, strict=True)
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, k, s, p, extra, d in geometry)


def _transpose_geometry(x, weight, stride, padding, output_padding, dilation):
    """Tuples for stride and dilation; the uncropped output size; the box that cropping keeps."""
    n = weight.ndim - 2
    stride, padding, extra, dilation = (
        as_tuple(v, n) for v in (stride, padding, output_padding, dilation)
    )
    known = (x.shape[2:], weight.shape[2:], stride)
    full = conv_transpose_out_size(*known, (0,) * n, extra, dilation)
    out = conv_transpose_out_size(*known, padding, extra, dilation)
    return stride, dilation, full, tuple(slice(p, p + o) for p, o in zip(padding, out, strict=True))


def conv_transpose_forward(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The gradient of a convolution with respect to its image; weight (C, O/G, kernel)."""
    if x.ndim == weight.ndim - 1:
        args = (weight, bias, stride, padding, output_padding, groups, dilation)
        return conv_transpose_forward(x[None], *args)[0]
    stride, dilation, full, crop = _transpose_geometry(
        x, weight, stride, padding, output_padding, dilation
    )
    y = _image_gradient(x, full, weight, stride, dilation, groups)
    return _add_bias(y[(..., *crop)], bias)


def conv_transpose_backward(
    dy, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    if x.ndim == weight.ndim - 1:
        args = (weight, bias, stride, padding, output_padding, groups, dilation)
        dx, dw, db = conv_transpose_backward(dy[None], x[None], *args)
        return dx[0], dw, db
    stride, dilation, full, crop = _transpose_geometry(
        x, weight, stride, padding, output_padding, dilation
    )
    image = np.zeros((*dy.shape[:2], *full), dy.dtype)
    image[(..., *crop)] = dy
    extra = as_tuple(output_padding, weight.ndim - 2)  # no pixel of x reaches these
    image = image[(..., *(slice(n - e) for n, e in zip(full, extra, strict=True)))]
    dx = _correlate(image, weight, stride, dilation, groups)
    dw = _weight_gradient(x, image, weight, stride, dilation, groups)
    return dx, dw, _bias_gradient(dy, bias)
