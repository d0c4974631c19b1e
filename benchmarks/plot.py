"""Charts of a results file: ratio bars for each kind of work, and a roofline.

fastnn bench --plot DIR            of the run just made
python -m benchmarks.plot RESULTS.json DIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import goals

OURS, THEIRS, INK = "#0b6e4f", "#b0b0b0", "#222222"


def ratio_bars(whole: dict[str, Any], path: Path) -> None:
    """The geometric mean of PyTorch's time / ours for each kind, with the worst and best case as a line."""
    import matplotlib.pyplot as plt

    threads = sorted({r["threads"] for r in whole["results"]})
    kinds = [k for k in goals.GOALS if k and _ratios(whole, k, threads[0])]
    figure, axes = plt.subplots(
        1, len(threads), figsize=(5.2 * len(threads), 0.3 * len(kinds) + 1.4), sharey=True, squeeze=False
    )  # fmt: skip
    for axis, n in zip(axes[0], threads, strict=True):
        for row, kind in enumerate(kinds):
            values = _ratios(whole, kind, n)
            if not values:
                continue
            mean = goals.geometric_mean(values)
            axis.barh(row, mean, color=OURS if mean >= 1 else THEIRS, height=0.62)
            axis.plot([min(values), max(values)], [row, row], color=INK, linewidth=0.8)
            axis.text(max(max(values), mean) * 1.08, row, f"{mean:.2f}", va="center", fontsize=8)
        axis.axvline(1, color=INK, linewidth=1)
        axis.set_xscale("log")
        axis.set_xlim(0.2, 60)
        axis.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        axis.set_yticks(range(len(kinds)), kinds, fontsize=8)
        axis.set_title(f"PyTorch's time / ours, {n} thread{'s' * (n > 1)}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].invert_yaxis()
    _finish(figure, whole, path)


def roofline(whole: dict[str, Any], path: Path) -> None:
    """What share of the limit each case reaches, ours beside PyTorch's, by the time that the limit allows."""
    import matplotlib.pyplot as plt

    threads = sorted({r["threads"] for r in whole["results"]})
    figure, axes = plt.subplots(
        1, len(threads), figsize=(5.2 * len(threads), 4), sharey=True, squeeze=False
    )
    for axis, n in zip(axes[0], threads, strict=True):
        rows = [
            r for r in whole["results"]
            if r["threads"] == n and r.get("limit_seconds", 0) >= goals.LEAST_LIMIT_SECONDS
        ]  # fmt: skip
        both = [r for r in rows if "torch_ratio" in r]
        for label, color, points in (
            (
                "PyTorch",
                THEIRS,
                [(r["limit_seconds"], r["share"] / r["torch_ratio"]) for r in both],
            ),
            ("fastnn", OURS, [(r["limit_seconds"], r["share"]) for r in rows]),
        ):
            x, y = [1e3 * p[0] for p in points], [100 * p[1] for p in points]
            axis.scatter(x, y, s=9, color=color, label=label)
        axis.axhline(100, color=INK, linewidth=1)
        axis.set_xscale("log")
        axis.set_ylim(0, 130)
        axis.set_xlabel("least time that arithmetic or memory allows [ms]", fontsize=9)
        axis.set_title(f"share of the limit [%], {n} thread{'s' * (n > 1)}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(frameon=False, fontsize=8)
    _finish(figure, whole, path)


def draw(whole: dict[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    charts = {"roofline.png": roofline}
    if any("torch_ratio" in r for r in whole["results"]):
        charts["ratios.png"] = ratio_bars
    for name, chart in charts.items():
        chart(whole, folder / name)
    return [folder / name for name in charts]


def _ratios(whole: dict[str, Any], kind: str, threads: int) -> list[float]:
    return [
        r["torch_ratio"]
        for r in whole["results"]
        if r["kind"] == kind and r["threads"] == threads and "torch_ratio" in r
    ]


def _finish(figure: Any, whole: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    versions = whole["versions"]
    note = f"{whole['machine']['cpu']}, {whole['date']}, fastnn {versions['fastnn']}"
    note += f", PyTorch {versions['torch']}" if "torch" in versions else ""
    figure.text(0.01, 0.005, note, fontsize=7, color="#666666")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    for drawn in draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])):
        print(drawn)
