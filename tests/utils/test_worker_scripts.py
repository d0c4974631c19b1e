"""What a user sees at the ends of a program's life; each test runs a program of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")

HEAD = """
import os, sys, time
from fastnn.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __init__(self, seconds):
        self.seconds = seconds
    def __getitem__(self, index):
        time.sleep(self.seconds)
        return index
    def __len__(self):
        return 1000

def say(worker):
    os.write(1, f"worker {os.getpid()}\\n".encode())

def loader(seconds, **more):
    return DataLoader(Slow(seconds), 1, num_workers=2, worker_init_fn=say, **more)
"""


def start(folder, body, head=HEAD):
    path = folder / "program.py"
    path.write_text(head + textwrap.dedent(body))
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def wait_for(program, word=""):
    """The process numbers of both workers, once they and then `word` have been written."""
    pids = []
    for line in program.stdout:
        if line.startswith("worker"):
            pids.append(int(line.split()[1]))
        if len(pids) == 2 and line.startswith(word):
            return pids
    raise AssertionError(program.stderr.read())


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pids):
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, pids))


GUARD = 'if __name__ == "__main__":'
METHODS = pytest.mark.parametrize("method", ["fork", "forkserver"])


@METHODS
def test_ctrl_c(tmp_path, method):
    program = start(
        tmp_path,
        f"""
        {GUARD}
            for batch in loader(0.05, multiprocessing_context="{method}"):
                print("batch", flush=True)
        """,
    )
    pids = wait_for(program, "batch")
    begin = time.monotonic()
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    _, errors = program.communicate(timeout=60)
    assert time.monotonic() - begin < 20
    assert program.returncode == -signal.SIGINT
    assert errors.strip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    assert_gone(pids)


@METHODS
def test_the_end_of_the_program_ends_the_workers(tmp_path, method):
    program = start(
        tmp_path,
        f"""
        {GUARD}
            iterator = iter(loader(0.01, multiprocessing_context="{method}"))
            next(iterator), next(iterator)
        """,
    )
    pids = wait_for(program)
    _, errors = program.communicate(timeout=60)
    assert errors == ""
    assert program.returncode == 0
    assert_gone(pids)


@METHODS
def test_the_death_of_the_program_ends_busy_workers(tmp_path, method):
    program = start(
        tmp_path,
        f"""
        {GUARD}
            next(iter(loader(600, multiprocessing_context="{method}")))
        """,
    )
    pids = wait_for(program)
    program.kill()
    program.communicate(timeout=60)
    assert_gone(pids)


def test_a_script_without_guard_gets_an_error(tmp_path):
    program = start(tmp_path, "next(iter(loader(0)))")
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 1
    assert 'under `if __name__ == "__main__":`' in errors.replace("\n", " ")


def test_a_class_from_the_prompt_gets_an_error():
    code = HEAD + "next(iter(loader(0)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "cannot rebuild what it was sent: AttributeError" in done.stderr
    assert 'multiprocessing_context="fork"' in done.stderr
