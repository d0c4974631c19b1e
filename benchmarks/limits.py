"""The machine's limits, from the probe of the same run, and what they make of a case."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case

Peak = dict[str, Any]


def bandwidth(peak: Peak, working_set: float) -> float:
    """Bytes a second of a working set (bytes for each thread): that of the smallest probed set that is not smaller."""
    for size, rate in peak["bandwidth"]:
        if working_set <= size:
            return float(rate)
    return float(peak["bandwidth"][-1][1])


def has_unit(case: Case, peak: Peak) -> bool:
    """Whether the level of instructions has a unit of its own for the case's numbers: without one there is no goal, and
    PyTorch takes seconds for a bfloat16 product."""
    return case.peak == "flops" or case.peak in peak


def limit_seconds(case: Case, peak: Peak, threads: int, flops_now: float) -> float:
    """The time that the arithmetic units or the memory need at least; `flops_now`: the peak measured beside the case,
    as the clock changes in the course of a run."""
    if "bandwidth" not in peak:
        return 0.0
    moving = case.bytes / bandwidth(peak, case.bytes / threads) if case.bytes else 0.0
    wider: float = peak[case.peak] / peak["flops"] if case.peak in peak else 1.0
    return max(case.flops / (flops_now * wider), moving)


def describe(peak: Peak) -> str:
    if "bandwidth" not in peak:
        return ""
    rates = ", ".join(f"{_size(s)} {r / 1e9:.0f}" for s, r in peak["bandwidth"])
    return f"{peak['flops'] / 1e9:.0f} GFLOP/s; GB/s by working set of a thread: {rates}"


def _size(n: int) -> str:
    return f"{n >> 20} MB" if n >= 1 << 20 else f"{n >> 10} KB"
