"""One backend in a process: reads requests from stdin, one JSON a line, and answers with times.

{"threads": n} sets the thread count. {"probe": true} measures the machine. {"group": g, "case": name} times a case: the
best seconds a call of one short sample, those of the best undisturbed call (pace.py) if "pace" says how fast additions
are then, the fastest pace read, and, from fastnn, the peak FLOP/s of runs as long as a call, sampled alike. With
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

from benchmarks import pace, peers

SAMPLE_SECONDS = 0.06
LONG_SECONDS = 0.25
MEAN_SECONDS = 0.5


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Sample:
    """Times calls for SAMPLE_SECONDS (in groups where a call is short), after one that warms up; two calls where they are
    long, which a cold one does not change."""

    def __init__(self, read_pace: Callable[[], float] = lambda: 0.0) -> None:
        self.read_pace = read_pace
        self.calls: list[tuple[float, float]] = []  # seconds, the slower pace of before and after
        self.readings: list[float] = []

    def take(self, function: Callable[[], Any]) -> Sample:
        before = self._pace()
        once = _seconds(function)
        if once <= LONG_SECONDS:
            once = _seconds(function)
            before = self._pace()
        else:
            before = self._add(once, before)
        group = max(1, int(2e-4 / max(once, 1e-9)))
        end = time.perf_counter() + SAMPLE_SECONDS
        while len(self.calls) < 2 or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(group):
                function()
            before = self._add((time.perf_counter() - start) / group, before)
        return self

    def best(self, least_pace: float = 0.0) -> float | None:
        """The best time of the calls with such a pace before and after."""
        return min(
            (seconds for seconds, slower in self.calls if slower >= least_pace), default=None
        )

    def fastest(self) -> float:
        """The pace at most times, or a faster one: not that of a moment in which the clock was higher."""
        return pace.usual(self.readings)

    def _pace(self) -> float:
        self.readings.append(self.read_pace())
        return self.readings[-1]

    def _add(self, seconds: float, before: float) -> float:
        after = self._pace()
        self.calls.append((seconds, min(before, after)))
        return after


def mean(function: Callable[[], Any]) -> float:
    """The mean time of one call within MEAN_SECONDS."""
    function()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() < start + MEAN_SECONDS:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def first_call(function: Callable[[], Any]) -> dict[str, float | None]:
    start = time.perf_counter()
    function()
    first = time.perf_counter() - start
    return {"first": first, "seconds": Sample().take(function).best()}


def rest() -> None:
    """Returns when all threads sleep, or after a second: ONNX Runtime's spin for 60 ms after a call, PyTorch's for some, on
    cores that the next backend is measured on."""
    end = time.perf_counter() + 1
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.001:
            return


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
    read_pace = pace.reader(1)
    built: dict[tuple[str, str], Callable[[], Any]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "threads" in request:
                t.set_num_threads(request["threads"])
                read_pace = pace.reader(request["threads"])
                answer: dict[str, Any] = {"ok": True}
            elif "probe" in request:
                answer = {**t._core.probe(), "pace": pace.watched(read_pace)}
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
                        taken = Sample(read_pace).take(built[key])
                        answer = {
                            "seconds": taken.best(),
                            "undisturbed": taken.best(
                                pace.UNDISTURBED * max(taken.fastest(), request.get("pace", 0.0))
                            ),
                            "pace": taken.fastest(),
                        }
                    if sys.argv[1] == "fastnn":
                        answer["flops"] = t._core.peak_flops(answer["seconds"], SAMPLE_SECONDS)
                    rest()
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
