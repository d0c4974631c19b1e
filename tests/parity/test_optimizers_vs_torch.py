"""Optimizer and scheduler classes beside PyTorch's: values, state_dict, printing."""

import inspect

import numpy as np
import pytest

import fastnn
from fastnn import optim
from tests.cases.optim import MUON, OPTIMIZERS, SCHEDULERS

torch = pytest.importorskip("torch")
CASES = [(name, hyper) for name, hypers in OPTIMIZERS.items() for hyper in hypers]
SHAPES = [(5, 7), (3,), ()]


def twins(rng):
    arrays = [np.asarray(rng.standard_normal(s)).astype(np.float32) for s in SHAPES]
    return ([fastnn.tensor(a).requires_grad_() for a in arrays],
            [torch.tensor(a).requires_grad_() for a in arrays])  # fmt: skip


def run(rng, pairs, optimizers, steps):
    for _ in range(steps):
        for mine, theirs in pairs:
            g = np.asarray(rng.standard_normal(mine.shape)).astype(np.float32)
            mine.grad, theirs.grad = fastnn.tensor(g), torch.tensor(g)
        for o in optimizers:
            o.step()


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
def test_steps_state_and_printing(name, hyper, rng):
    mine, theirs = twins(rng)
    a, b = getattr(optim, name)(mine, **hyper), getattr(torch.optim, name)(theirs, **hyper)
    assert repr(a) == repr(b)
    pairs = list(zip(mine, theirs, strict=True))
    run(rng, pairs, (a, b), 20)
    ours, torchs = a.state_dict(), b.state_dict()
    assert set(ours["param_groups"][0]) == set(torchs["param_groups"][0])
    assert ours["state"].keys() == torchs["state"].keys()
    for i, entries in torchs["state"].items():
        assert set(ours["state"][i]) == set(entries)
        for k, v in entries.items():
            np.testing.assert_allclose(ours["state"][i][k].numpy(), v.numpy(), 2e-5, 1e-6)
    # PyTorch's state, as plain arrays, continues here.
    loaded = {i: {k: fastnn.tensor(v.numpy()) for k, v in e.items()}
              for i, e in torchs["state"].items()}  # fmt: skip
    a.load_state_dict({"state": loaded, "param_groups": torchs["param_groups"]})
    run(rng, pairs, (a, b), 20)
    for p, q in pairs:
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), 2e-5, 2e-6)


@pytest.mark.parametrize("hyper", MUON, ids=str)
def test_muon(hyper, rng):
    """PyTorch's steps are rounded to bfloat16 several times."""
    start = rng.standard_normal((8, 5)).astype(np.float32)
    mine, theirs = fastnn.tensor(start).requires_grad_(), torch.tensor(start).requires_grad_()
    a, b = optim.Muon([mine], **hyper), torch.optim.Muon([theirs], **hyper)
    assert repr(a) == repr(b)
    run(rng, [(mine, theirs)], (a, b), 30)
    moved = np.abs(theirs.detach().numpy() - start).max()
    assert np.abs(mine.detach().numpy() - theirs.detach().numpy()).max() <= 0.02 * moved
    ours, torchs = a.state_dict(), b.state_dict()
    assert list(ours["param_groups"][0]) == list(torchs["param_groups"][0])
    assert ours["state"][0].keys() == torchs["state"][0].keys()
    buffer = torchs["state"][0]["momentum_buffer"].numpy()
    np.testing.assert_allclose(ours["state"][0]["momentum_buffer"].numpy(), buffer, 2e-5, 1e-6)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_follows_the_same_path(search):
    start = np.array([-0.5, 0.5, 0.3, -1.2])
    paths = []
    for module in (fastnn, torch):
        p = module.tensor(start).requires_grad_()
        o = module.optim.LBFGS([p], lr=0.5, max_iter=7, line_search_fn=search, history_size=4)
        path = []

        def closure(p=p, o=o, path=path):
            o.zero_grad()
            loss = ((1 - p[:-1]) ** 2 + 100 * (p[1:] - p[:-1] ** 2) ** 2).sum()
            loss.backward()
            path.append(loss.item())
            return loss

        for _ in range(4):
            o.step(closure)
        paths.append(path)
    # While rounding has not yet grown, every evaluation is at the same place.
    assert len(paths[0]) > 25
    np.testing.assert_allclose(paths[0][:25], paths[1][:25], rtol=1e-6)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "LBFGS", "Muon"])
def test_optimizer_signatures(name):
    compare_signatures(getattr(optim, name), getattr(torch.optim, name))


NAMES = [*SCHEDULERS, "LambdaLR", "MultiplicativeLR", "ReduceLROnPlateau", "SequentialLR",
         "ChainedScheduler"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_scheduler_signatures(name):
    compare_signatures(getattr(optim.lr_scheduler, name), getattr(torch.optim.lr_scheduler, name))


def compare_signatures(mine, theirs):
    ours, torchs = (inspect.signature(f).parameters for f in (mine, theirs))
    assert list(ours) == list(torchs)
    for name in ours:
        if isinstance(torchs[name].default, (int, float, str, tuple, type(None))):
            assert ours[name].default == torchs[name].default, name
        assert ours[name].kind == torchs[name].kind, name


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler_state_has_the_same_keys(name):
    def made(module, kw):
        o = module.optim.SGD([module.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
        return getattr(module.optim.lr_scheduler, name)(o, **kw)

    for kw in SCHEDULERS[name]:
        ours, torchs = made(fastnn, kw).state_dict(), made(torch, kw).state_dict()
        internal = {"_is_initial", "_get_lr_called_within_step", "_scale_fn_ref", "_momentum_key"}
        missing = set(torchs) - set(ours) - internal
        assert not missing - {"use_beta1", "_scale_fn_custom"}, missing
