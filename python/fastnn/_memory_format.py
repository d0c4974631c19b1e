"""How the axes of image tensors lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np


class memory_format:
    """How the axes of an image tensor lie in memory."""

    __slots__ = ("channels_last", "name")

    def __init__(self, name: str, channels_last: bool) -> None:
        self.name = name
        self.channels_last = channels_last

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format", False)
preserve_format = memory_format("preserve_format", False)
channels_last = memory_format("channels_last", True)
channels_last_3d = memory_format("channels_last_3d", True)


def channels_go_last(format: Any, op: str) -> bool:
    """Whether a memory format (None: the tensor's own) puts channels last; TypeError for what is none."""
    if format is not None and not isinstance(format, memory_format):
        raise TypeError(
            f"{op}(): argument 'memory_format' must be a fastnn.memory_format such as "
            f"fastnn.channels_last, not {type(format).__name__}"
        )
    return format is not None and format.channels_last


def channels_moved_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, 1, -1) if a.ndim >= 3 else a
