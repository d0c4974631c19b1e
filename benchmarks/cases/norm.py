"""Normalisation, forward + backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, tensor


def _case(name: str, shape: tuple[int, ...], make: Callable[[Any], Any]) -> Case:
    n = 1
    for s in shape:
        n *= s

    def build(t: Any) -> Any:
        layer, x = make(t), tensor(t, *shape, grad=True)
        g = t.ones_like(layer(x).detach())

        def step() -> None:
            x.grad = None
            layer(x).backward(g)

        return step

    return Case(f"{name}, training", build, 0.0, 4.0 * 5 * n)


CASES = [
    _case("batch norm 32x64x56x56", (32, 64, 56, 56), lambda t: t.nn.BatchNorm2d(64)),
    _case("batch norm 256x512", (256, 512), lambda t: t.nn.BatchNorm1d(512)),
    _case("layer norm 4096x512", (4096, 512), lambda t: t.nn.LayerNorm(512)),
    _case("group norm 8x64x56x56", (8, 64, 56, 56), lambda t: t.nn.GroupNorm(8, 64)),
    _case("rms norm 4096x512", (4096, 512), lambda t: t.nn.RMSNorm(512)),
]
