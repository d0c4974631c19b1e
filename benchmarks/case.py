"""A case: one piece of work, written once in the API that fastnn and PyTorch share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """build(t) prepares the work for backend module `t` and returns the function to time.

    flops and bytes: what the work needs at least, for the share of the machine's limit. bar: the ratio (peer's time / ours)
    that the project asks for.
    """

    name: str
    build: Callable[[Any], Callable[[], Any]]
    flops: float = 0.0
    bytes: float = 0.0
    bar: float = 1.0
    share: float = 0.0


def array(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Standard normal numbers, the same for every backend."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def tensor(t: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    x = t.from_numpy(array(*shape, seed=seed))
    return x.requires_grad_() if grad else x
