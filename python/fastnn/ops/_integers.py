"""Numbers as tensors of integers store them."""

from __future__ import annotations

from typing import Any

import numpy as np


def stored(value: Any, d: np.dtype, op: str) -> Any:
    """A number as dtype `d` stores it: a negative wraps in uint8; RuntimeError for one that does not fit."""
    if d.kind not in "iu" or not isinstance(value, (int, np.integer)):
        return value
    info = np.iinfo(d)
    if not _least(info) <= int(value) <= info.max:
        raise _overflow(op, value, d)
    return (int(value) - int(info.min)) % (1 << info.bits) + int(info.min)


def put(value: Any, d: np.dtype, op: str) -> Any:
    """A number that is put into a tensor of dtype `d`: as `stored`, and of a float the fraction is cut off."""
    if d.kind not in "iu" or not isinstance(value, (float, np.floating)):
        return stored(value, d, op)
    info = np.iinfo(d)
    low = value >= 0 if info.min == 0 else int(info.min) - 1 < value  # of NaN neither holds
    if not (low and value < int(info.max) + 1):
        raise _overflow(op, value, d)
    return int(value)


def require_fit(a: np.ndarray, d: np.dtype, op: str) -> None:
    """RuntimeError if one of the numbers `a` cannot be put into a tensor of dtype `d`."""
    if d.kind not in "iu" or a.dtype.kind not in "iuf" or not a.size:
        return
    for value in (a.min(), a.max()):  # NaN, if there is one
        put(value, d, op)


def _least(info: Any) -> int:
    return -info.max if info.min == 0 else int(info.min)


def _overflow(op: str, value: Any, d: np.dtype) -> RuntimeError:
    return RuntimeError(f"{op}: {value} cannot be converted to {d.name} without overflow")
