"""The references of optimizers and schedulers agree with PyTorch in float64."""

import math
import re
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.cases import optim as cases
from tests.parity.validate import relative_error
from tests.reference import optim, schedule

S = torch.optim.lr_scheduler
STEPS = 30


@pytest.fixture(autouse=True)
def float64_scalars():
    """torch keeps some scalar state (NAdam, ASGD) in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "name, hyper", [(n, h) for n, rows in cases.OPTIMIZERS.items() for h in rows], ids=str
)
def test_optimizer(name, hyper, rng):
    start, gradients = rng.standard_normal((5, 3)), rng.standard_normal((12, 5, 3))
    gradients[:, 0, 0] = 0.0
    parameter = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, name)([parameter], **hyper)
    path, state = optim.run(name, start, gradients, **hyper)
    for g, want in zip(gradients, path, strict=True):
        parameter.grad = torch.tensor(g)
        optimizer.step()
        assert relative_error(want, parameter.detach().numpy()) <= 1e-12
    for key, value in optimizer.state[parameter].items():
        if value is not None and key in state:
            assert relative_error(np.asarray(state[key], float), np.asarray(value)) <= 1e-12, key


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm(norm_type, max_norm, rng):
    gradients = [rng.standard_normal(s) for s in ((3, 4), (5,), ())]
    parameters = [torch.zeros(np.shape(g), requires_grad=True) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = torch.tensor(g)
    want = torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
    norm, clipped = optim.clip_grad_norm(gradients, max_norm, norm_type)
    assert norm == pytest.approx(float(want), rel=1e-12)
    for p, g in zip(parameters, clipped, strict=True):
        assert relative_error(g, p.grad.numpy()) <= 1e-12


def _follow(make, lr=0.1):
    """(lr, momentum) at the start and after each of STEPS steps."""
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=lr, momentum=0.5)
    scheduler = make(optimizer)
    group, path = optimizer.param_groups[0], []
    for _ in range(STEPS + 1):
        path.append((group["lr"], group["momentum"]))
        optimizer.step()
        if len(path) <= STEPS:
            scheduler.step()
    return path


def _function(name):
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return getattr(schedule, words.lower())


@pytest.mark.parametrize(
    "name, parameters", [(n, p) for n, rows in cases.SCHEDULERS.items() for p in rows], ids=str
)
def test_scheduler(name, parameters):
    path = _follow(lambda optimizer: getattr(S, name)(optimizer, **parameters))
    rates = [_function(name)(t, 0.1, **parameters) for t in range(STEPS + 1)]
    assert rates == pytest.approx([lr for lr, _ in path], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("parameters", cases.SCHEDULERS["CyclicLR"], ids=str)
def test_cyclic_momentum(parameters):
    path = _follow(lambda optimizer: S.CyclicLR(optimizer, **parameters))
    own = {k: v for k, v in parameters.items() if k not in ("base_lr", "max_lr")}
    want = [schedule.cyclic_momentum(t, **own) for t in range(STEPS + 1)]
    assert want == pytest.approx([m for _, m in path], rel=1e-9)


@pytest.mark.parametrize("parameters", cases.SCHEDULERS["OneCycleLR"], ids=str)
def test_one_cycle_momentum(parameters):
    path = _follow(lambda optimizer: S.OneCycleLR(optimizer, **parameters))
    skip = ("max_lr", "div_factor", "final_div_factor")
    own = {k: v for k, v in parameters.items() if k not in skip}
    want = [schedule.one_cycle_momentum(t, **own) for t in range(STEPS + 1)]
    assert want == pytest.approx([m for _, m in path], rel=1e-9)


@pytest.mark.parametrize("name", ["LambdaLR", "MultiplicativeLR"])
def test_lambda(name):
    def factor(t):
        return 1 / (1 + 0.1 * t)

    path = _follow(lambda optimizer: getattr(S, name)(optimizer, factor))
    function = schedule.lambda_lr if name == "LambdaLR" else schedule.multiplicative_lr
    want = [function(t, 0.1, factor) for t in range(STEPS + 1)]
    assert want == pytest.approx([lr for lr, _ in path], rel=1e-9)


def test_sequential_and_chained():
    def parts(optimizer):
        return [
            S.LinearLR(optimizer, start_factor=0.1, total_iters=5),
            S.ExponentialLR(optimizer, gamma=0.9),
        ]

    functions = [
        partial(schedule.linear_lr, start_factor=0.1, total_iters=5),
        partial(schedule.exponential_lr, gamma=0.9),
    ]
    path = _follow(lambda optimizer: S.SequentialLR(optimizer, parts(optimizer), [6]))
    want = [schedule.sequential_lr(t, 0.1, functions, [6]) for t in range(STEPS + 1)]
    assert want == pytest.approx([lr for lr, _ in path], rel=1e-9)
    path = _follow(lambda optimizer: S.ChainedScheduler(parts(optimizer), optimizer))
    want = [schedule.chained_scheduler(t, 0.1, functions) for t in range(STEPS + 1)]
    assert want == pytest.approx([lr for lr, _ in path], rel=1e-9)


@pytest.mark.parametrize("parameters", cases.PLATEAU, ids=str)
def test_reduce_on_plateau(parameters, rng):
    metrics = list(np.concatenate([np.linspace(3, 1, 6), 1 + 0.3 * rng.standard_normal(24)]))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler, rates = S.ReduceLROnPlateau(optimizer, **parameters), []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    assert schedule.reduce_lr_on_plateau(metrics, 0.1, **parameters) == pytest.approx(rates)
    assert len(set(rates)) > 1
