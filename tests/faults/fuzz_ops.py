"""Fuzzing with an answer: operators of the catalogue on mutated shapes and parameters."""

import math
from dataclasses import dataclass, replace

import numpy as np

import fastnn
from tests.backends import TensorBackend
from tests.catalog import OPERATORS
from tests.harness import CEILINGS, DTYPES, WITHOUT_NAIVE, Problem, Sample, eps_of
from tests.layouts import LAYOUTS

SIZES = (0, 1, 2, 3, 4, 5, 8, 13, 17)
SMALL = (-1, 0, 1, 2, 3, 5, 7, 0.5, 1.5, True, False, None)
EXTREME = (2**31, 2**62, 2**63, 10**30, -(2**31), math.nan, math.inf, -math.inf, 1e-300, 1e30,
           "x", "", (), (1,), (0, 0), (-1, -1), (1, 2, 3, 4, 5), [2], object(), b"\0")  # fmt: skip
# These ask for a write to the running statistics, or leave the domain of the references.
UNTUNED = ("training", "use_input_stats", "dim", "log_target", "norm_type", "padding_idx")
LARGEST = 20_000  # elements of an argument
BACKEND = TensorBackend()


@dataclass(frozen=True)
class LooseSample(Sample):
    """Mutated shapes cancel in ways that no case was made for: far beyond rounding is an error."""

    def check(self, key, got, where):
        want = self.values[key]
        if got.shape == want.shape and np.abs(want[np.isfinite(want)]).max(initial=0) < 1e-4:
            return  # nothing but cancellation is left
        super().check(key, got, where)

    def limit(self, key, draws=1):
        limit = super().limit(key, draws)
        return max(16 * limit, 64 * eps_of(self.dtype)) if limit else 0.0


def _pick(rng, values):
    return values[rng.integers(len(values))]


def _resized(rng, case):
    """Every size of one value gets another one, in all shapes alike."""
    sizes = sorted({n for shape in case.shapes if shape for n in shape})
    if not sizes:
        return case
    old, new = _pick(rng, sizes), _pick(rng, SIZES)

    def swap(shape):
        return None if shape is None else tuple(new if n == old else n for n in shape)

    kwargs = dict(case.kwargs)
    if "normalized_shape" in kwargs:
        kwargs["normalized_shape"] = swap(kwargs["normalized_shape"])
    return replace(case, shapes=tuple(map(swap, case.shapes)), kwargs=kwargs)


def _misshapen(rng, case):
    """One array alone changes: another size, a dimension less or more."""
    i = int(rng.integers(len(case.shapes)))
    shape = case.shapes[i]
    if shape is None:
        return case
    axis = int(rng.integers(len(shape) + 1))
    change = rng.integers(3)
    if change == 0:
        shape = (*shape[:axis], *shape[axis + 1 :])
    elif change == 1:
        shape = (*shape[:axis], _pick(rng, SIZES), *shape[axis:])
    else:
        shape = (*shape[:axis], _pick(rng, SIZES), *shape[axis + 1 :])
    return replace(case, shapes=(*case.shapes[:i], shape, *case.shapes[i + 1 :]))


def _tuned(rng, case, values):
    """One parameter changes."""
    if not case.kwargs:
        return case
    name = _pick(rng, sorted(case.kwargs))
    if name in UNTUNED or "padding_mode" in case.kwargs:
        return case
    value = _pick(rng, values)
    if isinstance(case.kwargs[name], tuple) and rng.random() < 0.7:
        old = list(case.kwargs[name])
        if old:
            old[rng.integers(len(old))] = value
        value = tuple(old)
    return replace(case, kwargs=case.kwargs | {name: value})


def _strange(rng, tensor):
    """Something else in the place of a tensor."""
    others = [None, 3, 2.5, "x", [1.0, 2.0], object(), np.ones((2, 3), np.float32), fastnn.dtypes]
    if isinstance(tensor, fastnn.Tensor):
        others += [tensor.to(getattr(fastnn, d)) for d in ("int64", "bool", "uint8", "float64")]
        others += [tensor[None], tensor.flatten(), tensor.sum(), tensor.numpy(), tensor * math.nan]
        others += [
            fastnn.zeros(1).expand(2**40),
            fastnn.zeros(1, 1, 1, 1).expand(2, 3, 2**21, 2**21),
        ]
    return _pick(rng, others)


def call(rng, log):
    """One call, announced to `log`. Raises what fastnn raises, or AssertionError."""
    op = _pick(rng, OPERATORS)
    case = _pick(rng, op.cases)
    dtype = _pick(rng, [*DTYPES] if rng.random() < 0.6 else ["float32"])
    layout, shift = _pick(rng, LAYOUTS), int(rng.integers(64))
    has_answer = True
    for _ in range(int(rng.integers(3))):
        case = _resized(rng, case)
    if rng.random() < 0.4:
        case = _tuned(rng, case, SMALL)
    if (
        rng.random() < 0.2
    ):  # the references broadcast where operators refuse, and the other way round
        case, has_answer = _misshapen(rng, case), False
    if rng.random() < 0.2:
        case, has_answer = _tuned(rng, case, EXTREME), False
    case = replace(case, id=f"{case.id}-{rng.integers(2**31)}", cancels=True)
    strange = (
        rng.random() < 0.2 and "padding_mode" not in case.kwargs
    )  # its padding is the tests' own
    log(f"{op.name} {case.shapes} {case.kwargs} {dtype} {layout} {shift} strange={strange}")

    ceilings = CEILINGS[op.ceilings]
    problem = Problem(
        op.of(fastnn), op.forward, op.backward, case, BACKEND, op.ceilings not in WITHOUT_NAIVE,
        ceilings, 1e-9, 4.0,
    )  # fmt: skip
    sample = LooseSample(problem, DTYPES[dtype])
    try:
        arrays = sample.arrays
    except Exception:  # the case's own generator finds no numbers for these shapes
        return
    if max((a.size for a in arrays if a is not None), default=0) > LARGEST:
        return
    if has_answer and not strange:
        try:
            values = sample.values
        except Exception:  # no answer
            values = None
        if values is not None and np.isfinite(values["output 0"].astype(float)).all():
            sample.run(layout, shift)
            return
    _run_without_answer(rng, op, case, arrays, strange)


def _run_without_answer(rng, op, case, arrays, strange):
    """Forward, and backward where that is possible; what is read stays as it is."""
    tensors = [None if a is None else fastnn.from_numpy(a.copy()) for a in arrays]
    if strange:
        i = int(rng.integers(len(tensors)))
        tensors[i] = _strange(rng, tensors[i])
    for t in tensors:
        if isinstance(t, fastnn.Tensor) and t.is_leaf and t.is_floating_point():
            t.requires_grad_()
    split = len(tensors) - len(case.names)
    named = dict(zip(case.names, tensors[split:], strict=True)) | case.kwargs
    try:
        y = op.of(fastnn)(*tensors[:split], **named)
        y = y[0] if isinstance(y, tuple) else y
        if isinstance(y, fastnn.Tensor) and y.requires_grad:
            y.backward(fastnn.ones_like(y))
    finally:
        for t, a in zip(tensors, arrays, strict=True):
            if isinstance(t, fastnn.Tensor) and a is not None and t._data.shape == a.shape:
                same = t._data.dtype != a.dtype or t._data.tobytes() == a.tobytes()
                assert same or strange, "an argument was modified"
