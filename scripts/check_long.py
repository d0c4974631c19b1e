"""The checks that take too long for every commit: `make check-long`.

Writes what was run and found to tests/results/<date>.json, and exits with 1 if anything failed.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-s"]


def checks(seconds):
    """Name, command, environment."""
    seed = int(time.time())
    for kind in ("ops", "programs", "calls"):
        fuzz = {"FASTNN_FUZZ_SECONDS": str(seconds), "FASTNN_FUZZ_SEED": str(seed)}
        yield (
            f"fuzz {kind}",
            [*PYTEST, "tests/faults/test_fuzz.py", "-k", f"random_calls and {kind}"],
            fuzz,
        )
    yield (
        "kill during save",
        [*PYTEST, "tests/test_serialization.py", "-k", "killed"],
        {"FASTNN_KILLS": "200"},
    )
    yield "bfloat16 and float16", [*PYTEST, "tests/ops/test_half.py"], {}
    # gcc's ThreadSanitizer cannot start a process under some kernels' address layouts; clang's can.
    yield "ThreadSanitizer, native", ["bash", "scripts/sanitize.sh", "thread"], {}
    yield "sanitizers, CUDA's host shim", ["bash", "scripts/test_cuda_shim.sh", "--sanitize"], {}
    yield (
        "sanitizers, extension",
        ["bash", "scripts/sanitize.sh", "python"],
        {"PYTHON": sys.executable},
    )


def run(name, command, environment, limit):
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
            timeout=limit, check=False,
        )  # fmt: skip
        status, text = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        status, text = "time limit", (late.stdout or b"").decode()
    lines = [
        line
        for line in text.splitlines()
        if re.search(r"passed|failed|\{'result'|ok|SUMMARY", line)
    ]
    result = {
        "check": name,
        "passed": status == 0,
        "seconds": round(time.monotonic() - start),
        "said": lines[-3:] if status == 0 else text.splitlines()[-40:],
    }
    print(
        f"{'ok' if status == 0 else 'FAILED'}  {name}, {result['seconds']} s",
        *lines[-2:],
        sep="\n    ",
    )
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="of each kind of random calls")
    parser.add_argument("--only", help="run the checks whose name contains this, and keep no file")
    options = parser.parse_args()
    chosen = [c for c in checks(options.seconds) if not options.only or options.only in c[0]]
    results = [run(*check, limit=options.seconds + 3600) for check in chosen]
    if not options.only:
        import fastnn
        from fastnn import _core

        today = datetime.date.today().isoformat()
        report = {"date": today, "fastnn": fastnn.__version__, "isa": _core.isa(), "cores": os.cpu_count(),
                  "python": platform.python_version(), "checks": results}  # fmt: skip
        folder = ROOT / "tests" / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{today}.json").write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(not all(r["passed"] for r in results))


if __name__ == "__main__":
    main()
