"""One backend in a process: reads requests from stdin, one JSON a line, and answers with times.

{"threads": n} sets the thread count. {"probe": true} measures the machine. {"group": g, "case": name} times a case: the
best seconds a call of one short sample, and, from fastnn, the peak FLOP/s of runs as long as a call, sampled alike. With
"memory": true it answers with the bytes by which the process grows at most in a few calls, with "mean": true with the mean
seconds of all calls of a longer sample, with "first": true with those of the very first call and the best later one.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import peers

SAMPLE_SECONDS = 0.06
LONG_SECONDS = 0.25
MEAN_SECONDS = 0.5


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def sample(function: Callable[[], Any]) -> float:
    """The best time of one call within a sample of SAMPLE_SECONDS (groups of calls where a call is short), after a call
    that warms up; of two calls where they are long, which a cold one does not change."""
    first, once = _seconds(function), _seconds(function)
    if first > LONG_SECONDS:
        return min(first, once)
    group = max(1, int(2e-4 / max(once, 1e-9)))
    best, end = float("inf"), time.perf_counter() + SAMPLE_SECONDS
    rounds = 0
    while rounds < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(group):
            function()
        best = min(best, (time.perf_counter() - start) / group)
        rounds += 1
    return best


def mean(function: Callable[[], Any]) -> float:
    """The mean time of one call within MEAN_SECONDS."""
    function()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() < start + MEAN_SECONDS:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def first_call(function: Callable[[], Any]) -> dict[str, float]:
    start = time.perf_counter()
    function()
    first = time.perf_counter() - start
    return {"first": first, "seconds": sample(function)}


def status(key: str) -> int:
    """Bytes from /proc/self/status: VmRSS or VmHWM."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key)) * 1024


def growth(build: Callable[[], Callable[[], Any]]) -> int:
    """By how many bytes the process grows at its highest, from before the case is built."""
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the high-water mark starts again
    step = build()
    for _ in range(3):
        step()
    return status("VmHWM") - before


def main() -> None:
    t = peers.activate(sys.argv[1])
    built: dict[tuple[str, str], Callable[[], Any]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "threads" in request:
                t.set_num_threads(request["threads"])
                answer: dict[str, Any] = {"ok": True}
            elif "probe" in request:
                answer = t._core.probe()
            else:
                key = (request["group"], request["case"])
                cases = importlib.import_module(f"benchmarks.cases.{key[0]}").CASES
                case = next(c for c in cases if c.name == key[1])
                if not peers.takes_part(case.kind):
                    answer = {"absent": True}
                elif request.get("memory"):
                    answer = {"bytes": growth(lambda c=case: c.build(t))}
                else:
                    if key not in built:
                        built.clear()  # one case's data at a time
                        built[key] = peers.finish(case.build(t))
                    if request.get("first"):
                        answer = first_call(built[key])
                    elif request.get("mean"):
                        answer = {"seconds": mean(built[key])}
                    else:
                        answer = {"seconds": sample(built[key])}
                    if sys.argv[1] == "fastnn":
                        answer["flops"] = t._core.peak_flops(answer["seconds"], SAMPLE_SECONDS)
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
