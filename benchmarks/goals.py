"""The goals: for each kind of case the share of the machine's limit and the ratio (peer's time / ours).

A ratio never asks for more than the limit allows: the bar of a case is the smaller of the stated ratio and
(our share / PyTorch's share). Shares count where the limit is at least 20 microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

LEAST_LIMIT_SECONDS = 20e-6


@dataclass(frozen=True)
class Goal:
    """share: of the limit, on one thread and on more; ratio: each case; mean: geometric mean of the ratios."""

    share: tuple[float, float] = (0.0, 0.0)
    ratio: float = 1.0
    mean: float = 1.0


GOALS = {
    "gemm": Goal((0.93, 0.90), 1.05, 1.08),
    "gemm 512": Goal((0.85, 0.85), 1.05, 1.08),
    "gemm 256": Goal((0.85, 0.85), 1.2, 1.2),
    "gemm 64": Goal((0.75, 0.75), 1.2, 1.2),
    "gemm small": Goal((0.0, 0.0), 1.2, 1.2),
    "gemm bf16": Goal((0.88, 0.88), 1.0, 1.05),
    "gemv": Goal((0.85, 0.85), 1.1, 1.1),
    "linear": Goal((0.0, 0.0), 1.2, 1.2),
    "conv 3x3 forward": Goal((0.90, 0.90), 0.97, 1.2),
    "conv 3x3 training": Goal((0.85, 0.85), 0.97, 1.1),
    "conv forward": Goal((0.80, 0.80), 1.3, 2.0),
    "conv training": Goal((0.80, 0.80), 1.3, 2.0),
    "depthwise": Goal((0.0, 0.0), 3.0, 3.0),
    "transposed": Goal((0.0, 0.0), 1.1, 1.1),
    "pooling": Goal((0.60, 0.60), 5.0, 5.0),
    "global pooling": Goal((0.60, 0.60), 1.0, 1.0),
    "tanh": Goal((0.70, 0.70), 3.0, 3.0),
    "memory": Goal((0.75, 0.75), 1.1, 1.4),
    "overhead": Goal((0.0, 0.0), 1.0, 1.0),
    "step": Goal((0.0, 0.0), 1.25, 1.6),
    "step LeNet": Goal((0.0, 0.0), 3.0, 3.0),
    "inference": Goal((0.0, 0.0), 1.4, 1.4),
    "inference batch 8": Goal(),  # measured, too: the goal is for batch 1
    "": Goal(),
}


def bar(kind: str, threads: int, share: float | None, ratio: float | None) -> float:
    """The ratio that a case is held to; share and ratio are the measured ones."""
    goal = GOALS[kind]
    wanted = goal.share[threads > 1]
    if wanted and share and ratio:
        return min(goal.ratio, wanted / (share / ratio))
    return goal.ratio


def verdict(result: dict[str, Any]) -> str:
    """What a result falls short of: '' (nothing), 'share', 'ratio' or both."""
    goal = GOALS[result["kind"]]
    missed = []
    wanted = goal.share[result["threads"] > 1]
    counts = result.get("limit_seconds", 0.0) >= LEAST_LIMIT_SECONDS
    if counts and wanted and result.get("share", 1.0) < wanted:
        missed.append("share")
    if "torch_ratio" in result and result["torch_ratio"] < result["bar"]:
        missed.append("ratio")
    return "+".join(missed)


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
