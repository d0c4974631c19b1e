"""What a results file says, in a table: `python -m benchmarks.report RESULTS.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import goals

Result = dict[str, Any]


def summary(results: Sequence[Result]) -> str:
    """A line for each kind and thread count: how many cases, the geometric mean, how many miss their goal."""
    lines = [f"{'kind':24s} threads cases   mean  (goal)  worst   short of share, of ratio"]
    for kind in goals.GOALS:
        for n in sorted({r["threads"] for r in results}):
            rows = [r for r in results if r["kind"] == kind and r["threads"] == n and "bar" in r]
            ratios = [r["torch_ratio"] for r in rows if "torch_ratio" in r]
            if not ratios:
                continue
            missed = [r["missed"] for r in rows]
            lines.append(
                f"{kind or 'other':24s} {n:7d} {len(rows):5d} {goals.geometric_mean(ratios):6.2f}"
                f"  ({goals.GOALS[kind].mean:4.2f}) {min(ratios):6.2f}"
                f"   {sum('share' in m for m in missed)}, {sum('ratio' in m for m in missed)}"
            )
    return "\n".join(lines)


def misses(results: Sequence[Result]) -> str:
    """The cases below their goal, worst first."""
    rows = sorted(
        (r for r in results if r.get("missed")), key=lambda r: r.get("torch_ratio", 1) / r["bar"]
    )
    return "\n".join(
        f"{r['threads']} {r['group']:11s} {r['case']:50s} {100 * r.get('share', 0):4.0f} % "
        f"{r.get('torch_ratio', 0):6.2f}x of {r['bar']:.2f}x: {r['missed']}"
        for r in rows
    )


if __name__ == "__main__":
    whole = json.loads(Path(sys.argv[1]).read_text())
    print(summary(whole["results"]))
    print("\nBelow the goal:\n" + misses(whole["results"]))
