"""Optimizer classes: steps against the float64 reference, groups, state, errors."""

import copy
import itertools

import numpy as np
import pytest

import fastnn
from fastnn import optim
from tests.cases.optim import MUON, OPTIMIZERS
from tests.harness import check_raises
from tests.reference import optim as reference

CASES = [
    (name, hyper) for name, hypers in (OPTIMIZERS | {"Muon": MUON}).items() for hyper in hypers
]
SHAPES = [(5, 7), (3,), ()]
MATRICES = [(5, 7), (7, 5), (4, 4)]
BARS = {"float32": 1e-5, "float64": 1e-12}  # of float32: 3e-6 or less in most cases


def draw(rng, shapes=SHAPES):
    """Gradients away from 0, where float32 and float64 may take different signs."""
    return [np.asarray(rng.choice([-1, 1], s) * (0.1 + rng.random(s))) for s in shapes]


def parameters(rng, dtype, shapes=SHAPES):
    arrays = [np.asarray(rng.standard_normal(s)).astype(dtype) for s in shapes]
    return [fastnn.tensor(a).requires_grad_() for a in arrays]


def give(params, arrays):
    for p, a in zip(params, arrays, strict=True):
        p.grad = fastnn.tensor(a.astype(p.numpy(force=True).dtype))


def numpy(tensors):
    return [t.detach().numpy().copy() for t in tensors]


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_a_hundred_steps(name, hyper, dtype, rng):
    shapes = MATRICES if name == "Muon" else SHAPES
    params = parameters(rng, dtype, shapes)
    start = [p.astype(np.float64) for p in numpy(params)]
    optimizer = getattr(optim, name)(params, **hyper)
    gradients = [draw(rng, shapes) for _ in range(100)]
    for arrays in gradients:
        give(params, arrays)
        optimizer.step()
    for i, p in enumerate(numpy(params)):
        own = [arrays[i].astype(dtype).astype(np.float64) for arrays in gradients]
        want = reference.run(name, start[i], own, **hyper)[0][-1]
        scale = max(np.abs(want).max(), np.abs(start[i]).max())
        # Their counters (products of momenta, rates) are kept in float32, as in PyTorch.
        rounded = name in ("NAdam", "ASGD") and dtype == "float64"
        bar = (
            1e-7 if rounded else 1e-5 if name == "Muon" else BARS[dtype]
        )  # Muon's steps are float32
        assert np.abs(p - want).max() <= bar * scale


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_resumed_training_continues_with_the_same_bits(name, hyper, rng):
    shapes = MATRICES if name == "Muon" else SHAPES
    gradients = [draw(rng, shapes) for _ in range(6)]
    start = np.random.default_rng(1)

    def run(steps, params, optimizer):
        for arrays in steps:
            give(params, arrays)
            optimizer.step()
        return numpy(params)

    whole = parameters(copy.deepcopy(start), "float32", shapes)
    want = run(gradients, whole, getattr(optim, name)(whole, **hyper))
    first = parameters(copy.deepcopy(start), "float32", shapes)
    optimizer = getattr(optim, name)(first, **hyper)
    run(gradients[:3], first, optimizer)
    second = [fastnn.tensor(a).requires_grad_() for a in numpy(first)]
    resumed = getattr(optim, name)(second, lr=123.0)
    state = optimizer.state_dict()
    resumed.load_state_dict(state)
    run(gradients[3:], first, optimizer)  # the loaded state is a copy
    for a, b in zip(run(gradients[3:], second, resumed), want, strict=True):
        assert a.tobytes() == b.tobytes()
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_state_survives_a_file(rng, tmp_path):
    params = parameters(rng, "float32")
    optimizer = optim.Adam(params, betas=(0.8, 0.9))
    give(params, draw(rng))
    optimizer.step()
    fastnn.save(optimizer.state_dict(), tmp_path / "state")
    other = optim.Adam(parameters(rng, "float32"))
    other.load_state_dict(fastnn.load(tmp_path / "state"))
    assert other.param_groups[0]["betas"] == (0.8, 0.9)
    for mine, theirs in zip(other.state.values(), optimizer.state.values(), strict=True):
        assert mine.keys() == theirs.keys()
        for k in mine:
            assert fastnn.equal(mine[k], theirs[k]) and mine[k] is not theirs[k]


def test_groups_have_their_own_numbers_and_parameters_without_gradient_are_skipped(rng):
    a, b, c = parameters(rng, "float64")
    before = numpy([a, b, c])
    optimizer = optim.SGD([{"params": [a, c], "lr": 0.5}, {"params": b}], lr=0.1, momentum=0.9)
    a.grad, b.grad = fastnn.ones_like(a), fastnn.ones_like(b)
    optimizer.step()
    np.testing.assert_allclose(a.detach().numpy(), before[0] - 0.5, rtol=1e-15)
    np.testing.assert_allclose(b.detach().numpy(), before[1] - 0.1, rtol=1e-14)
    assert c.item() == before[2] and c not in optimizer.state
    c.grad = fastnn.ones_like(c)
    optimizer.step()  # c's first step beside a's second
    np.testing.assert_allclose(c.item(), before[2] - 0.5)
    np.testing.assert_allclose(a.detach().numpy(), before[0] - 0.5 - 0.5 * 1.9)
    optimizer.add_param_group({"params": [fastnn.zeros(2, requires_grad=True)]})
    assert optimizer.param_groups[2]["lr"] == 0.1


def test_named_parameters(rng):
    params = parameters(rng, "float32")
    optimizer = optim.Adam(zip("abc", params, strict=True))
    assert optimizer.param_groups[0]["param_names"] == ["a", "b", "c"]
    assert all(x is y for x, y in zip(optimizer.param_groups[0]["params"], params, strict=True))


def test_zero_grad(rng):
    params = parameters(rng, "float32")
    optimizer = optim.SGD(params, lr=0.1)
    give(params, draw(rng))
    optimizer.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    optimizer.zero_grad(set_to_none=False)


def test_step_counts_as_a_write_and_closure_runs_with_gradients(rng):
    p = fastnn.ones(3, requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    loss = (p * p).sum()
    with fastnn.no_grad():

        def closure():
            optimizer.zero_grad()
            value = (p * p).sum()
            value.backward()
            return value

        assert optimizer.step(closure).item() == 3.0
    np.testing.assert_allclose(p.detach().numpy(), 0.8, rtol=1e-6)
    check_raises(loss.backward, RuntimeError, "modified by an inplace operation")


def test_hooks(rng):
    params, seen = parameters(rng, "float32"), []
    optimizer = optim.SGD(params, lr=0.1)
    before = optimizer.register_step_pre_hook(lambda *a: seen.append("before"))
    optimizer.register_step_post_hook(lambda *a: seen.append("after"))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert seen == ["before", "after", "after"]


def test_channels_last_and_expanded_parameters_and_gradients(rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    g = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    results = []
    for move in (lambda a: a, lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1)):
        for grad_move in (lambda a: a, lambda a: np.asfortranarray(a)):
            p = fastnn.from_numpy(move(x.copy())).requires_grad_()
            p.grad = fastnn.from_numpy(grad_move(g))
            optimizer = optim.Adam([p])
            for _ in range(2):
                optimizer.step()
            results.append(p.detach().numpy().copy(order="C").tobytes())
    assert len(set(results)) == 1
    p = fastnn.zeros(3, requires_grad=True)
    p.grad = fastnn.ones(1).expand(3)
    optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(p.detach().numpy(), -1)


BAD = [
    *itertools.product(OPTIMIZERS, [{"lr": -1.0}, {"lr": float("nan")}]),
    *itertools.product(["Adam", "AdamW", "NAdam", "RAdam", "Adamax"],
                       [{"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": -1.0},
                        {"betas": (float("nan"), 0.9)}, {"weight_decay": -0.1}]),
    ("SGD", {"momentum": -1.0}), ("SGD", {"nesterov": True}), ("SGD", {"weight_decay": -1.0}),
    ("SGD", {"dampening": float("nan")}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    *itertools.product(["Adafactor"], [{"lr": -1.0}, {"beta2_decay": 0.1}, {"eps": (-1.0, 0.0)}, {"eps": (None, -1.0)},
                                       {"eps": 1e-3}, {"d": 0.5}, {"weight_decay": float("nan")}]),
    ("Adadelta", {"rho": 1.5}), ("Adadelta", {"rho": float("nan")}), ("Adagrad", {"eps": -1.0}),
    ("Adagrad", {"initial_accumulator_value": -1.0}), ("RMSprop", {"alpha": -1.0}),
    ("Rprop", {"etas": (1.1, 1.2)}), ("LBFGS", {"line_search_fn": "wolfe"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "hyper"), BAD, ids=str)
def test_hyper_parameters_out_of_range(name, hyper):
    with pytest.raises(ValueError):
        getattr(optim, name)([fastnn.zeros(3, requires_grad=True)], **hyper)


def test_muon_takes_matrices_only():
    p = fastnn.zeros(3, 2, requires_grad=True)
    optimizer = optim.Muon([p])
    check_raises(lambda: optim.Muon([fastnn.zeros(3, requires_grad=True)]), ValueError, "2D", "[3]")
    group = {"params": fastnn.zeros(2, 2, 2, requires_grad=True)}
    check_raises(lambda: optimizer.add_param_group(group), ValueError, "2D")
    assert len(optimizer.param_groups) == 1
    for hyper in ({"lr": -1.0}, {"momentum": -0.1}, {"weight_decay": -1.0}, {"ns_steps": 100},
                  {"ns_coefficients": (1.0,)}, {"adjust_lr_fn": "x"}):  # fmt: skip
        with pytest.raises(ValueError):
            optim.Muon([p], **hyper)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_small_matrices(name, shape):
    p = fastnn.zeros(shape, requires_grad=True)
    p.grad = fastnn.ones(shape)
    getattr(optim, name)([p]).step()
    assert p.isfinite().all()


def test_parameters_that_cannot_be_optimized():
    p = fastnn.zeros(3, requires_grad=True)
    sgd = optim.SGD
    check_raises(lambda: sgd([], lr=1), ValueError, "empty parameter list")
    check_raises(lambda: sgd(p, lr=1), TypeError, "iterable", "Tensor")
    check_raises(lambda: sgd([3], lr=1), TypeError, "int")
    check_raises(lambda: sgd([p * 2], lr=1), ValueError, "non-leaf")
    check_raises(lambda: sgd([p, p], lr=1), ValueError, "duplicate")
    check_raises(lambda: sgd([fastnn.zeros(3).long()], lr=1), ValueError, "int64")
    check_raises(lambda: sgd([{"params": p}, {"params": p}]), ValueError, "more than one")
    check_raises(lambda: sgd([{"params": {p}}]), TypeError, "ordered")


def test_a_refused_state_dict_changes_nothing(rng):
    params = parameters(rng, "float32")
    optimizer = optim.Adam(params, lr=0.1)
    give(params, draw(rng))
    optimizer.step()
    good = copy.deepcopy(optimizer.state_dict())
    fewer = copy.deepcopy(good)
    fewer["param_groups"][0]["params"].pop()
    more = copy.deepcopy(good)
    more["param_groups"] *= 2
    other = copy.deepcopy(good)
    other["param_groups"][0]["lr"] = 7.0
    other["state"][2]["exp_avg"] = fastnn.zeros(4)
    check_raises(lambda: optimizer.load_state_dict(fewer), ValueError, "size of", "2", "3")
    check_raises(lambda: optimizer.load_state_dict(more), ValueError, "number of parameter groups")
    check_raises(lambda: optimizer.load_state_dict(other), ValueError, "exp_avg", "(4,)", "()")
    assert optimizer.param_groups[0]["lr"] == 0.1
    for i, s in enumerate(optimizer.state.values()):
        assert fastnn.equal(s["exp_avg"], good["state"][i]["exp_avg"])


def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_a_minimum(search):
    p = fastnn.tensor([-0.5, 0.5], dtype=fastnn.float64).requires_grad_()
    lr = 1.0 if search else 0.2
    optimizer = optim.LBFGS([p], lr=lr, max_iter=50, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(p)
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert abs(first.item() - rosenbrock([-0.5, 0.5])) < 1e-12
    for _ in range(10):
        optimizer.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), 1, atol=1e-4)
    check_raises(optimizer.step, TypeError, "closure")
    check_raises(
        lambda: optim.LBFGS([{"params": [p]}, {"params": [fastnn.zeros(1, requires_grad=True)]}]),
        ValueError, "parameter groups",
    )  # fmt: skip


def test_lbfgs_state_survives_saving():
    def start():
        p = fastnn.tensor([-0.5, 0.5], dtype=fastnn.float64).requires_grad_()
        return p, optim.LBFGS([p], max_iter=3, line_search_fn="strong_wolfe")

    def step(p, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(p)
            loss.backward()
            return loss

        optimizer.step(closure)

    p, optimizer = start()
    step(p, optimizer)
    q, resumed = start()
    with fastnn.no_grad():
        q.copy_(p)
    resumed.load_state_dict(optimizer.state_dict())
    step(p, optimizer)
    step(q, resumed)
    assert fastnn.equal(p, q)
