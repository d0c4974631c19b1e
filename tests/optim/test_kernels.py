"""The fused update kernels against the float64 reference, below the Optimizer classes."""

import math

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core
from tests.reference import optim

MOMENTUM, NESTEROV, FIRST, AMSGRAD, DECOUPLED, CENTERED, MAXIMIZE = (1 << i for i in range(7))
DECAY_FIRST = {"decoupled_weight_decay": True}
ACCUMULATED = {"lr_decay": 0.01, "initial_accumulator_value": 0.1}

# id: kind, flags, weight_decay, hyper (as the kernel takes it), reference keywords,
# initial values of the states and of the scalars
CASES = {
    "sgd": ("sgd", 0, 0.0, [], {}, [], []),
    "sgd-momentum": (
        "sgd", MOMENTUM, 0.01, [0.9, 0.1], {"momentum": 0.9, "dampening": 0.1}, [0], [],
    ),
    "sgd-nesterov": (
        "sgd", MOMENTUM | NESTEROV, 0.01, [0.9, 0.0], {"momentum": 0.9, "nesterov": True}, [0], [],
    ),
    "adam": ("adam", 0, 0.0, [0.9, 0.999, 1e-8], {}, [0, 0], [0]),
    "adam-amsgrad": ("adam", AMSGRAD, 0.1, [0.9, 0.99, 1e-8],
                     {"amsgrad": True, "betas": (0.9, 0.99)}, [0, 0, 0], [0]),
    "adamw": ("adam", DECOUPLED, 0.1, [0.9, 0.999, 1e-8], DECAY_FIRST, [0, 0], [0]),
    "rmsprop": ("rmsprop", 0, 0.1, [0.99, 1e-8, 0.0], {}, [0], [0]),
    "rmsprop-momentum": ("rmsprop", MOMENTUM, 0.1, [0.99, 1e-8, 0.9], {"momentum": 0.9},
                         [0, 0], [0]),
    "rmsprop-centered": ("rmsprop", CENTERED, 0.1, [0.99, 1e-8, 0.0], {"centered": True},
                         [0, 0], [0]),
    "rmsprop-both": ("rmsprop", CENTERED | MOMENTUM, 0.1, [0.99, 1e-8, 0.9],
                     {"centered": True, "momentum": 0.9}, [0, 0, 0], [0]),
    "adagrad": ("adagrad", 0, 0.1, [0.01, 1e-10], ACCUMULATED, [0.1], [0]),
    "adadelta": ("adadelta", 0, 0.1, [0.9, 1e-6], {}, [0, 0], [0]),
    "adamax": ("adamax", 0, 0.1, [0.9, 0.999, 1e-8], {}, [0, 0], [0]),
    "nadam": ("nadam", 0, 0.1, [0.9, 0.999, 1e-8, 4e-3], {}, [0, 0], [0, 1]),
    "nadam-decoupled": ("nadam", DECOUPLED, 0.1, [0.9, 0.999, 1e-8, 4e-3], DECAY_FIRST,
                        [0, 0], [0, 1]),
    "radam": ("radam", 0, 0.1, [0.9, 0.999, 1e-8], {}, [0, 0], [0]),
    "radam-decoupled": ("radam", DECOUPLED, 0.1, [0.9, 0.999, 1e-8], DECAY_FIRST,
                        [0, 0], [0]),
    "asgd": ("asgd", 0, 0.1, [1e-4, 0.75, 10.0], {"t0": 10.0}, [0], [0, 0.01, 1]),
    "rprop": ("rprop", 0, 0.0, [0.5, 1.2, 1e-6, 50.0], {}, [0, 0.01], [0]),
}  # fmt: skip
LR = 0.01
SHAPES = [(17, 33), (5,), (40001,), (), (0, 3), (1, 1)]


class Run:
    """``steps`` updates of a list of arrays by the kernel."""

    def __init__(self, case, dtype, seed=0, shapes=SHAPES, layout=lambda a: a):
        self.kind, self.flags, self.decay, self.hyper, self.keywords, states, scalars = CASES[case]
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.dtype = dtype
        self.params = [layout(rng.standard_normal(s).astype(dtype)) for s in shapes]
        self.states = [
            [layout(np.full(s, init, dtype)) for s in shapes] for init in states
        ]  # fmt: skip
        self.scalars = [[np.array(init, np.float64) for _ in shapes] for init in scalars]
        self.first = True
        self.layout = layout

    def gradients(self):
        # Away from zero: rprop looks at signs, and the float32 run must see those of the reference.
        return [
            self.rng.choice([-1, 1], p.shape) * (0.1 + self.rng.random(p.shape))
            for p in self.params
        ]

    def step(self, gradients):
        flags = self.flags | (FIRST if self.first and self.flags & MOMENTUM else 0)
        self.first = False
        gradients = [self.layout(np.asarray(g).astype(self.dtype)) for g in gradients]
        _core.optim_step(
            self.kind, flags, LR, self.decay, self.hyper,
            self.params, gradients, self.states, self.scalars,
        )  # fmt: skip


def reference(run, params, gradients):
    keywords = dict(run.keywords, lr=LR)
    if run.decay:
        keywords["weight_decay"] = run.decay
    step = getattr(optim, run.kind)
    states = [{} for _ in params]
    for each in gradients:
        params = [step(p, g, s, **keywords) for p, g, s in zip(params, each, states, strict=True)]
    return params


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "bar"), [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_hundred_steps_follow_the_reference(case, dtype, bar):
    run = Run(case, dtype)
    start = [p.astype(np.float64) for p in run.params]
    gradients = [[g.astype(dtype).astype(np.float64) for g in run.gradients()] for _ in range(100)]
    for g in gradients:
        run.step(g)
    for got, want, first in zip(run.params, reference(run, start, gradients), start, strict=True):
        if want.size:  # a parameter may have come close to zero on its way
            assert np.abs(got - want).max() <= bar * max(np.abs(want).max(), np.abs(first).max())


@pytest.mark.parametrize("case", CASES)
def test_strided_arrays_are_updated_in_place_with_the_same_bits(case):
    layouts = {
        "dense": lambda a: a,
        "transposed": lambda a: a.T.copy().T,
        "holes": lambda a: np.repeat(a[..., None], 2, axis=-1)[..., 0],
    }
    results = []
    for layout in layouts.values():
        run = Run(case, np.float32, shapes=[(17, 33), (3, 5, 7)], layout=layout)
        for _ in range(3):
            run.step(run.gradients())
        results.append([a.tobytes() for a in [*run.params, *(a for g in run.states for a in g)]])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("case", CASES)
def test_same_bits_for_every_thread_count(case):
    results = []
    for threads in (1, 2, 3):
        before = _core.num_threads()
        _core.set_num_threads(threads)
        try:
            run = Run(case, np.float32, shapes=[(100_003,), (7,), (300, 301)])
            run.step(run.gradients())
            run.step(run.gradients())
        finally:
            _core.set_num_threads(before)
        results.append([p.tobytes() for p in run.params])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_half_types_are_computed_in_float32_and_rounded_once(dtype):
    p, g = (np.random.default_rng(s).standard_normal(3000).astype(dtype) for s in (0, 1))
    want = (p.astype(np.float32) - np.float32(0.1) * g.astype(np.float32)).astype(dtype)
    _core.optim_step("sgd", 0, 0.1, 0.0, [], [p], [g], [], [])
    # A fused multiply-add may round the last bit of the float32 the other way.
    assert (p.view(np.uint16) != want.view(np.uint16)).mean() < 1e-3


def test_every_float16_survives_a_step_with_zero_gradient():
    p = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    before = p.copy()
    _core.optim_step("sgd", 0, 0.1, 0.0, [], [p], [np.zeros_like(p)], [], [])
    np.testing.assert_array_equal(p, before)


def test_maximize_is_a_step_with_the_negative_gradient():
    p, g = (np.random.default_rng(s).standard_normal(100) for s in (0, 1))
    q = p.copy()
    _core.optim_step("sgd", MAXIMIZE, 0.1, 0.01, [], [p], [g], [], [])
    _core.optim_step("sgd", 0, 0.1, 0.01, [], [q], [-g], [], [])
    np.testing.assert_array_equal(p, q)


def test_infinite_parameter_stays_without_weight_decay():
    p = np.array([np.inf, -np.inf, np.nan])
    _core.optim_step("sgd", 0, 0.1, 0.0, [], [p], [np.ones(3)], [], [])
    np.testing.assert_array_equal(p, [np.inf, -np.inf, np.nan])


def test_a_refused_call_changes_nothing():
    p, step = np.ones(3), np.zeros((), np.float32)
    state = [[np.zeros(3)], [np.zeros(4)]]
    with pytest.raises(ValueError, match=r"state of parameter 0 has shape \(4,\).*\(3,\)"):
        _core.optim_step("adam", 0, 0.1, 0.0, [0.9, 0.9, 0.1], [p], [p + 1], state, [[step]])
    with pytest.raises(TypeError, match="gradient of parameter 0 has dtype float32"):
        _core.optim_step("sgd", 0, 0.1, 0.0, [], [p], [np.ones(3, np.float32)], [], [])
    with pytest.raises(ValueError, match="grads must hold 1 arrays, got 2"):
        _core.optim_step("sgd", 0, 0.1, 0.0, [], [p], [p + 1, p + 1], [], [])
    with pytest.raises(ValueError, match="read-only"):
        _core.optim_step("sgd", 0, 0.1, 0.0, [], [np.broadcast_to(p[:1], 3)], [p + 1], [], [])
    np.testing.assert_array_equal(p, np.ones(3))
    assert step == 0


@pytest.mark.parametrize("p", [2.0, 1.0, math.inf, -math.inf, 0.0, 3.0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_norms(p, dtype, rng):
    arrays = [rng.standard_normal(s).astype(dtype) for s in [(100, 101), (3,), (70_001,), (2, 3)]]
    arrays[3] = arrays[3].T
    wide = [a.astype(np.float64).ravel() for a in arrays]
    want = [np.linalg.norm(a, p) for a in wide]
    want.append(np.linalg.norm(np.array(want), p))
    np.testing.assert_allclose(_core.grads_norm(arrays, p), want, rtol=1e-12)


def test_norm_of_nothing_and_of_nan():
    np.testing.assert_array_equal(_core.grads_norm([], 2.0), [0])
    np.testing.assert_array_equal(_core.grads_norm([np.zeros((0, 3))], 2.0), [0, 0])
    x = np.ones(1000)
    x[777] = np.nan
    for p in (1.0, 2.0, math.inf):
        assert np.isnan(_core.grads_norm([x], p)).all()


def test_scale_clamp_and_zero_work_in_place(rng):
    arrays = [rng.standard_normal(s).astype(np.float32) for s in [(33, 17), (20_000,)]]
    arrays[0] = arrays[0].T
    arrays[1][3] = np.nan
    before = [a.copy() for a in arrays]
    _core.grads_scale_(arrays, 0.5)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b * np.float32(0.5))
    _core.grads_clamp_(arrays, 0.25)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, np.clip(b * np.float32(0.5), -0.25, 0.25))
    _core.grads_zero_(arrays)
    for a in arrays:
        assert not a.any()
