"""Threads and memory of the kernels."""

from __future__ import annotations

from . import _core


def set_num_threads(n: int) -> None:
    """How many threads kernels may use. Results have the same bits for every number. ValueError below 1."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads kernels use: at first the smallest of OMP_NUM_THREADS, CPU affinity and cgroup quota."""
    return _core.num_threads()


def memory_stats() -> dict[str, int]:
    """The pool behind CPU outputs, in bytes: allocated (in use), peak, cached (kept for reuse); and system_calls."""
    return _core.memory_stats()


def reset_peak_memory_stats() -> None:
    """Makes the present use the peak."""
    _core.reset_peak_memory()


def empty_cache() -> None:
    """Gives all cached memory back to the system."""
    _core.empty_cache()


def set_cache_limit(limit: int) -> None:
    """The most bytes that the pool keeps for reuse."""
    _core.set_cache_limit(limit)
