"""What the best of many samples does not show: the first call, and a core that somebody else holds (Linux).

python -m benchmarks.conditions                       on the terminal
python -m benchmarks.conditions docs/conditions.md    as a page of the documentation
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import peers
from benchmarks.suite import Worker, peer_versions

CASES = (
    ("gemm", "512x512x512 NN"),
    ("conv", "ResNet-18 64@56 to 64 k3, b1 forward"),
    ("inference", "ResNet-18, batch 1"),
    ("steps", "LeNet-5, batch 64, Adam"),
    ("steps", "small CNN 32x32, batch 32, Adam"),
)
NAMES = {"fastnn": "ours", "torch": "PyTorch"}
ROUNDS = 5


def ask(worker: Worker, group: str, case: str, **request: bool) -> dict[str, float]:
    answer = worker.ask(group=group, case=case, **request)
    if "seconds" not in answer:
        raise RuntimeError(f"{group}: {case}: {answer}")
    return answer


def first_call(backend: str, group: str, case: str) -> tuple[float, float]:
    """Seconds of the first call in a new process, and of the best one after it; the least of a few processes."""
    answers = []
    for _ in range(ROUNDS):
        worker = Worker(backend, 1)
        try:
            answers.append(ask(worker, group, case, first=True))
        finally:
            worker.close()
    return min(a["first"] for a in answers), min(a["seconds"] for a in answers)


def beside_busy_core(backend: str, group: str, case: str) -> tuple[float, float, float]:
    """Mean seconds of a call on two cores: on one thread, on two, and on two while another process holds one of the
    cores. The three take turns; the median of the rounds."""
    all_cores = os.sched_getaffinity(0)
    two_cores = sorted(all_cores)[-2:]
    os.sched_setaffinity(0, two_cores)  # which the workers inherit
    one, two = Worker(backend, 1), Worker(backend, 2)
    os.sched_setaffinity(0, all_cores)
    times: list[list[float]] = [[], [], []]
    try:
        for _ in range(ROUNDS):
            times[0].append(ask(one, group, case, mean=True)["seconds"])
            times[1].append(ask(two, group, case, mean=True)["seconds"])
            with busy(two_cores[-1]):
                times[2].append(ask(two, group, case, mean=True)["seconds"])
    finally:
        one.close()
        two.close()
    alone, both, beside = (sorted(t)[ROUNDS // 2] for t in times)
    return alone, both, beside


@contextmanager
def busy(core: int) -> Iterator[int]:
    """Another process, whose number this gives, computes on that core."""
    loop = f"import os\nos.sched_setaffinity(0, [{core}])\nprint(flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", loop], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"no process could be put on core {core}")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def beside_lines(backends: list[str]) -> list[str]:
    lines = [
        "",
        "## Beside a busy core",
        "",
        f"On two cores, of which another process holds one all the while. Mean times, the median of {ROUNDS} rounds. The "
        "bar: two threads there are not slower than one thread alone (at most 1.1).",
        "",
        "| case | backend | 1 thread | 2 threads | 2 threads beside it | beside it / 1 thread |",
        "|---|---|---|---|---|---|",
    ]
    for group, case in CASES:
        for b in backends:
            alone, both, beside = beside_busy_core(b, group, case)
            lines.append(
                f"| {group}: {case} | {NAMES[b]} | {_ms(alone)} | {_ms(both)} | {_ms(beside)} | {beside / alone:.2f} |"
            )
    return lines


def page() -> str:
    from fastnn.training.report import machine, versions

    backends = [b for b in NAMES if peers.installed(b)]
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    about = ", ".join(
        f"{k}: {v}" for k, v in {**machine(), **versions(), **peer_versions(backends[1:])}.items()
    )
    lines = [
        "# First calls, and busy neighbours",
        "",
        f"Written by `python -m benchmarks.conditions docs/conditions.md` on {today}. {about}.",
        "",
        "## The first call",
        "",
        f"One thread; the least of {ROUNDS} new processes. The model and its input exist already. Nothing is tuned at the "
        "first call: it takes the memory of the layers from the system, page by page, and finds nothing in the caches.",
        "",
        "| case | backend | first call | best later one | ratio |",
        "|---|---|---|---|---|",
    ]
    for group, case in CASES:
        for b in backends:
            first, later = first_call(b, group, case)
            lines.append(
                f"| {group}: {case} | {NAMES[b]} | {_ms(first)} | {_ms(later)} | {first / later:.1f} |"
            )
    if len(os.sched_getaffinity(0)) > 1:
        lines += beside_lines(backends)
    return "\n".join(lines) + "\n"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def main() -> None:
    text = page()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
