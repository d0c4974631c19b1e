"""What a worker process knows about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerInfo:
    """What :func:`get_worker_info` gives in a worker process.

    Attributes:
        id: the worker's number, 0 … num_workers - 1.
        num_workers: how many workers the loader has.
        seed: what the random numbers of this worker were seeded with.
        dataset: this worker's own copy of the dataset.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_current: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The number and the dataset of this worker process, or None outside of worker processes."""
    return _current


def set_worker_info(info: WorkerInfo) -> None:
    global _current
    _current = info
