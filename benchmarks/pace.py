"""Whether a core was ours alone while something was timed.

A hardware thread shares its core with another one; in a cloud that is often somebody else's. While the other one is
busy, plain additions run at half their pace, multiply-adds and loads at anything between a half and all of it, and what
is measured then is a share of a core that nobody can know. So the pace of additions is read before and after every
timed call, and calls beside a slow reading count only where there are no others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastnn import _core

UNDISTURBED = 0.85  # of the fastest reading: two busy threads get about a half each


def reader(threads: int) -> Callable[[], float]:
    """Reads the pace of the caller's core; of the slowest core where so many threads use all of them."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if threads == 1 or threads != len(cores):  # else nobody knows which ones they are on
        return _core.pace
    watchers = [
        ThreadPoolExecutor(1, initializer=os.sched_setaffinity, initargs=(0, {core}))
        for core in cores
    ]

    def slowest() -> float:
        return min(f.result() for f in [w.submit(_core.pace) for w in watchers])

    return slowest
