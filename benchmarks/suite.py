"""Runs groups of cases: every round asks each backend once, in turn, so that noise hits all alike."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import goals, limits, pace, peers, report
from benchmarks.case import Case

GROUPS = (
    "overhead", "elementwise", "gemm", "conv", "pool", "norm", "loss", "embedding", "optim", "steps", "inference",
)  # fmt: skip
Result = dict[str, Any]
SAVE_SECONDS = 10.0


class Worker:
    """A backend in its own process, with the thread count in its environment as well."""

    def __init__(self, backend: str, threads: int) -> None:
        root = Path(__file__).resolve().parent.parent
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), *[p for p in sys.path if p]]),
            **peers.environment(threads),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if backend == "fastnn" else subprocess.DEVNULL,
            text=True,
            env=env,
            cwd=root,
        )
        self.ask(threads=threads)

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": "the process ended"}

    def close(self) -> None:
        self.process.communicate()  # closes its input: it ends


def cases_of(group: str, quick: bool, only: str = "") -> Iterator[Case]:
    for case in importlib.import_module(f"benchmarks.cases.{group}").CASES:
        if (case.quick or not quick) and only.lower() in case.name.lower():
            yield case


@dataclass
class Patience:
    """How many rounds a case gets. A neighbour on a core (pace.py) may spoil some: then there are more, for so many
    seconds, until a few were undisturbed."""

    rounds: int
    seconds: float = 0.0
    fastest: float = 0.0  # pace that any backend has read

    @property
    def enough(self) -> int:
        """So many undisturbed rounds have a median of their own."""
        return min(3, self.rounds)

    def more(self, done: int, undisturbed: int, started: float) -> bool:
        waiting = undisturbed < self.enough and time.monotonic() < started + self.seconds
        return done < self.rounds or waiting


@dataclass
class Times:
    """A backend's best time of each round, and the best of its undisturbed calls."""

    best: list[float] = field(default_factory=list)
    undisturbed: list[float | None] = field(default_factory=list)

    def of(self, rounds: Sequence[int]) -> Times:
        return Times([self.best[i] for i in rounds], [self.undisturbed[i] for i in rounds])

    def ratio_to(self, ours: Times, enough: int) -> float:
        """The median of theirs / ours of the rounds that were undisturbed for both, if they are enough; else of all."""
        alone = [b / a for a, b in zip(ours.undisturbed, self.undisturbed, strict=True) if a and b]
        if len(alone) >= enough:
            return statistics.median(alone)
        return statistics.median(b / a for a, b in zip(ours.best, self.best, strict=True))


def measure(workers: dict[str, Worker], group: str, case: Case, patience: Patience) -> Result:
    """The best time of each backend, and the median of the rounds' ratios."""
    times = {name: Times() for name in workers}
    errors: dict[str, str] = {}
    absent: set[str] = set()
    peaks: list[float] = []
    stolen: list[float] = []  # the share of each round
    undisturbed: list[bool] = []  # whether we and the first peer were alone in it
    started = time.monotonic()
    while patience.more(len(stolen), sum(undisturbed), started):
        alone = []
        before, began = pace.stolen(), time.monotonic()
        for name, worker in workers.items():
            if name in errors or name in absent:
                continue
            answer = worker.ask(group=group, case=case.name, pace=patience.fastest)
            if "absent" in answer:
                absent.add(name)
            elif "error" in answer:
                errors[name] = answer["error"]
            else:
                times[name].best.append(answer["seconds"])
                times[name].undisturbed.append(answer["undisturbed"])
                patience.fastest = max(patience.fastest, answer["pace"])
                alone.append(answer["undisturbed"] is not None)
                peaks += [answer["flops"]] if "flops" in answer else []
        undisturbed.append(all(alone[:2]))
        stolen.append((pace.stolen() - before) / (time.monotonic() - began))
    result: Result = {"group": group, "case": case.name, "kind": case.kind, "errors": errors}
    if len(times["fastnn"].best) == len(stolen):
        kept = pace.least_stolen(stolen, patience.enough)
        ours = times["fastnn"].of(kept)
        result["seconds"], result["peak_flops"] = min(ours.best), max(peaks)
        result["undisturbed"] = sum(undisturbed[i] for i in kept) >= patience.enough
        result["stolen"] = round(statistics.mean(stolen[i] for i in kept), 3)
        for name, all_rounds in times.items():
            if name != "fastnn" and len(all_rounds.best) == len(stolen):
                theirs = all_rounds.of(kept)
                result[f"{name}_seconds"] = min(theirs.best)
                result[f"{name}_ratio"] = theirs.ratio_to(ours, patience.enough)
    return result


def measure_memory(threads: int, group: str, case: Case, names: Sequence[str]) -> Result:
    """How far each backend's process grows, each in a new process."""
    result: Result = {}
    for name in names:
        worker = Worker(name, threads)
        answer = worker.ask(group=group, case=case.name, memory=True)
        worker.close()
        if "bytes" in answer:
            result[f"{name}_peak_bytes"] = answer["bytes"]
    return result


def judge(result: Result, case: Case, peak: limits.Peak, threads: int) -> None:
    """Adds the limit, our share of it, the bar, and what is missed."""
    result["threads"] = threads
    if "seconds" not in result:
        return
    limit = limits.limit_seconds(case, peak, threads, result["peak_flops"])
    if limit:
        result["limit_seconds"] = limit
        result["share"] = limit / result["seconds"]
    counts = limit >= goals.LEAST_LIMIT_SECONDS
    result["bar"] = goals.bar(
        case.kind, threads, result.get("share") if counts else None, result.get("torch_ratio")
    )
    result["missed"] = goals.verdict(result)


def run(
    groups: Sequence[str],
    threads: Sequence[int],
    *,
    names: Sequence[str] = ("torch",),
    quick: bool = False,
    rounds: int = 7,
    patience: float = 0.0,
    only: str = "",
    again: dict[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] = lambda whole: None,
) -> dict[str, Any]:
    """Measures and prints; returns date, machine, versions, peaks and results, and gives them to `save` every while.
    `again`: an earlier run, of which only the cases are measured that it lacks or whose time was stolen (pace.py); the
    others are taken over."""

    present = [p for p in names if peers.installed(p)]
    for p in names:
        if p not in present:
            print(f"{p} is not installed: left out")
    results: list[Result] = []
    peaks: dict[str, limits.Peak] = {}
    good = {_key(r) for r in (again or {"results": []})["results"] if _stolen(r) <= pace.STOLEN}
    chosen = [(g, c) for g in groups for c in cases_of(g, quick, only)]
    saved = time.monotonic()
    for n in threads:
        with _workers(("fastnn", *present), n) as workers:
            peak = peaks[str(n)] = workers["fastnn"].ask(probe=True)
            print(f"\n{n} thread{'s' * (n > 1)}: {limits.describe(peak)}")
            print(
                f"{'case':46s} {'ours':>14s} {'limit':>7s}" + "".join(f" {p:>13s}" for p in present)
            )
            left_out, waiting = 0, Patience(rounds, patience, peak["pace"])
            for group, case in chosen:
                if (group, case.name, n) in good:
                    continue
                if not limits.has_unit(case, peak):
                    left_out += 1
                    continue
                result = measure(workers, group, case, waiting)
                if group == "steps":
                    result.update(measure_memory(n, group, case, ["fastnn", *present[:1]]))
                judge(result, case, peak, n)
                results.append(result)
                print(_line(result, present), flush=True)
                if time.monotonic() > saved + SAVE_SECONDS:
                    save(_whole(results, peaks, present, again))
                    saved = time.monotonic()
            if left_out:
                print(f"{left_out} cases left out: this level has no unit for their numbers")
    whole = _whole(results, peaks, present, again)
    print("\n" + report.summary(whole["results"]))
    return whole


@contextmanager
def _workers(names: Sequence[str], threads: int) -> Iterator[dict[str, Worker]]:
    workers = {name: Worker(name, threads) for name in names}
    try:
        yield workers
    finally:
        for w in workers.values():
            w.close()


def _whole(
    results: Sequence[Result],
    peaks: dict[str, limits.Peak],
    present: Sequence[str],
    again: dict[str, Any] | None,
) -> dict[str, Any]:
    """What a file of results holds: new ones in the place of those of the same case, and the earlier run's peaks."""
    from fastnn.training.report import machine, versions

    earlier = again or {"results": [], "versions": {}, "peaks": {}}
    new = {_key(r): r for r in results}
    return {
        **earlier,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "lowered": os.environ.get("FASTNN_ISA", ""),
        "versions": {**earlier["versions"], **versions(), **peer_versions(present)},
        "peaks": {**peaks, **earlier["peaks"]},
        "results": [less_stolen(r, new.pop(_key(r), r)) for r in earlier["results"]]
        + list(new.values()),
    }


def less_stolen(earlier: Result, now: Result) -> Result:
    """Of two results of a case the one that had more of its cores."""
    return earlier if _stolen(earlier) < _stolen(now) else now


def _stolen(result: Result) -> float:
    """The share of its cores that a result lacked: all of them where there is no time."""
    return result.get("stolen", 0.0) if "seconds" in result else 1.0


def _key(result: Result) -> tuple[str, str, int]:
    return result["group"], result["case"], result["threads"]


def _line(result: Result, present: Sequence[str]) -> str:
    if "seconds" not in result:
        return f"{result['case']:46s} {result['errors'].get('fastnn', '')[:60]}"
    text = f"{result['case']:46s} {result['seconds'] * 1e6:11.1f} us"
    text += f" {100 * result['share']:5.0f} %" if "share" in result else "        "
    for p in present:
        ratio = result.get(f"{p}_ratio")
        text += f" {ratio:12.2f}x" if ratio else f" {'-':>13s}"
    if "fastnn_peak_bytes" in result and "torch_peak_bytes" in result:
        ours, theirs = (result[f"{k}_peak_bytes"] / 2**20 for k in ("fastnn", "torch"))
        text += f"  memory {ours:.0f} MB, torch {theirs:.0f} MB"
    text += f"  < {result['missed']}" if result["missed"] else ""
    if result["stolen"] > pace.STOLEN:
        return text + f"  (stolen: {100 * result['stolen']:.0f} %)"
    return text + ("" if result["undisturbed"] else "  (disturbed)")


def peer_versions(present: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import version

    return {p: version("torch" if p == "torch.compile" else p) for p in present}
