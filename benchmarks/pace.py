"""Whether a core was ours alone while something was timed.

A hardware thread shares its core with another one; in a cloud that is often somebody else's. While the other one is
busy, plain additions run at half their pace, multiply-adds and loads at anything between a half and all of it, and what
is measured then is a share of a core that nobody can know. So the pace of additions is read before and after every
timed call, and rounds without a call beside fast readings only count where there are not a few others. Worse, a
hypervisor may give the core itself to others for a while: such rounds come last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastnn import _core

STOLEN = 0.05  # of a round's seconds, at most, during which a core did not run
UNDISTURBED = 0.8  # of the fastest pace: two busy threads get about a half each
WATCH_SECONDS = 2.0  # before the first case


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


def usual(readings: list[float]) -> float:
    """One that a tenth of the readings exceed: fewer may come from moments in which the clock was higher."""
    return sorted(readings)[9 * (len(readings) - 1) // 10]


def watched(read: Callable[[], float]) -> float:
    """The fastest pace that some hundred readings had, so that the first case knows what to expect."""
    fastest, end = 0.0, time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        fastest = max(fastest, usual([read() for _ in range(500)]))
    return fastest


def stolen(path: str = "/proc/stat") -> float:
    """Seconds that cores had work and a hypervisor did not let them run, since the start of the system; 0 where nobody
    counts them."""
    try:
        with open(path) as f:
            return int(f.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def least_stolen(shares: list[float], enough: int) -> list[int]:
    """The rounds of which next to nothing was stolen; where they are too few, those of which least was."""
    kept = [i for i, share in enumerate(shares) if share <= STOLEN]
    if len(kept) >= enough:
        return kept
    return sorted(range(len(shares)), key=shares.__getitem__)[:enough]
