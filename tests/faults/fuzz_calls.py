"""Fuzzing without an answer: every public function, method and kernel on arguments of every kind.

A call gives some result or a documented exception; one that raises leaves its arguments as they
were, and so does one that succeeds unless its name or parameters say that it writes.
"""

import contextlib
import inspect
import io
import warnings

import numpy as np

import fastnn
from fastnn import _core
from fastnn.nn import functional

INTEGERS = (0, 1, 2, 3, -1, -2, 5, 17, 64, 2**31, 2**62, 2**63, 10**30, -(2**63))
FLOATS = (0.0, 0.5, 1.0, -1.0, 2.5, np.nan, np.inf, -np.inf, 1e-300, 1e30)
STRINGS = ("mean", "sum", "none", "same", "x", "", "float32", "ij,jk->ik", "constant", "\ud800")
DTYPES = (fastnn.float32, fastnn.float64, fastnn.bfloat16, fastnn.float16, fastnn.int64, fastnn.int32,
          fastnn.uint8, fastnn.int8, fastnn.bool)  # fmt: skip
# They read or write files, stop the process's own settings from being put back, or wait for input.
LEFT_OUT = {
    "save",
    "load",
    "set_cache_limit",
    "breakpoint",
    "share_memory_",
    "set_isa",
    "set_tensor_type",
    "set_node_type",
    "set_output_hooks",
    "make_getitem",
}  # the last four set up the module
WRITES = {"out", "inplace", "running_mean", "max_norm", "training", "inputs", "create_graph"}


def _callables():
    places = [
        ("fastnn", fastnn),
        ("functional", functional),
        ("Tensor", fastnn.Tensor),
        ("_core", _core),
    ]
    for where, place in places:
        for name in sorted(dir(place)):
            inner = name.startswith("_") and not (where == "Tensor" and name in DUNDERS)
            function = getattr(place, name, None)
            if inner or name in LEFT_OUT or not callable(function) or inspect.isclass(function):
                continue
            yield f"{where}.{name}", function


DUNDERS = {
    f"__{n}__"
    for n in """add sub mul truediv floordiv mod pow matmul and or xor lshift rshift neg invert abs eq ne lt le gt ge radd
    rsub rmul rtruediv rpow rmatmul iadd isub imul itruediv getitem setitem len bool int float index contains repr
    format""".split()
}
CALLABLES = list(_callables())


def _pick(rng, values):
    return values[rng.integers(len(values))]


def _shape(rng, largest=4):
    return tuple(int(n) for n in rng.choice([0, 1, 2, 3, 4, 5], rng.integers(0, largest + 1)))


def _tensor(rng):
    shape, dtype = _shape(rng), _pick(rng, DTYPES)
    if rng.random() < 0.5:
        dtype = fastnn.float32
    t = fastnn.from_numpy(np.asarray(rng.integers(-3, 6, shape) * 0.75)).to(dtype)
    way = rng.integers(8)
    if way == 0:
        return t.transpose(0, -1) if t.dim() else t
    if way == 1:
        return t[::2] if t.dim() else t
    if way == 2:
        return t.expand(3, *shape)
    if way == 3 and t.is_floating_point():
        return t.requires_grad_()
    return t


def _array(rng):
    a = np.asarray(rng.standard_normal(_shape(rng)))
    way = rng.integers(8)
    kinds = (">f8", "complex128", object, "U4", "float32", "int64", "M8[s]")
    if way == 0:
        a.flags.writeable = False
        return a
    if way == 1 and a.ndim:
        return a[::-1]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return a.astype(_pick(rng, kinds))


def _any(rng, depth=0):
    """A value of any kind."""
    kind = rng.integers(12)
    if kind < 4:
        return _tensor(rng)
    if kind == 4:
        return _array(rng)
    if kind == 5:
        return int(_pick(rng, INTEGERS))
    if kind == 6:
        return float(_pick(rng, FLOATS))
    if kind == 7:
        return _pick(rng, STRINGS)
    if kind == 8:
        return _pick(
            rng, (None, True, False, object(), len, b"\0", 1j, slice(None, None, -1), Ellipsis)
        )
    if kind == 9:
        return _pick(rng, DTYPES)
    make = tuple if kind == 10 else list
    return make(_any(rng, depth + 1) for _ in range(rng.integers(0, 4))) if depth < 2 else ()


def _likely(rng, name):
    """A value of the kind that a parameter of this name mostly has."""
    if name in ("dim", "dim0", "dim1", "axis", "k", "n", "groups", "diagonal"):
        return int(rng.integers(-3, 4))
    if name in ("size", "shape", "sizes", "dims", "kernel_size", "stride", "padding", "dilation", "output_size",
                "normalized_shape", "pad"):  # fmt: skip
        return _pick(
            rng,
            (int(rng.integers(-1, 4)), _shape(rng), tuple(int(v) for v in rng.integers(0, 3, 2))),
        )
    if name in ("index", "indices", "target", "offsets"):
        return fastnn.from_numpy(np.asarray(rng.integers(-1, 4, _shape(rng, 2))))
    if name in (
        "p",
        "eps",
        "alpha",
        "beta",
        "value",
        "min",
        "max",
        "weight_decay",
        "lr",
        "momentum",
    ):
        return float(_pick(rng, FLOATS))
    return _tensor(rng)


def _arguments(rng, function):
    try:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind < 4]
    except (ValueError, TypeError):
        return [
            _any(rng) if rng.random() < 0.4 else _tensor(rng) for _ in range(rng.integers(0, 6))
        ], {}
    args, named = [], {}
    for p in parameters:
        if p.default is not p.empty and rng.random() < 0.6:
            continue
        value = _any(rng) if rng.random() < 0.3 else _likely(rng, p.name)
        if p.kind == p.VAR_POSITIONAL:
            args += [_any(rng) for _ in range(rng.integers(0, 3))]
        elif p.kind == p.KEYWORD_ONLY or len(args) < parameters.index(p):
            named[p.name] = value
        elif p.kind != p.VAR_KEYWORD:
            args.append(value)
    return args, named


def _arrays(values):
    for v in values:
        if isinstance(v, fastnn.Tensor):
            yield v._data
        elif isinstance(v, np.ndarray) and v.dtype != object:
            yield v


def _writes(name, function, named):
    last = name.rsplit(".", 1)[-1]
    if last.endswith("_") or name.startswith("_core.") or last in ("backward", "apply"):
        return True
    try:
        return bool(WRITES & set(inspect.signature(function).parameters))
    except (ValueError, TypeError):
        return bool(WRITES & set(named))


def _shown(value):
    if isinstance(value, (fastnn.Tensor, np.ndarray)):
        return f"{type(value).__name__}{tuple(value.shape)}:{value.dtype}"
    return repr(value)[:80]


def call(rng, log):
    name, function = _pick(rng, CALLABLES)
    args, named = _arguments(rng, function)
    shown = [_shown(a) for a in args] + [f"{k}={_shown(v)}" for k, v in named.items()]
    log(f"{name}({', '.join(shown)})")
    arrays = list(_arrays([*args, *named.values()]))
    before = [a.tobytes() for a in arrays]
    changed = not _writes(name, function, named)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            function(*args, **named)
    except Exception:
        changed = not name.startswith(
            "_core."
        )  # kernels check before they write; a callback may not
        raise
    finally:
        if changed:
            for a, old in zip(arrays, before, strict=True):
                assert a.tobytes() == old, "an argument was modified"
