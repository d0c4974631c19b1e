"""Random calls in a child process: no crash, no hang, no wrong result, no undocumented exception.

A few thousand calls, always the same ones; with FASTNN_FUZZ_SECONDS as many as fit in that time, of
FASTNN_FUZZ_SEED. A fault names kind, seed and number, and `python -m tests.faults.fuzz KIND SEED 60
NUMBER 1` makes the same call again. `make check-long` runs minutes of fresh seeds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("FASTNN_FUZZ_SECONDS", "0"))
COUNTS = {"ops": 1200, "programs": 1500, "calls": 1500}
SEED = int(os.environ.get("FASTNN_FUZZ_SEED", "1"))


def fuzz(kind, *numbers, seconds):
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.fuzz", kind, str(SEED)]
    command += [str(seconds), *map(str, numbers)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 240, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    last = lines[-1] if lines else "the start"
    assert done.returncode == 0, (
        f"{kind}, seed {SEED}: {last} ended the process\n{done.stderr[:3000]}"
    )
    faults = [line for line in lines if "fault" in line]
    assert not faults, f"{kind}, seed {SEED}: " + "\n".join(map(str, faults[:10]))
    return lines[-1]["done"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ops", "programs", "calls"])
def test_random_calls(kind):
    if SECONDS:
        done = fuzz(kind, seconds=SECONDS)
        print(kind, SEED, done)
    else:
        done = fuzz(kind, 0, COUNTS[kind], seconds=500)
        assert sum(done.values()) == COUNTS[kind]


def test_a_number_gives_the_same_call_again():
    """What makes a fault reproducible. The first ones of each kind, however slow the machine is."""
    for kind in ("ops", "programs", "calls"):
        assert fuzz(kind, 0, 12, seconds=500) == fuzz(kind, 0, 12, seconds=500)
