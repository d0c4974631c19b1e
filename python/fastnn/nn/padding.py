"""Padding layers: 1d, 2d and 3d of constant, zero, reflection, replication and circular padding."""

from __future__ import annotations

from typing import Any

from ..ops import padding as F
from .module import Module


class _Pad(Module):
    """Pads the last axes; `padding` is an int, or (before, after) for each axis, the last axis
    first."""

    _dims = 0
    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        n = 2 * self._dims
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * n

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """Pads (N, C, L) or (C, L) with a value."""

    _dims = 1


class ConstantPad2d(_ConstantPad):
    """Pads (N, C, H, W) or (C, H, W) with a value."""

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with a value."""

    _dims = 3


class ZeroPad1d(_ZeroPad):
    """Pads (N, C, L) or (C, L) with zeros."""

    _dims = 1


class ZeroPad2d(_ZeroPad):
    """Pads (N, C, H, W) or (C, H, W) with zeros."""

    _dims = 2


class ZeroPad3d(_ZeroPad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with zeros."""

    _dims = 3


class ReflectionPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with what lies behind the edge, mirrored."""

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with what lies behind the edges, mirrored."""

    _dims, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with what lies behind the edges, mirrored."""

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with the edge."""

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with the edges."""

    _dims, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with the edges."""

    _dims, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with the other end."""

    _dims, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with the other ends."""

    _dims, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with the other ends."""

    _dims, _mode = 3, "circular"
