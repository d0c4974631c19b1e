"""Losses, forward + backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Case, tensor


def _cross_entropy(n: int, classes: int) -> Case:
    def build(t: Any) -> Any:
        x = tensor(t, n, classes, grad=True)
        y = t.from_numpy(np.random.default_rng(0).integers(0, classes, n))

        def step() -> None:
            x.grad = None
            t.nn.functional.cross_entropy(x, y).backward()

        return step

    return Case(f"cross entropy {n}x{classes}, training", build, 0.0, 4.0 * 3 * n * classes)


def _pointwise(name: str) -> Case:
    def build(t: Any) -> Any:
        x, y = tensor(t, 1024, 1024, grad=True), tensor(t, 1024, 1024, seed=1).sigmoid()
        f = getattr(t.nn.functional, name)

        def step() -> None:
            x.grad = None
            f(x, y).backward()

        return step

    return Case(f"{name} 1024x1024, training", build, 0.0, 4.0 * 5 * 1024 * 1024)


CASES = [
    _cross_entropy(64, 10),
    _cross_entropy(4096, 100),
    _cross_entropy(256, 32000),
    *[_pointwise(n) for n in ("mse_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits")],
]
