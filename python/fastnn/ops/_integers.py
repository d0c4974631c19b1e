"""Numbers as tensors of integers store them."""

from __future__ import annotations

from typing import Any

import numpy as np


def stored(value: Any, d: np.dtype, op: str) -> Any:
    """A number as dtype `d` stores it: a negative wraps in uint8; RuntimeError for one that does not fit."""
    if d.kind not in "iu" or not isinstance(value, (int, np.integer)):
        return value
    info = np.iinfo(d)
    if not (-info.max if d.kind == "u" else info.min) <= int(value) <= info.max:
        raise RuntimeError(f"{op}: {value} cannot be converted to {d.name} without overflow")
    return (int(value) - int(info.min)) % (1 << info.bits) + int(info.min)
