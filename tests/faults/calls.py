"""Malformed calls over the whole public API, one expression a line, grouped by the name of the op.

Run as a script it makes every call and prints one JSON line before and one after each, so that a
crash or a hang leaves the culprit as the last line. `test_bad_input.py` judges the lines.
"""

import json
import os
import sys
import tempfile

import numpy as np

import fastnn
from fastnn import _core, nn, optim
from fastnn.nn import functional as F
from fastnn.utils import data

from .calls_layers import LAYERS
from .calls_ops import OPS
from .calls_tensors import TENSORS

TABLES = (OPS, TENSORS, LAYERS)


def calls():
    """Pairs of a name and an expression; entries are parted by line ends or by semicolons."""
    for table in TABLES:
        for name, text in table.items():
            for line in text.replace(";", "\n").splitlines():
                if line.strip():
                    yield name, line.strip()


def twice(leaf):
    """A second backward through a freed graph."""
    loss = (leaf * leaf).sum()
    loss.backward()
    loss.backward()


def hash_key(x):
    return range(5)[x]


def namespace(folder):
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def frozen(*shape):
        out = np.zeros(shape, np.float32)
        out.flags.writeable = False
        return out

    a2, a4 = array(3, 4), array(2, 3, 8, 8)
    shapes = {"v": (4,), "x2": (3, 4), "x3": (2, 3, 8), "x4": (2, 3, 8, 8), "x5": (2, 3, 4, 4, 4),
              "w1": (4, 3, 3), "w2": (4, 3, 3, 3), "w3": (4, 3, 3, 3, 3), "t2": (3, 4, 3, 3)}  # fmt: skip
    tensors = {name: fastnn.from_numpy(array(*shape)) for name, shape in shapes.items()}
    return tensors | {
        "fastnn": fastnn, "F": F, "nn": nn, "optim": optim, "data": data, "_core": _core, "np": np,
        "HUGE": 2**62, "NAN": float("nan"), "INF": float("inf"), "twice": twice,
        "hash_key": hash_key, "g2": fastnn.ones(3, 4, requires_grad=True),
        "lab": fastnn.tensor([0, 1, 2]), "i4": fastnn.zeros(2, 3, 8, 8, dtype=fastnn.int64),
        "deep": _core.wrap(np.ones((1,) * 20, np.float32)),
        "a2": a2, "a4": a4, "aw": array(4, 3, 3, 3), "ai4": np.zeros((2, 3, 8, 8), np.int64),
        "frozen3": frozen(3), "frozen33": frozen(3, 3), "folder": folder,
        "p": nn.Parameter(fastnn.ones(2)),
    }  # fmt: skip


def bits(names):
    arrays = {k: getattr(v, "_data", v) for k, v in names.items()}
    return {k: (v.shape, v.tobytes()) for k, v in arrays.items() if isinstance(v, np.ndarray)}


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "junk"), "wb") as f:
            f.write(b"\xff" * 100)
        for name, text in calls():
            print(json.dumps({"begin": text}), flush=True)
            names = namespace(folder)
            before = bits(names)
            line = {"op": name, "call": text, "error": None, "text": "", "changed": []}
            try:
                eval(text, names)
            except BaseException as e:  # the point is which classes come out
                line |= {"error": [c.__name__ for c in type(e).__mro__], "text": str(e)}
            names.pop("__builtins__", None)
            after = bits(names)
            line["changed"] = [k for k in before if before[k] != after[k]]
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
