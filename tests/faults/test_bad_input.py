"""Every malformed call of calls.py must end in a clear error of the right class, and change nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .calls import calls

ROOT = Path(__file__).parents[2]
ALLOWED = {"ValueError", "TypeError", "IndexError", "RuntimeError", "MemoryError"}
FORBIDDEN = {"RecursionError", "UnboundLocalError"}  # subclasses of allowed ones
# Where PyTorch or the file system has a class of its own.
EXTRA = {"Module": {"KeyError"}, "load": {"OSError"}, "save": {"OSError"}}
# The wording of Python's or NumPy's internals: the error came from too deep inside.
INTERNAL = re.compile(
    r"object has no attribute|zip\(\) argument|arr\.size|object of type|object is not (iterable|"
    r"callable|subscriptable)|not supported between|cannot convert float|object too deep|list index "
    r"out of range|'list' argument|_data"
)


@pytest.fixture(scope="module")
def results():
    """One line per call; a call without a line crashed or hung."""
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", "-m", "tests.faults.calls"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        status, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as e:
        status, out, err = "a time-out", (e.stdout or b"").decode(), (e.stderr or b"").decode()
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0, f"{lines[-1] if lines else 'the start'} ended in {status}:\n{err[-2000:]}"
    return [line for line in lines if "call" in line]


def complaint(line):
    """What is wrong with the outcome of a call, or None."""
    if line["error"] is None:
        return "accepted"
    classes = set(line["error"])
    if not classes & (ALLOWED | EXTRA.get(line["op"], set())) or classes & FORBIDDEN:
        return f"raised {line['error'][0]}: {line['text']}"
    if line["changed"]:
        return f"changed {line['changed']}"
    if len(line["text"].split()) < 3 or INTERNAL.search(line["text"]):
        return f"unclear: {line['text']}"
    return None


def names_the_op(line):
    named = {n.strip("_").rstrip("123d").lower() for n in re.findall(r"[A-Za-z_]\w*", line["call"])}
    return any(len(n) > 2 and n in line["text"].lower() for n in named | {line["op"].lower()})


def test_the_table_is_large():
    assert len(set(calls())) >= 800


def test_every_malformed_call_is_refused_clearly(results):
    assert len(results) == len(list(calls()))
    bad = [f"{line['call']}: {why}" for line in results if (why := complaint(line))]
    assert not bad, "\n".join(bad)


def test_most_errors_name_the_op_or_the_argument(results):
    named = sum(map(names_the_op, results))
    assert named >= 0.8 * len(results), f"{named} of {len(results)}"


def test_the_judge_sees_faults():
    good = {"op": "a", "call": "a()", "error": ["ValueError"], "text": "a: b is 1", "changed": []}
    assert complaint(good) is None
    for change in (
        {"error": None},
        {"error": ["KeyError", "LookupError"]},
        {"error": ["RecursionError", "RuntimeError"]},
        {"changed": ["x"]},
        {"text": "x"},
        {"text": "'str' object has no attribute '_data'"},
    ):
        assert complaint(good | change) is not None
