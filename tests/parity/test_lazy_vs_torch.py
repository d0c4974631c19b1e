"""Lazy layers and the adaptive softmax beside PyTorch's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastnn

LAYERS = [
    ("LazyLinear", (7,), {}, (3, 5)),
    ("LazyLinear", (7,), {"bias": False}, (2, 3, 5)),
    ("LazyConv1d", (4, 3), {"padding": 1}, (2, 6, 9)),
    ("LazyConv2d", (4, 3), {"groups": 2}, (2, 6, 9, 8)),
    ("LazyConv2d", (4, 3), {}, (6, 9, 8)),
    ("LazyConv3d", (4, 3), {"bias": False}, (1, 2, 5, 5, 5)),
    ("LazyConvTranspose1d", (4, 3), {"stride": 2}, (2, 6, 9)),
    ("LazyConvTranspose2d", (4, 3), {"groups": 2}, (2, 6, 5, 4)),
    ("LazyConvTranspose3d", (4, 3), {}, (1, 2, 3, 3, 3)),
    ("LazyBatchNorm1d", (), {}, (8, 5)),
    ("LazyBatchNorm2d", (), {"affine": False}, (3, 5, 4, 4)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False}, (3, 5, 2, 2, 2)),
    ("LazyInstanceNorm1d", (), {}, (3, 5, 7)),
    ("LazyInstanceNorm2d", (), {"affine": True}, (3, 5, 4, 4)),
    ("LazyInstanceNorm3d", (), {"track_running_stats": True}, (3, 5, 2, 2, 2)),
]


def pair(name, args, kwargs):
    return getattr(fastnn.nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_a_lazy_layer_becomes_the_layer_that_fits(name, args, kwargs, shape):
    ours, theirs = pair(name, args, kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.has_uninitialized_params() == theirs.has_uninitialized_params()
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    theirs(torch.from_numpy(x))
    parameters = list(ours.parameters())
    ours(fastnn.tensor(x))
    assert type(ours).__name__ == type(theirs).__name__ == name.removeprefix("Lazy")
    assert repr(ours).split(",")[0] == repr(theirs).split(",")[0]
    assert all(a is b for a, b in zip(parameters, ours.parameters(), strict=True))
    assert all(type(p) is fastnn.nn.Parameter and p.is_leaf for p in parameters)
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == shapes
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    y = ours.eval()(fastnn.tensor(x))
    np.testing.assert_allclose(
        y.detach().numpy(), theirs.eval()(torch.from_numpy(x)).detach().numpy(), atol=2e-6
    )
    if parameters:
        y.sum().backward()
        assert all(p.grad is not None for p in parameters)


def test_shapes_come_from_a_state_dict_too():
    whole = fastnn.nn.Sequential(
        fastnn.nn.Conv2d(3, 4, 3), fastnn.nn.Flatten(), fastnn.nn.Linear(16, 2)
    )
    lazy = fastnn.nn.Sequential(
        fastnn.nn.LazyConv2d(4, 3), fastnn.nn.Flatten(), fastnn.nn.LazyLinear(2)
    )
    other = fastnn.nn.Sequential(
        fastnn.nn.LazyConv2d(4, 3), fastnn.nn.Flatten(), fastnn.nn.LazyLinear(2)
    )
    other.load_state_dict(lazy.state_dict())  # of nothing, from nothing
    assert other[0].has_uninitialized_params()
    lazy.load_state_dict(whole.state_dict())
    x = fastnn.randn(2, 3, 4, 4)
    assert lazy(x).tolist() == whole(x).tolist()
    assert type(lazy[0]) is fastnn.nn.Conv2d and lazy[0].in_channels == 3
    assert type(lazy[2]) is fastnn.nn.Linear and lazy[2].in_features == 16


def test_an_optimizer_made_first_trains_it():
    layer = fastnn.nn.LazyLinear(2)
    optimizer = fastnn.optim.Adam(layer.parameters(), lr=0.1)
    layer(fastnn.ones(3, 4)).sum().backward()
    before = layer.weight.tolist()
    optimizer.step()
    assert layer.weight.tolist() != before


def test_a_class_of_ones_own_needs_no_special_name():
    class Mine(fastnn.nn.LazyInstanceNorm2d):
        pass

    layer = Mine()
    assert layer(fastnn.ones(5, 4, 4)).shape == (5, 4, 4)
    assert layer.num_features == 5


def test_what_has_no_shape_yet_says_so():
    layer = fastnn.nn.LazyLinear(2)
    with pytest.raises(RuntimeError, match="uninitialized"):
        _ = layer.weight.shape
    with pytest.raises(RuntimeError, match="uninitialized"):
        fastnn.nn.Linear(3, 2).load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="4D"):
        fastnn.nn.LazyConv2d(3, 3)(fastnn.ones(2, 2))


@pytest.mark.parametrize("head_bias", [False, True])
@pytest.mark.parametrize("targets", [[0, 3, 4, 9, 10, 19, 2], [1, 0, 3], [15]])
def test_adaptive_softmax(head_bias, targets):
    args, kwargs = (16, 20, [4, 10]), {"div_value": 2.0, "head_bias": head_bias}
    ours, theirs = pair("AdaptiveLogSoftmaxWithLoss", args, kwargs)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((len(targets), 16), np.float32)
    a = fastnn.tensor(x, requires_grad=True)
    b = torch.tensor(x, requires_grad=True)
    mine, right = ours(a, fastnn.tensor(targets)), theirs(b, torch.tensor(targets))
    np.testing.assert_allclose(
        mine.output.detach().numpy(), right.output.detach().numpy(), atol=2e-6
    )
    np.testing.assert_allclose(mine.loss.item(), right.loss.item(), rtol=1e-6)
    mine.loss.backward()
    right.loss.backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-6)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        ours_grad = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        theirs_grad = np.zeros(p.shape) if q.grad is None else q.grad.numpy()
        np.testing.assert_allclose(ours_grad, theirs_grad, atol=1e-6)
    np.testing.assert_allclose(
        ours.log_prob(a).detach().numpy(), theirs.log_prob(b).detach().numpy(), atol=3e-6
    )
    assert ours.predict(a).tolist() == theirs.predict(b).tolist()
    one = ours(a[0], fastnn.tensor(targets[0]))
    assert one.output.shape == () and abs(one.output.item() - mine.output[0].item()) < 1e-6


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [3, 3], [5, 4], [4, 20], [1.5]])
def test_adaptive_softmax_refuses_cutoffs(cutoffs):
    with pytest.raises(ValueError, match="cutoffs should be"):
        fastnn.nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs)


def test_adaptive_softmax_refuses_targets():
    layer = fastnn.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4])
    with pytest.raises(RuntimeError, match=r"\[0, 19\]"):
        layer(fastnn.ones(1, 16), fastnn.tensor([20]))
    with pytest.raises(RuntimeError, match="belong together"):
        layer(fastnn.ones(2, 16), fastnn.tensor([2]))
