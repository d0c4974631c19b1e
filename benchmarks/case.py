"""A case: one piece of work, written once in the API that fastnn and PyTorch share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Step = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """`build(t)` prepares the work for backend module `t` and returns the function to time.

    flops and bytes: what the work needs at least, for the share of the machine's limit.
    kind: which goal of `goals.py` the case is held to. quick: part of a `--quick` run.
    peak: which of the machine's peaks bounds flops.
    """

    name: str
    build: Callable[[Any], Step]
    flops: float = 0.0
    bytes: float = 0.0
    kind: str = ""
    quick: bool = True
    peak: str = "flops"


def array(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Standard normal numbers, the same for every backend."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def owned(x: Any) -> Any:
    """A copy in memory that the backend allocated, as the results of its layers are: pages and alignment count."""
    return x.clone() if hasattr(x, "clone") else x


def tensor(t: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    x = owned(t.from_numpy(array(*shape, seed=seed)))
    return x.requires_grad_() if grad else x


def labels(t: Any, n: int, classes: int) -> Any:
    return t.from_numpy(np.random.default_rng(0).integers(0, classes, n))


def forward_backward(function: Callable[[], Any], leaves: list[Any], t: Any) -> Step:
    """One call of `function`, and the gradients of `leaves` for a gradient of ones."""
    ones = t.ones_like(function().detach())

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        function().backward(ones)

    return step
