"""Random calls of everything: python -m tests.faults.fuzz KIND SEED SECONDS [FIRST [COUNT]]

KIND is ops, programs or calls. Every call is a function of (kind, seed, number), and is announced
before it is made, so that the last line of a process that died says how to make it die again.
"""

import faulthandler
import json
import os
import resource
import sys
import time

import numpy as np

import fastnn
from fastnn import _core
from tests.faults import fuzz_calls, fuzz_ops, fuzz_programs

KINDS = {"ops": fuzz_ops.call, "programs": fuzz_programs.call, "calls": fuzz_calls.call}
ALLOWED = (ValueError, TypeError, IndexError, RuntimeError, MemoryError, BufferError)
# Methods called on what is no tensor, and integers beyond 64 bits, end in Python's own errors.
ALSO_IN_CALLS = (AttributeError, OverflowError)
FORBIDDEN = (RecursionError, UnboundLocalError)  # subclasses of allowed ones
HANG = 90  # seconds for one call, on a busy machine
MEMORY = 3 << 30  # more than any legitimate call here takes, on top of what the process has


def limit_memory():
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))


def restore(threads):
    _core.set_num_threads(threads)
    fastnn.set_default_dtype(fastnn.float32)
    fastnn.set_grad_enabled(True)


def outcome(kind, rng, log):
    """("result" or "refused", None), or ("fault", what is wrong)."""
    try:
        KINDS[kind](rng, log)
    except AssertionError as error:
        return "fault", f"wrong: {error}"
    except ALLOWED as error:
        if isinstance(error, FORBIDDEN):
            return "fault", f"{type(error).__name__}: {error}"
        return "refused", None
    except Exception as error:
        if kind == "calls" and isinstance(error, ALSO_IN_CALLS):
            return "refused", None
        return "fault", f"{type(error).__name__}: {error}"
    return "result", None


def main(kind, seed, seconds, first=0, count=1 << 40):
    limit_memory()
    end, counts = time.monotonic() + float(seconds), {"result": 0, "refused": 0, "fault": 0}
    levels = _core.isa_levels()
    for i in range(int(first), int(first) + int(count)):
        if time.monotonic() > end:
            break
        rng = np.random.default_rng([int(seed), i, *kind.encode()])
        fastnn.manual_seed(i)
        _core.set_isa(levels[rng.integers(len(levels))])
        restore(1 + int(rng.integers(3)))
        said = []

        def log(text, i=i, said=said):
            said.append(text)
            print(json.dumps({"number": i, "call": text}), flush=True)

        faulthandler.dump_traceback_later(HANG, exit=True)
        what, wrong = outcome(kind, rng, log)
        faulthandler.cancel_dump_traceback_later()
        counts[what] += 1
        if wrong:
            print(
                json.dumps({"number": i, "isa": _core.isa(), "fault": wrong, "in": said}),
                flush=True,
            )
    print(json.dumps({"kind": kind, "seed": int(seed), "done": counts}), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONFAULTHANDLER", "1")
    faulthandler.enable()
    main(*sys.argv[1:])
