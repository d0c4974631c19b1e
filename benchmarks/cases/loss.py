"""Losses, forward + backward."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Step, labels, tensor


def _cross_entropy(n: int, classes: int) -> Case:
    kind = "tanh" if classes > 10000 else "memory"

    def build(t: Any) -> Step:
        x, y = tensor(t, n, classes, grad=True), labels(t, n, classes)

        def step() -> None:
            x.grad = None
            t.nn.functional.cross_entropy(x, y).backward()

        return step

    return Case(f"cross entropy {n}x{classes}, training", build, 0.0, 4.0 * 3 * n * classes, kind)


def _pointwise(name: str) -> Case:
    def build(t: Any) -> Step:
        x, y = tensor(t, 1024, 1024, grad=True), tensor(t, 1024, 1024, seed=1).sigmoid()
        f = getattr(t.nn.functional, name)

        def step() -> None:
            x.grad = None
            f(x, y).backward()

        return step

    return Case(f"{name} 1024x1024, training", build, 0.0, 4.0 * 5 * 1024 * 1024, "memory")


CASES = [
    _cross_entropy(64, 10),
    _cross_entropy(4096, 100),
    _cross_entropy(256, 32000),
    *[
        _pointwise(n)
        for n in (
            "mse_loss",
            "l1_loss",
            "smooth_l1_loss",
            "kl_div",
            "binary_cross_entropy_with_logits",
        )
    ],
]
