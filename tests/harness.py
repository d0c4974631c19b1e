"""The bar that every operator has to pass; see ``check_op``, ``check_gradients``, ``check_raises``.

An error is e = max |y - y64| / max |y64| over one array, where y64 is the float64 reference on the
same (already rounded) numbers. Allowed is

* float32: e <= max(2 e_naive, 4 eps) and e <= ceiling, with e_naive the error of the plain NumPy
  float32 formula, which is the reference fed with float32 (the largest of a few draws of the
  case's inputs, because one draw may be lucky);
* float64: e <= 1e-12 (recurrences: 1e-10);
* bfloat16, float16: e <= max(2 e_naive, eps), where naive is the float32 formula rounded once.
  One rounding costs eps / 2; the other half is for a kernel whose float32 sums round a tie the
  other way. ``half_eps`` > 1 stands for an operator that saves a rounded result for backward.

Infinities and NaN must be where the reference has them. Integer outputs must be equal.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

from tests.backends import ArrayBackend, TensorBackend, isa, num_threads
from tests.layouts import ALIGNMENT, constant_first_axis, place

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
# Ceilings (forward, backward) of float32, about three times what a good implementation reaches.
CEILINGS = {
    "gemm": (1.2e-6, 2e-6),
    "conv": (1.5e-6, 6e-6),
    "conv_transpose": (3e-6, 4e-6),
    "avg_pool": (5e-7, 5e-7),
    "max_pool": (0.0, 3e-7),
    "softmax": (5e-7, 1e-6),
    "loss": (3e-7, 5e-7),
    "norm": (5e-7, 1e-6),
    "activation": (5e-7, 2e-6),
    "copy": (0.0, 0.0),
    "embedding": (0.0, 1e-6),
    "sum": (1e-6, 1e-6),
    "distance": (1e-6, 2e-6),
    "resample": (2e-6, 3e-6),
    "grid_sample": (4e-6, 8e-6),
    "rearrange": (0.0, 5e-7),
}
WITHOUT_NAIVE = ("resample", "grid_sample")  # the references work out positions in float64
NAIVE_DRAWS = 4
# scripts/sanitize.sh sets 0, where one run of each case has to do.
FULL = os.environ.get("FASTNN_TEST_FULL", "1") != "0"


def is_float(array):
    return array is not None and array.dtype in DTYPES.values()


def eps_of(dtype):
    return float(ml_dtypes.finfo(dtype).eps)


def error_of(got, want):
    """max |got - want| / max |want| over finite elements, and the index of the worst one.

    The error is infinite where an infinity or a NaN is not matched by the same.
    """
    got, want = got.astype(np.float64), want.astype(np.float64)
    if want.size == 0:
        return 0.0, None
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max(initial=0.0) or 1.0
    with np.errstate(invalid="ignore"):
        distance = np.asarray(np.abs(got - want) / scale)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    distance[same] = 0.0
    distance[~same & ~(finite & np.isfinite(got))] = np.inf
    worst = np.unravel_index(distance.argmax(), distance.shape)
    return float(distance[worst]), tuple(int(i) for i in worst)


@dataclass(frozen=True)
class Problem:
    """An operator and its references on one case."""

    op: object
    forward: object
    backward: object
    case: object
    backend: object
    naive: bool = True
    ceilings: tuple = (np.inf, np.inf)
    float64_bar: float = 1e-12
    half_eps: float = 1.0

    def bind(self, arrays):
        """Positional and keyword arguments; the last arrays of a case may go by name."""
        split = len(arrays) - len(self.case.names)
        named = dict(zip(self.case.names, arrays[split:], strict=True))
        return arrays[:split], named | self.case.kwargs

    def reference(self, arrays, dtype, dy=None):
        """The references' results computed in ``dtype``: {"output 0": ..., "gradient 1": ...}.

        The keys of gradients name the argument; one that has no gradient has no key.
        """
        with np.errstate(all="ignore"):  # infinities and NaN are compared, not warned about
            return self._reference([_cast(a, dtype) for a in arrays], dtype, dy)

    def _reference(self, arrays, dtype, dy):
        args, kwargs = self.bind(arrays)
        outputs = self.forward(*args, **kwargs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        values = {f"output {i}": np.asarray(y) for i, y in enumerate(outputs)}
        if dy is not None and self.backward is not None:
            gradients = self.backward(dy.astype(dtype), *args, **kwargs)
            assert len(gradients) <= len(arrays), "the reference has more gradients than arguments"
            for i, g in enumerate(gradients):
                if g is not None and is_float(arrays[i]):
                    values[f"gradient {i}"] = np.asarray(g)
        return values


def _cast(array, dtype):
    if not is_float(array):
        return array
    if dtype == np.float16:  # a case's huge numbers are the largest ones that there are
        array = np.where(np.isfinite(array), np.clip(array, -65504, 65504), array)
    return np.asarray(array.astype(dtype))


@dataclass(frozen=True)
class Sample:
    """One draw of a problem's inputs in one dtype, and what the references make of it."""

    problem: Problem
    dtype: np.dtype
    transform: Callable = lambda array: array
    draw: int = 0

    @functools.cached_property
    def arrays(self):
        inputs = self.problem.case.inputs(self.draw)
        return [self.transform(_cast(a, self.dtype)) for a in inputs]

    @functools.cached_property
    def dy(self):
        output = self.problem.reference(self.arrays, np.float64)["output 0"]
        normal = np.asarray(np.random.default_rng(self.draw).standard_normal(output.shape))
        return self.transform(normal.astype(self.dtype))

    @functools.cached_property
    def values(self):
        return self.problem.reference(self.arrays, np.float64, self.dy)

    @functools.cached_property
    def naive_errors(self):
        """The error of the float32 formula, rounded once to ``dtype``, for each result."""
        naive = self.problem.reference(self.arrays, np.float32, self.dy)
        rounded = np.float32 if self.dtype == np.float64 else self.dtype
        with np.errstate(over="ignore"):
            return {k: error_of(v.astype(rounded), self.values[k])[0] for k, v in naive.items()}

    @property
    def wanted(self):
        """The arguments that have a gradient."""
        return tuple(int(k.split()[1]) for k in self.values if k.startswith("gradient"))

    def limit(self, key, draws=1):
        """The error that result ``key`` may have; see the top of this module."""
        problem = self.problem
        ceiling = problem.ceilings[key.startswith("gradient")]
        if not is_float(self.values[key]) or ceiling == 0:
            return 0.0
        samples = [self, *(replace(self, draw=d) for d in range(1, draws))]
        naive = max(s.naive_errors[key] for s in samples)
        if self.dtype == np.float64:
            lost = naive / eps_of(np.float32) if problem.case.cancels else 0.0
            return max(problem.float64_bar, 4 * lost * eps_of(np.float64))
        if self.dtype != np.float32:
            return max(2 * naive, problem.half_eps * eps_of(self.dtype))
        bound = max(2 * naive, 4 * eps_of(np.float32)) if problem.naive else np.inf
        return bound if problem.case.cancels else min(bound, ceiling)

    def check(self, key, got, where):
        __tracebackhide__ = True
        got, want = np.asarray(got), self.values[key]
        if got.shape != want.shape:
            raise AssertionError(f"{where}: {key} has shape {got.shape}, expected {want.shape}")
        kind = self.dtype if is_float(want) else want.dtype
        if got.dtype != kind:
            raise AssertionError(f"{where}: {key} has dtype {got.dtype}, expected {kind}")
        error, worst = error_of(got, want)
        if error <= self.limit(key) or error <= (limit := self.limit(key, NAIVE_DRAWS)):
            return
        raise AssertionError(
            f"{where}: {key} is off by {error:.3g}, allowed {limit:.3g}; worst at {worst}: "
            f"got {got[worst]!r}, reference {want[worst]!r}"
        )

    def run(self, layout="contiguous", shift=0, wanted=None, label=""):
        """Run once and compare with the reference; returns the bytes of each result."""
        problem, where = self.problem, self.where(layout) + label
        wanted = self.wanted if wanted is None else wanted
        names = [f"argument {i}" for i in range(len(self.arrays))] + ["dy"]
        placed = [None if a is None else place(a, layout, shift) for a in (*self.arrays, self.dy)]
        *views, seed = [None if p is None else p.view for p in placed]
        try:
            outputs, gradients = problem.backend.run(problem.op, views, problem.bind, wanted, seed)
            for name, p in zip(names, placed, strict=True):
                if p is not None:
                    p.assert_unmodified(name)
        except Exception as error:
            error.add_note(f"in {where}")
            raise
        results = {f"output {i}": y for i, y in enumerate(outputs)}
        results |= {f"gradient {i}": g for i, g in gradients.items()}
        expected = {k for k in self.values if k.startswith("output") or int(k.split()[1]) in wanted}
        assert set(results) == expected, f"{where}: got {set(results)}, expected {expected}"
        for key, got in results.items():
            self.check(key, got, where)
        return {key: np.ascontiguousarray(y).tobytes() for key, y in results.items()}

    def same_bits(self, want, what, **options):
        """Run again; every result has the bits that it has in ``want``."""
        for key, got in self.run(label=f" {what}", **options).items():
            if got != want[key]:
                a, b = (np.frombuffer(v, np.uint8) for v in (got, want[key]))
                raise AssertionError(
                    f"{self.where('contiguous')}: {key} has other bits {what} "
                    f"(first at byte {int((a != b).argmax())} of {len(a)})"
                )

    def where(self, layout):
        op = self.problem.op[0] if isinstance(self.problem.op, tuple) else self.problem.op
        level = self.problem.backend.isa()
        return f"{name_of(op)}[{self.problem.case}] {self.dtype.name} {layout} isa={level}"


def name_of(op):
    while isinstance(op, functools.partial):
        op = op.func
    return getattr(op, "__name__", repr(op))


def check_op(
    op, reference_forward, reference_backward, case, *, ceilings=(np.inf, np.inf),
    dtypes=("float32", "float64"), naive=True, float64_bar=1e-12, half_eps=1.0, layouts=None,
    backend=None,
):  # fmt: skip
    """Run ``op`` on ``case`` and hold its outputs and all its gradients to the module's bar.

    ``op`` takes Tensors and is differentiated by ``backward``, or is a pair (forward, backward) of
    functions of arrays with the conventions of tests/reference. ``reference_backward`` may be None
    (no gradient is checked). ``ceilings`` is a pair or a name of CEILINGS; a ceiling of 0 asks for
    equality. ``naive=False`` leaves only the ceiling, for an operator whose plain float32 formula
    says nothing about it.

    Every case runs twice and at 1, 2 and 3 threads with the same bits, with inputs unmodified. A
    case marked ``full`` also runs at every instruction set level, in every layout, with its data
    at every alignment (same bits), and with each gradient wanted alone (same bits).
    """
    __tracebackhide__ = True
    backend = backend or (ArrayBackend() if isinstance(op, tuple) else TensorBackend())
    naive = naive and ceilings not in WITHOUT_NAIVE
    ceilings = CEILINGS[ceilings] if isinstance(ceilings, str) else ceilings
    problem = Problem(
        op, reference_forward, reference_backward, case, backend, naive, ceilings, float64_bar,
        half_eps,
    )  # fmt: skip
    for name in dtypes:
        sample = Sample(problem, DTYPES[name])
        _check_bits(sample)
        if case.full and FULL:
            repeated = Sample(problem, DTYPES[name], constant_first_axis)
            for level in backend.isa_levels():
                with isa(level, backend):
                    _check_bits(sample)
                    _check_placement(sample, repeated, layouts or backend.layouts)


def _check_bits(sample):
    __tracebackhide__ = True
    first = sample.run()
    sample.same_bits(first, "in a second run")
    for count in sample.problem.backend.threads:
        with num_threads(count, sample.problem.backend):
            sample.same_bits(first, f"with {count} threads")


def _check_placement(sample, repeated, layouts):
    __tracebackhide__ = True
    first = sample.run()
    for layout in layouts:
        sample.run(layout)
    repeated.run("expanded")
    step = sample.dtype.itemsize
    for shift in range(step, ALIGNMENT, step):
        sample.same_bits(first, f"{shift} bytes off alignment", shift=shift)
    for i in sample.wanted:
        sample.same_bits(first, f"with only gradient {i} wanted", wanted=(i,))
    sample.same_bits(first, "without gradients", wanted=())


def wanted_arguments(forward, backward, case):
    """The positions of the arguments that the references give a gradient."""
    return Sample(Problem(None, forward, backward, case, None), DTYPES["float64"]).wanted


def check_gradients(
    op, case, *, wanted=None, directions=3, eps=1e-6, rtol=1e-5, atol=1e-7, double=True,
    backend=None,
):  # fmt: skip
    """Compare gradients, and the gradients of gradients, with central differences in float64.

    Along random unit directions u, <gradient, u> has to equal (f(x + eps u) - f(x - eps u)) / 2 eps
    for f = <op(x), dy>. ``wanted`` lists the differentiable arguments (default: all of float64).
    """
    __tracebackhide__ = True
    backend = backend or TensorBackend()
    problem = Problem(op, None, None, case, backend)
    arrays, rng = case.inputs(), np.random.default_rng(11)
    if wanted is None:
        wanted = tuple(i for i, a in enumerate(arrays) if is_float(a))
    run = functools.partial(backend.run, op, bind=problem.bind)
    dy = np.asarray(rng.standard_normal(run(arrays)[0][0].shape))
    points = [*(arrays[i] for i in wanted), dy]
    weights = [np.asarray(rng.standard_normal(arrays[i].shape)) for i in wanted]

    def value(moved):
        return float((run(_replace(arrays, wanted, moved))[0][0] * moved[-1]).sum())

    def slope(moved):
        seed = moved[-1]
        gradients = run(_replace(arrays, wanted, moved), wanted=wanted, dy=seed)[1]
        return sum(float((gradients[i] * w).sum()) for i, w in zip(wanted, weights, strict=True))

    output, gradients = run(arrays, wanted=wanted, dy=dy)
    analytic = [*(gradients[i] for i in wanted), output[0]]
    tests = [("gradient", value, analytic)]
    if double:
        second = backend.second_gradients(op, arrays, problem.bind, wanted, dy, weights)
        tests.append(("gradient of the gradient", slope, second))
    for name, function, slopes in tests:
        for _ in range(directions):
            along = _unit([rng.standard_normal(p.shape) for p in points])
            plus, minus = (
                function(
                    [
                        np.add(p, sign * eps * u, out=np.empty_like(p))
                        for p, u in zip(points, along, strict=True)
                    ]
                )
                for sign in (1, -1)
            )
            numeric = (plus - minus) / (2 * eps)
            exact = sum(float((s * u).sum()) for s, u in zip(slopes, along, strict=True))
            if not abs(numeric - exact) <= atol * max(1.0, abs(plus)) + rtol * abs(numeric):
                raise AssertionError(
                    f"{name_of(op)}[{case}]: {name} along a random direction is "
                    f"{exact!r}, by finite differences {numeric!r}"
                )


def _replace(arrays, wanted, moved):
    return [moved[wanted.index(i)] if i in wanted else a for i, a in enumerate(arrays)]


def _unit(directions):
    norm = sum(float((d * d).sum()) for d in directions) ** 0.5 or 1.0
    return [d / norm for d in directions]


def check_raises(function, error, *fragments, unchanged=()):
    """``function()`` raises ``error`` with every fragment in its text; arrays stay as they are."""
    __tracebackhide__ = True
    before = [np.array(a, copy=True) for a in unchanged]
    try:
        result = function()
    except error as caught:
        text = str(caught)
    except Exception as other:
        raise AssertionError(
            f"expected {error.__name__}, got {type(other).__name__}: {other}"
        ) from other
    else:
        raise AssertionError(f"expected {error.__name__}, got the result {result!r}")
    missing = [f for f in fragments if f not in text]
    if missing:
        raise AssertionError(f"{missing} not in the text of {error.__name__}: {text!r}")
    for i, (array, old) in enumerate(zip(unchanged, before, strict=True)):
        if np.ascontiguousarray(array).tobytes() != old.tobytes():
            raise AssertionError(f"array {i} was changed by a call that failed")
    return text
