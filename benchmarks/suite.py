"""Runs groups of cases: every round asks each backend once, in turn, so that noise hits all alike."""

from __future__ import annotations

import datetime
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import Case

GROUPS = ("overhead", "elementwise", "gemm", "conv", "pool", "norm", "loss", "optim", "steps")
PEERS = ("torch",)


class Worker:
    """A backend in its own process."""

    def __init__(self, backend: str) -> None:
        root = Path(__file__).resolve().parent.parent
        paths = [str(root), *[p for p in sys.path if p]]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=root,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "the process ended"}

    def close(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


def cases_of(group: str) -> list[Case]:
    return list(importlib.import_module(f"benchmarks.cases.{group}").CASES)


def measure(workers: dict[str, Worker], group: str, case: Case, rounds: int) -> dict[str, Any]:
    """The median over rounds of each backend's best time, and the median of the rounds' ratios."""
    times: dict[str, list[float]] = {name: [] for name in workers}
    errors: dict[str, str] = {}
    for _ in range(rounds):
        for name, worker in workers.items():
            if name in errors:
                continue
            answer = worker.ask(group=group, case=case.name)
            if "error" in answer:
                errors[name] = answer["error"]
            else:
                times[name].append(answer["seconds"])
    result: dict[str, Any] = {"group": group, "case": case.name, "bar": case.bar, "errors": errors}
    ours = times["fastnn"]
    if ours:
        result["seconds"] = min(ours)
        for name, theirs in times.items():
            if name != "fastnn" and theirs:
                pairs = sorted(b / a for a, b in zip(ours, theirs, strict=True))
                result[f"{name}_seconds"] = min(theirs)
                result[f"{name}_ratio"] = pairs[len(pairs) // 2]
    return result


def add_share(result: dict[str, Any], case: Case, peak: dict[str, float]) -> None:
    """The share of the limit: the time that peak FLOP/s or bandwidth would need, over ours."""
    if "seconds" not in result or "flops" not in peak:
        return
    limit = max(case.flops / peak["flops"], case.bytes / peak["bytes"])
    if limit:
        result["share"] = limit / result["seconds"]


def describe(result: dict[str, Any], peers: list[str]) -> str:
    if "seconds" not in result:
        return f"{result['case']:44s} {result['errors'].get('fastnn', '')[:60]}"
    text = f"{result['case']:44s} {result['seconds'] * 1e6:11.1f} us"
    text += f" {100 * result['share']:5.0f} %" if "share" in result else "        "
    for p in peers:
        ratio = result.get(f"{p}_ratio")
        text += f"   {ratio:6.2f}x" if ratio else f"   {'-':>7s}"
        if ratio and p == "torch":
            text += "  " if ratio >= result["bar"] else " *"
    return text


def run(
    groups: list[str], threads: list[int], json_path: Path | None = None, quick: bool = False
) -> list[dict]:
    """Measures and prints; returns (and on demand writes) the results."""
    from fastnn.training.report import machine, versions

    peers = [p for p in PEERS if importlib.util.find_spec(p) is not None]
    if not peers:
        print("PyTorch is not installed: our own times only")
    results: list[dict] = []
    for n in threads:
        workers = {name: Worker(name) for name in ("fastnn", *peers)}
        for w in workers.values():
            w.ask(threads=n)
        peak = workers["fastnn"].ask(probe=True)
        print(f"\n{n} thread{'s' * (n > 1)}" + _peak_text(peak))
        print(f"{'case':44s} {'ours':>14s} {'limit':>7s}" + "".join(f"   {p:>8s}" for p in peers))
        for group in groups:
            for case in cases_of(group):
                result = measure(workers, group, case, 3 if quick else 7)
                result["threads"] = n
                add_share(result, case, peak)
                results.append(result)
                print(describe(result, peers), flush=True)
            for p in peers:
                ratios = [
                    r[f"{p}_ratio"]
                    for r in results
                    if r["group"] == group and r["threads"] == n and f"{p}_ratio" in r
                ]
                if ratios:
                    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
                    print(f"{group}: geometric mean of {p}'s time / ours: {mean:.2f}")
        for w in workers.values():
            w.close()
    if json_path is not None:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        whole = {"date": stamp, "machine": machine(), "versions": versions(), "results": results}
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(whole, indent=1) + "\n")
        print(f"written to {json_path}")
    return results


def _peak_text(peak: dict[str, float]) -> str:
    if "flops" not in peak:
        return ""
    return f" (this machine: {peak['flops'] / 1e9:.0f} GFLOP/s, {peak['bytes'] / 1e9:.0f} GB/s)"
