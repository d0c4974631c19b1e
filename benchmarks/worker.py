"""One backend in a process: reads requests from stdin, one JSON a line, and answers with times.

{"threads": n} sets the thread count. {"group": g, "case": name} times it: the best seconds a call of one short sample.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

SAMPLE_SECONDS = 0.06


def sample(function: Callable[[], Any]) -> float:
    """The best time of one call within a sample of SAMPLE_SECONDS (groups of calls where a call is short)."""
    function()
    start = time.perf_counter()
    function()
    once = time.perf_counter() - start
    group = max(1, int(2e-4 / max(once, 1e-9)))
    best, end = float("inf"), time.perf_counter() + SAMPLE_SECONDS
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(group):
            function()
        best = min(best, (time.perf_counter() - start) / group)
        rounds += 1
        if rounds >= 3 and once > 1.0:
            break
    return best


def main() -> None:
    backend = sys.argv[1]
    t = importlib.import_module(backend)
    built: dict[tuple[str, str], Callable[[], Any]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "threads" in request:
                t.set_num_threads(request["threads"])
                answer: dict[str, Any] = {"ok": True}
            elif "probe" in request:
                answer = probe(t)
            else:
                key = (request["group"], request["case"])
                if key not in built:
                    built.clear()  # one case's data at a time
                    cases = importlib.import_module(f"benchmarks.cases.{key[0]}").CASES
                    built[key] = next(c for c in cases if c.name == key[1]).build(t)
                answer = {"seconds": sample(built[key])}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


def probe(t: Any) -> dict[str, float]:
    """This machine at the current thread count: float32 multiply-adds in registers, bytes read from memory."""
    return t._core.probe()


if __name__ == "__main__":
    main()
