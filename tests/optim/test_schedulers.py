"""Learning-rate schedulers against closed forms."""

import functools
import re
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import optim
from fastnn.optim import lr_scheduler as schedulers
from tests.cases.optim import PLATEAU, SCHEDULERS
from tests.harness import check_raises
from tests.reference import schedule as reference

STEPS = 30
CASES = [(name, kw) for name, cases in SCHEDULERS.items() for kw in cases]


def snake(name):
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower().replace("step_lr", "step_lr")


def sgd(lr=0.1, groups=1, **kwargs):
    groups = [
        {"params": [fastnn.zeros(1, requires_grad=True)], "lr": lr * (i + 1)} for i in range(groups)
    ]
    return optim.SGD(groups, **({"momentum": 0.9} | kwargs))


def follow(scheduler, optimizer, steps=STEPS):
    """The rates of all groups: at the start and after each step."""
    rates = [[g["lr"] for g in optimizer.param_groups]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        rates.append([g["lr"] for g in optimizer.param_groups])
        assert scheduler.get_last_lr() == rates[-1]
    return np.array(rates)


def closed_form(name, kw, lr):
    return [getattr(reference, snake(name))(t, lr, **kw) for t in range(STEPS + 1)]


@pytest.mark.parametrize(("name", "kw"), CASES, ids=str)
def test_rates(name, kw):
    optimizer = sgd(groups=2)
    got = follow(getattr(schedulers, name)(optimizer, **kw), optimizer)
    for group, lr in enumerate((0.1, 0.2)):
        want = closed_form(name, kw, lr)
        np.testing.assert_allclose(got[:, group], want, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("name", "kw"), CASES, ids=str)
def test_state_dict_resumes_in_the_middle(name, kw):
    want = follow(getattr(schedulers, name)(first := sgd(), **kw), first)
    optimizer = sgd()
    scheduler = getattr(schedulers, name)(optimizer, **kw)
    follow(scheduler, optimizer, 11)
    other = sgd()
    resumed = getattr(schedulers, name)(other, **kw)
    resumed.load_state_dict(scheduler.state_dict())
    other.load_state_dict(optimizer.state_dict())
    np.testing.assert_array_equal(follow(resumed, other, STEPS - 11), want[11:])


def test_lambda_and_multiplicative():
    functions = [lambda t: 0.9**t, lambda t: 1 / (1 + t)]
    optimizer = sgd(groups=2)
    got = follow(schedulers.LambdaLR(optimizer, functions), optimizer)
    for group, lr in enumerate((0.1, 0.2)):
        want = [reference.lambda_lr(t, lr, functions[group]) for t in range(STEPS + 1)]
        np.testing.assert_allclose(got[:, group], want, rtol=1e-12)
    optimizer = sgd()
    got = follow(schedulers.MultiplicativeLR(optimizer, functions[0]), optimizer)[:, 0]
    want = [reference.multiplicative_lr(t, 0.1, functions[0]) for t in range(STEPS + 1)]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    check_raises(lambda: schedulers.LambdaLR(sgd(), functions), ValueError, "1", "2")
    check_raises(lambda: schedulers.LambdaLR(sgd(), 3), TypeError, "int")


class Warmup:
    def __init__(self, length):
        self.length = length

    def __call__(self, t):
        return min(1.0, t / self.length)


def test_state_of_callable_objects_is_saved():
    scheduler = schedulers.LambdaLR(sgd(groups=2), [Warmup(5), lambda t: 1.0])
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"length": 5}, None]
    other = schedulers.LambdaLR(sgd(groups=2), [Warmup(9), lambda t: 1.0])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].length == 5


@pytest.mark.parametrize("kw", PLATEAU, ids=str)
def test_reduce_on_plateau(kw):
    metrics = np.random.default_rng(3).random(STEPS) + np.linspace(2, 0, STEPS).clip(0.7)
    optimizer = sgd()
    scheduler = schedulers.ReduceLROnPlateau(optimizer, **kw)
    got = []
    for i, m in enumerate(metrics):
        if i == 13:
            state = scheduler.state_dict()
            scheduler = schedulers.ReduceLROnPlateau(optimizer, **kw)
            scheduler.load_state_dict(state)
        scheduler.step(fastnn.tensor(m))
        got.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(got, reference.reduce_lr_on_plateau(metrics, 0.1, **kw), rtol=1e-6)


def test_sequential_and_chained():
    optimizer = sgd()
    parts = [schedulers.ConstantLR(optimizer, 0.5, 99), schedulers.ExponentialLR(optimizer, 0.9),
             schedulers.CosineAnnealingLR(optimizer, 40)]  # fmt: skip
    scheduler = schedulers.SequentialLR(optimizer, parts, [6, 15])
    got = follow(scheduler, optimizer)[:, 0]
    forms = [functools.partial(reference.constant_lr, factor=0.5, total_iters=99),
             functools.partial(reference.exponential_lr, gamma=0.9),
             functools.partial(reference.cosine_annealing_lr, T_max=40)]  # fmt: skip
    want = [reference.sequential_lr(t, 0.1, forms, [6, 15]) for t in range(STEPS + 1)]
    np.testing.assert_allclose(got, want, rtol=1e-9)
    optimizer = sgd()
    parts = [schedulers.LinearLR(optimizer, 0.1, 1.0, 8), schedulers.StepLR(optimizer, 7, 0.5)]
    chained = schedulers.ChainedScheduler(parts)
    got = follow(chained, optimizer)[:, 0]
    forms = [functools.partial(reference.linear_lr, start_factor=0.1, total_iters=8),
             functools.partial(reference.step_lr, step_size=7, gamma=0.5)]  # fmt: skip
    want = [reference.chained_scheduler(t, 0.1, forms) for t in range(STEPS + 1)]
    np.testing.assert_allclose(got, want, rtol=1e-9)
    state = chained.state_dict()
    assert [s["last_epoch"] for s in state["_schedulers"]] == [STEPS, STEPS]
    chained.load_state_dict(state)


@pytest.mark.parametrize("key", ["momentum", "betas"])
def test_momentum_goes_the_other_way(key):
    for name, kw, form in (
        (
            "CyclicLR",
            {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 5},
            reference.cyclic_momentum,
        ),
        ("OneCycleLR", {"max_lr": 0.3, "total_steps": 31}, reference.one_cycle_momentum),
    ):
        p = [fastnn.zeros(1, requires_grad=True)]
        optimizer = optim.SGD(p, momentum=0.5) if key == "momentum" else optim.Adam(p)
        scheduler = getattr(schedulers, name)(optimizer, **kw)
        arguments = {k: v for k, v in kw.items() if k in ("step_size_up", "total_steps")}
        for t in range(STEPS):
            value = optimizer.param_groups[0][key]
            got = value if key == "momentum" else value[0]
            np.testing.assert_allclose(got, form(t, **arguments), rtol=1e-12)
            optimizer.step()
            scheduler.step()


def test_resuming_by_last_epoch():
    optimizer = sgd()
    want = follow(schedulers.CosineAnnealingLR(optimizer, 20), optimizer)
    again = sgd()
    again.param_groups[0]["initial_lr"] = 0.1
    scheduler = schedulers.CosineAnnealingLR(again, 20, last_epoch=6)
    assert abs(scheduler.get_last_lr()[0] - want[7, 0]) < 1e-12
    check_raises(
        lambda: schedulers.StepLR(sgd(), 3, last_epoch=2), KeyError, "initial_lr",
        "param_groups[0]",
    )  # fmt: skip


def test_warm_restarts_take_fractions():
    optimizer = sgd()
    scheduler = schedulers.CosineAnnealingWarmRestarts(optimizer, 4, 2)
    for epoch in (0.25, 3.5, 4.0, 11.75, 12.5):
        scheduler.step(epoch)
        want = reference.cosine_annealing_warm_restarts(epoch, 0.1, 4, 2)
        np.testing.assert_allclose(scheduler.get_last_lr()[0], want, rtol=1e-12)
    check_raises(lambda: scheduler.step(-1), ValueError, "-1")


def test_warning_for_the_wrong_order():
    scheduler = schedulers.StepLR(sgd(), 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


def test_bad_arguments():
    optimizer = sgd()
    plain = optim.Adagrad([fastnn.zeros(1, requires_grad=True)])
    s = schedulers
    for make, text in [
        (lambda: s.StepLR(optimizer, 0), "step_size"),
        (lambda: s.ConstantLR(optimizer, 1.5), "between 0 and 1"),
        (lambda: s.LinearLR(optimizer, 0.0), "greater than 0"),
        (lambda: s.LinearLR(optimizer, 1.0, 2.0), "between 0 and 1"),
        (lambda: s.CosineAnnealingLR(optimizer, 0), "T_max"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 0), "T_0"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 3, 0), "T_mult"),
        (lambda: s.CyclicLR(optimizer, 0.1, 0.2, mode="square"), "square"),
        (lambda: s.CyclicLR(plain, 0.1, 0.2), "momentum"),
        (lambda: s.CyclicLR(optimizer, [0.1, 0.2], 0.2), "base_lr"),
        (lambda: s.OneCycleLR(optimizer, 0.1), "total_steps"),
        (lambda: s.OneCycleLR(optimizer, 0.1, 0), "total_steps"),
        (lambda: s.OneCycleLR(optimizer, 0.1, 9, pct_start=2.0), "pct_start"),
        (lambda: s.OneCycleLR(optimizer, 0.1, 9, anneal_strategy="x"), "anneal_strategy"),
        (lambda: s.ReduceLROnPlateau(optimizer, factor=1.0), "Factor"),
        (lambda: s.ReduceLROnPlateau(optimizer, mode="up"), "up"),
        (lambda: s.ReduceLROnPlateau(optimizer, min_lr=[0, 0]), "min_lrs"),
        (lambda: s.SequentialLR(optimizer, [s.StepLR(optimizer, 3)], [4]), "one more"),
        (lambda: s.SequentialLR(optimizer, [s.StepLR(sgd(), 3)], []), "same optimizer"),
        (lambda: s.ChainedScheduler([]), "at least one"),
    ]:
        check_raises(make, ValueError, text)
    check_raises(lambda: s.StepLR(3, 3), TypeError, "int", "Optimizer")
    scheduler = s.OneCycleLR(optimizer, 0.1, 3)
    optimizer.step()
    for _ in range(3):
        scheduler.step()
    check_raises(scheduler.step, ValueError, "Tried to step 4 times", "3")
