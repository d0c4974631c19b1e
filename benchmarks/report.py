"""What a results file says.

python -m benchmarks.report RESULTS.json                      on the terminal
python -m benchmarks.report RESULTS.json docs/benchmarks.md   as a page of the documentation
python -m benchmarks.report RESULTS.json PAGE.md OTHERS.json  with a table of what another run says of other peers
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import goals, pace, reasons

Result = dict[str, Any]


def summary(results: Sequence[Result]) -> str:
    """A line for each kind and thread count: how many cases, the geometric mean, how many miss their goal."""
    lines = [f"{'kind':24s} threads cases   mean  (goal)  worst   short of share, of ratio"]
    for kind in goals.GOALS:
        for n in sorted({r["threads"] for r in results}):
            rows = _judged(kind, n, results)
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


def _judged(kind: str, threads: int, results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r["kind"] == kind and r["threads"] == threads and "bar" in r]


def misses(results: Sequence[Result]) -> str:
    """The cases below their goal, worst first."""
    rows = sorted((r for r in results if r.get("missed")), key=_distance)
    return "\n".join(
        f"{r['threads']} {r['group']:11s} {r['case']:50s} {100 * r.get('share', 0):4.0f} % "
        f"{r.get('torch_ratio', 0):6.2f}x of {r['bar']:.2f}x: {r['missed']}"
        for r in rows
    )


def page(whole: dict[str, Any], files: Sequence[str], others: Sequence[dict[str, Any]] = ()) -> str:
    """The documentation's page: how it was measured, a row for each kind, the cases below their goal. `files`: the
    arguments that it was made with; `others`: runs with peers besides PyTorch."""
    results = whole["results"]
    threads = sorted({r["threads"] for r in results})
    machine = ", ".join(f"{k}: {v}" for k, v in whole["machine"].items())
    versions = ", ".join(f"{k} {v}" for k, v in whole["versions"].items())
    lowered = whole.get("lowered")  # the level that FASTNN_ISA asked for
    command = f"FASTNN_ISA={lowered} fastnn bench" if lowered else "fastnn bench"
    has_charts = Path(files[1]).name == "benchmarks.md"  # they show one run
    lines = [
        f"# Measured{f' with {lowered}' if lowered else ''}", "",
        f"Written by `python -m benchmarks.report {' '.join(files)}` from a run of `{command}` on {whole['date']}.", "",
        f"Machine: {machine}. Versions: {versions}. {whole.get('note', '')}".rstrip(), "",
        "Ours and the peers run in turn, each in a process of its own with the same number of threads; times are the best "
        "of the rounds, ratios (PyTorch's time / ours) the median of theirs. A share is that of the time which the "
        "machine's peak (multiply-adds, half of them fed by a load, in runs as long as the case's call, sampled beside it) "
        "or its bandwidth, probed at the start, allows at best. \"Mean at the limit\": the mean ratio if ours took the "
        "limit's time in every case.", *_disturbed(results), "",
        *(["![ratios](charts/ratios.png)", "", "![roofline](charts/roofline.png)", ""] if has_charts else []),
        "## By kind of work", "",
        "| kind | threads | cases | PyTorch's time / ours: mean | goal | mean at the limit | worst | best "
        "| median share of the limit | below goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for kind in goals.GOALS:
        lines += filter(None, (_row(kind, n, results) for n in threads))
    lines += _means_below(results, lowered)
    lines += _other_peers([*others, whole])
    missed = sorted((r for r in results if r.get("missed")), key=_distance)
    lines += ["", f"## Below the goal: {len(missed)} of {len(results)}", "",
              "The goals are in `benchmarks/goals.py`. Worst first.", "",
              "| threads | case | share of the limit | ratio | bar | short of | reason found |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {r['threads']} | {r['group']}: {r['case']} | {_percent(r.get('share'))} | {r.get('torch_ratio', 0):.2f} "
        f"| {r['bar']:.2f} | {r['missed'].replace('+', ', ')} | {_reason(r, whole)} |"
        for r in missed
    ]
    return "\n".join(lines) + "\n"


def _disturbed(results: Sequence[Result]) -> list[str]:
    """In how many cases rounds were undisturbed, if the run knows."""
    known = [bool(r["undisturbed"]) for r in results if "undisturbed" in r]
    if not known:
        return []
    stolen = sum(r.get("stolen", 0) > pace.STOLEN for r in results)
    return [
        "", "Where other threads on the same cores were busy (`benchmarks/pace.py`: a neighbour in a cloud), rounds do not "
        f"count if there are a few others: the ratios of {sum(known)} cases are those of undisturbed rounds; in "
        f"{len(known) - sum(known)} cases there were too few of them. Nor do rounds in which a hypervisor took more than "
        f"{100 * pace.STOLEN:.0f} % of a core away, if there are others; there were too few in {stolen} cases (`--again` "
        "measures such once more).",
    ]  # fmt: skip


def _reason(result: Result, whole: dict[str, Any]) -> str:
    """Why a case is below its goal; the run says what it is where nobody has looked."""
    found = reasons.reason(result["group"], result["case"], whole.get("lowered"))
    found = whole.get("otherwise", found) if found == reasons.NOT_FOUND else found
    return found if result.get("undisturbed", True) else f"{found}; disturbed by a neighbour"


def _other_peers(runs: Sequence[dict[str, Any]]) -> list[str]:
    """A row for each kind of work that a peer besides PyTorch took part in."""
    rows = []
    for run in runs:
        found: dict[tuple[str, str, int], list[float]] = {}
        for peer, r in itertools.product(run["versions"], run["results"]):
            if peer != "torch" and f"{peer}_ratio" in r:
                found.setdefault((peer, r["kind"], r["threads"]), []).append(r[f"{peer}_ratio"])
        for (peer, kind, n), ratios in found.items():
            rows.append(
                f"| {peer} {run['versions'][peer]} | {kind or 'other'} | {n} | {len(ratios)} "
                f"| {goals.geometric_mean(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |"
            )
    if not rows:
        return []
    return ["", "## Beside other peers", "",
            "| peer | kind | threads | cases | its time / ours: mean | worst | best |",
            "|---|---|---|---|---|---|---|", *rows]  # fmt: skip


def _row(kind: str, threads: int, results: Sequence[Result]) -> str:
    rows = _judged(kind, threads, results)
    ratios = sorted(r["torch_ratio"] for r in rows if "torch_ratio" in r)
    if not ratios:
        return ""
    shares = sorted(
        r["share"] for r in rows if r.get("limit_seconds", 0) >= goals.LEAST_LIMIT_SECONDS
    )
    middle = _percent(shares[len(shares) // 2] if shares else None)
    return (
        f"| {kind or 'other'} | {threads} | {len(rows)} | {goals.geometric_mean(ratios):.2f} "
        f"| {goals.GOALS[kind].mean:.2f} | {_at_the_limit(rows)} | {ratios[0]:.2f} | {ratios[-1]:.2f} | {middle} "
        f"| {sum(bool(r['missed']) for r in rows)} |"
    )


def _means_below(results: Sequence[Result], level: str | None) -> list[str]:
    """Which kinds' means are below their goal, and what share of the limit the peer is at."""
    rows = []
    for kind, n in itertools.product(goals.GOALS, sorted({r["threads"] for r in results})):
        cases = [r for r in _judged(kind, n, results) if "torch_ratio" in r]
        if not cases:
            continue
        mean = goals.geometric_mean([r["torch_ratio"] for r in cases])
        if mean >= goals.GOALS[kind].mean:
            continue
        theirs = sorted(
            r["limit_seconds"] / r["torch_seconds"] for r in cases if r.get("limit_seconds")
        )
        rows.append(
            f"| {kind} | {n} | {mean:.2f} | {goals.GOALS[kind].mean:.2f} "
            f"| {_percent(theirs[len(theirs) // 2] if theirs else None)} | {reasons.mean_reason(kind, level)} |"
        )
    if not rows:
        return []
    return ["", "## Means below the goal", "",
            "| kind | threads | mean | goal | PyTorch's median share of the limit | why |",
            "|---|---|---|---|---|---|", *rows]  # fmt: skip


def _at_the_limit(rows: Sequence[Result]) -> str:
    """The mean ratio if ours took exactly the limit's time in every case."""
    allowed = [
        r["torch_seconds"] / r["limit_seconds"]
        for r in rows
        if r.get("limit_seconds") and "torch_seconds" in r
    ]
    return f"{goals.geometric_mean(allowed):.2f}" if len(allowed) == len(rows) else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _distance(r: Result) -> float:
    return r.get("torch_ratio", 1) / r["bar"]


def main() -> None:
    whole = json.loads(Path(sys.argv[1]).read_text())
    if len(sys.argv) > 2:
        others = [json.loads(Path(p).read_text()) for p in sys.argv[3:]]
        Path(sys.argv[2]).write_text(page(whole, sys.argv[1:], others))
        return
    print(summary(whole["results"]))
    print("\nBelow the goal:\n" + misses(whole["results"]))


if __name__ == "__main__":
    main()
