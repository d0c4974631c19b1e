"""Normalisation, forward + backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, Step, forward_backward, tensor


def _case(name: str, shape: tuple[int, ...], make: Callable[[Any], Any]) -> Case:
    def build(t: Any) -> Step:
        layer, x = make(t), tensor(t, *shape, grad=True)
        return forward_backward(lambda: layer(x), [x, *layer.parameters()], t)

    # Forward reads x and writes y; backward reads x and dy and writes dx.
    return Case(f"{name}, training", build, 0.0, 4.0 * 5 * math.prod(shape), "memory")


CASES = [
    _case("batch norm 32x64x56x56", (32, 64, 56, 56), lambda t: t.nn.BatchNorm2d(64)),
    _case("batch norm 8x256x14x14", (8, 256, 14, 14), lambda t: t.nn.BatchNorm2d(256)),
    _case("instance norm 8x64x56x56", (8, 64, 56, 56), lambda t: t.nn.InstanceNorm2d(64)),
    _case("layer norm 64x512", (64, 512), lambda t: t.nn.LayerNorm(512)),
    _case("batch norm 256x512", (256, 512), lambda t: t.nn.BatchNorm1d(512)),
    _case("layer norm 4096x512", (4096, 512), lambda t: t.nn.LayerNorm(512)),
    _case("group norm 8x64x56x56", (8, 64, 56, 56), lambda t: t.nn.GroupNorm(8, 64)),
    _case("rms norm 4096x512", (4096, 512), lambda t: t.nn.RMSNorm(512)),
]
