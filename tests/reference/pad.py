"""torch.nn.functional.pad: constant, reflect, replicate and circular; negative pads crop.

Per axis, padding is a table: output position -> input position, -1 where the constant goes.
"""

import numpy as np


def _source(size, before, after, mode):
    """The input position that each output position of one axis shows, or -1."""
    at = np.arange(-before, size + after)
    if mode == "constant":
        return np.where((at >= 0) & (at < size), at, -1)
    if mode == "reflect":
        at = np.abs(at)
        return np.where(at >= size, 2 * (size - 1) - at, at)
    if mode == "replicate":
        return np.clip(at, 0, size - 1)
    assert mode == "circular", mode
    return at % size


def _axes(x, pad):
    """(axis, before, after) of the padded axes; ``pad`` lists the last axis first."""
    return [(x.ndim - 1 - i, pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)]


def pad_forward(x, pad, mode="constant", value=0):
    for axis, before, after in _axes(x, pad):
        source = _source(x.shape[axis], before, after, mode)
        outside = np.expand_dims(source < 0, tuple(range(1, x.ndim - axis)))
        if x.shape[axis] == 0:
            shape = (*x.shape[:axis], len(source), *x.shape[axis + 1 :])
            x = np.full(shape, value, x.dtype)
        else:
            x = np.where(outside, x.dtype.type(value), np.take(x, source, axis))
    return x


def pad_backward(dy, x, pad, mode="constant", value=0):
    """Each output position gives its gradient back to the input position that it shows."""
    shapes = x.shape
    for axis, before, after in _axes(x, pad):
        source = _source(shapes[axis], before, after, mode)
        dy = np.moveaxis(dy, axis, 0)
        dx = np.zeros((shapes[axis], *dy.shape[1:]), dy.dtype)
        np.add.at(dx, source[source >= 0], dy[source >= 0])
        dy = np.moveaxis(dx, 0, axis)
    return (dy,)
