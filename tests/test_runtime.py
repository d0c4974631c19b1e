"""Threads, instruction set levels and the memory pool, seen from Python.

The finer points are tested natively (csrc/tests); here is what needs an interpreter: environment
variables, forks, threads of Python, the end of the process.
"""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastnn import _core

WORK = """
import numpy as np
from fastnn import _core
x = np.arange(1 << 20, dtype=np.float32)
def work():  # an op large enough for several threads
    return _core.grads_norm([x], 2.0).tobytes()
"""


def run_python(code, timeout=60, **environment):
    """A fresh interpreter: (exit status, output, error output)."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "FASTNN_ISA")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


def output_of(code, **environment):
    status, out, err = run_python(code, **environment)
    assert status == 0, err
    return out


COUNT = "from fastnn import _core; print(_core.num_threads())"


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "99999", "1e3", "99999999999999999999", ","])
def test_omp_num_threads_that_makes_no_sense_is_ignored(value):
    assert output_of(COUNT, OMP_NUM_THREADS=value) == output_of(COUNT)


@pytest.mark.parametrize("value", ["1", "1,4", " 1 "])
def test_omp_num_threads_limits(value):
    assert output_of(COUNT, OMP_NUM_THREADS=value) == "1"


def test_affinity_limits():
    pin = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert output_of(pin + COUNT) == "1"
    assert output_of(pin + COUNT, OMP_NUM_THREADS="4") == "1"


@pytest.mark.parametrize("n", [0, -1, 1025])
def test_set_num_threads_refuses(n):
    before = _core.num_threads()
    with pytest.raises(ValueError, match=f"set_num_threads: n must be between 1 and 1024, got {n}"):
        _core.set_num_threads(n)
    assert _core.num_threads() == before


@pytest.mark.parametrize("level", _core.isa_levels())
def test_fastnn_isa_selects(level):
    assert output_of("from fastnn import _core; print(_core.isa())", FASTNN_ISA=level) == level


def test_unknown_fastnn_isa_fails_at_import():
    status, _, err = run_python("import fastnn._core", FASTNN_ISA="sse9")
    assert status == 1
    assert "ImportError: FASTNN_ISA: unknown level 'sse9'" in err
    assert ", ".join(_core.isa_levels()) in err


def test_forked_child_computes():
    code = WORK + (
        "import os, signal\n"
        "first = work()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(20)\n"
        "    os._exit(0 if work() == first else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert work() == first\n"
    )
    output_of(code, OMP_NUM_THREADS="2")


def test_pool_of_forked_processes():
    code = WORK + (
        "import multiprocessing\n"
        "first = work()\n"
        "def job(_): return work() == first\n"
        "with multiprocessing.get_context('fork').Pool(3) as pool:\n"
        "    assert pool.map_async(job, range(12)).get(timeout=30) == [True] * 12\n"
    )
    output_of(code)


def test_many_python_threads():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(200_000).astype(np.float32) for _ in range(8)]
    expected = [_core.grads_norm([a], 2.0).tobytes() for a in arrays]
    wrong = []

    def job(i):
        results = {_core.grads_norm([arrays[i]], 2.0).tobytes() for _ in range(50)}
        if results != {expected[i]}:
            wrong.append(i)

    threads = [threading.Thread(target=job, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
        assert not t.is_alive()
    assert wrong == []


def test_process_ends_while_a_thread_computes():
    code = WORK + (
        "import threading\n"
        "def forever():\n"
        "    while True: work()\n"
        "threading.Thread(target=forever, daemon=True).start()\n"
        "for _ in range(20): work()\n"
    )
    for _ in range(5):
        output_of(code)


def test_memory_is_given_back():
    _core.empty_cache()
    start = _core.memory_stats()
    _core.reset_peak_memory()
    a = _core.empty((1 << 20,), np.dtype("float32"))
    held = _core.memory_stats()
    assert held["allocated"] == start["allocated"] + (4 << 20)
    del a
    end = _core.memory_stats()
    assert end["allocated"] == start["allocated"]
    assert end["peak"] == held["allocated"]
    assert end["cached"] == 4 << 20
    _core.empty_cache()
    assert _core.memory_stats()["cached"] == 0


def test_impossible_allocation_is_a_memory_error():
    before = _core.memory_stats()
    with pytest.raises(MemoryError, match=str(1 << 50)):
        _core.empty((1 << 50,), np.dtype("uint8"))
    assert _core.memory_stats()["allocated"] == before["allocated"]
