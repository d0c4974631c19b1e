"""The same numbers at different places in memory.

``place`` writes an array into a larger buffer whose other bytes are all 0xFF (NaN as a float), so
that a kernel which reads beside its input gives NaN and one which writes there is found out.
"""

import math
from dataclasses import dataclass

import numpy as np

LAYOUTS = ("contiguous", "transposed", "strided", "sliced", "flipped", "offset", "channels_last")
ALIGNMENT = 64  # bytes; also the guard zone before and after the data


@dataclass(frozen=True)
class Placed:
    view: np.ndarray
    buffer: np.ndarray  # bytes that hold the view, with guards
    before: bytes

    def assert_unmodified(self, name):
        if self.buffer.tobytes() != self.before:
            raise AssertionError(f"{name} was modified, or memory beside it was written")


def _row_major(shape):
    """Strides in elements, and the number of elements."""
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return strides, math.prod(shape)


def _strides(shape, layout):
    """(strides in elements, index of the first element, elements spanned)."""
    strides, count = _row_major(shape)
    if layout == "contiguous" or not shape:
        return strides, 0, count
    if layout == "offset":
        return strides, 1, count + 1
    if layout == "transposed":
        return _row_major(shape[::-1])[0][::-1], 0, count
    if layout == "strided":  # every second element of the last axis
        return [2 * s for s in strides], 0, 2 * count
    if layout == "sliced":  # rows of a wider matrix
        wide, span = _row_major((*shape[:-1], shape[-1] + 3))
        return wide, 2, span + 2
    if layout == "flipped":  # every axis backwards
        return (
            [-s for s in strides],
            sum(s * (n - 1) for s, n in zip(strides, shape, strict=True)),
            count,
        )
    if layout == "expanded":  # one copy of the first axis
        return [0, *strides[1:]], 0, math.prod(shape[1:])
    assert layout == "channels_last", layout
    if len(shape) < 3:
        return strides, 0, count
    order = [0, *range(2, len(shape)), 1]
    inner = _row_major([shape[a] for a in order])[0]
    return [inner[order.index(a)] for a in range(len(shape))], 0, count


def place(array, layout="contiguous", shift=0):
    """A copy of ``array`` in ``layout``, ``shift`` bytes off a 64-byte boundary.

    The shift is rounded down to whole elements.
    """
    strides, first, span = _strides(array.shape, layout)
    size = array.dtype.itemsize
    shift -= shift % size
    raw = np.full(span * size + shift + 3 * ALIGNMENT, 0xFF, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT + ALIGNMENT + shift + first * size
    view = np.ndarray(array.shape, array.dtype, raw, start, [s * size for s in strides])
    if array.size:
        view[...] = array
    return Placed(view, raw, raw.tobytes())


def constant_first_axis(array):
    """An array of the same shape whose first axis repeats one slice: what ``expanded`` can hold."""
    if array is None or array.ndim == 0 or array.shape[0] == 0:
        return array
    return np.ascontiguousarray(np.broadcast_to(array[:1], array.shape))
