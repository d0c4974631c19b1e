"""Sequential runs plain layers without Python between them: nobody must be able to tell."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn
from tests.nn.inference import seen

LAYERS = {
    "conv1d": (lambda: nn.Conv1d(3, 5, 3, 2, 1), (2, 3, 11)),
    "conv2d": (lambda: nn.Conv2d(3, 5, (3, 1), (1, 2), (1, 0), bias=False), (2, 3, 9, 8)),
    "conv2d-no-batch": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2), (4, 9, 8)),
    "conv2d-same": (lambda: nn.Conv2d(3, 5, 3, padding="same"), (1, 3, 9, 8)),
    "conv2d-circular": (lambda: nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), (1, 3, 9, 8)),
    "conv2d-empty": (lambda: nn.Conv2d(3, 5, 3), (0, 3, 9, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 6)),
    "linear": (lambda: nn.Linear(7, 4), (3, 7)),
    "linear-no-bias": (lambda: nn.Linear(7, 4, bias=False), (1, 7)),
    "linear-3d": (lambda: nn.Linear(7, 4), (2, 3, 7)),
    "linear-1d": (lambda: nn.Sequential(nn.Linear(7, 4), nn.Unflatten(0, (1, 4))), (7,)),
    "max_pool1d": (lambda: nn.MaxPool1d(3), (2, 3, 11)),
    "max_pool2d": (lambda: nn.MaxPool2d(3, 2, 1), (2, 3, 9, 8)),
    "max_pool2d-ceil": (lambda: nn.MaxPool2d((2, 3), ceil_mode=True), (2, 3, 9, 8)),
    "max_pool3d": (lambda: nn.MaxPool3d(2, dilation=2), (2, 4, 5, 6)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 9, 8)),
    "adaptive1d": (lambda: nn.AdaptiveAvgPool1d(1), (2, 3, 9)),
    "batch_norm1d": (lambda: seen(nn.BatchNorm1d(3)), (2, 3, 11)),
    "batch_norm1d-flat": (lambda: seen(nn.BatchNorm1d(3)), (2, 3)),
    "batch_norm2d": (lambda: seen(nn.BatchNorm2d(3)), (2, 3, 9, 8)),
    "batch_norm2d-plain": (lambda: seen(nn.BatchNorm2d(3, affine=False)), (2, 3, 9, 8)),
    "batch_norm2d-batch": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 9, 8)),
    "batch_norm3d": (lambda: seen(nn.BatchNorm3d(2)), (1, 2, 4, 5, 6)),
    "conv, batch_norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3), seen(nn.BatchNorm2d(5))), (2, 3, 9, 8),
    ),
    "flatten": (lambda: nn.Flatten(), (2, 3, 9, 8)),
    "flatten-2": (lambda: nn.Flatten(2), (2, 3, 9, 8)),
    "relu": (lambda: nn.ReLU(), (2, 3, 5)),
    "relu6": (lambda: nn.ReLU6(), (2, 3, 5)),
    "dropout": (lambda: nn.Dropout(), (2, 3, 5)),
    "nested": (lambda: nn.Sequential(nn.Linear(7, 4), nn.Sequential(nn.ReLU())), (3, 7)),
    "empty": (lambda: nn.Sequential(), (3, 7)),
}  # fmt: skip


class Other(nn.Module):
    """A module that Sequential knows nothing of."""

    def forward(self, x):
        return x * 2


def one_by_one(modules, x):
    for m in modules:
        x = one_by_one(m, x) if type(m) is nn.Sequential else m(x)
    return x


def same(a, b, tolerance=0.0):
    """`tolerance`: of the largest value."""
    assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
    assert a.stride() == b.stride() and a.requires_grad == b.requires_grad
    a, b = (t.detach().double().numpy() for t in (a, b))
    near = tolerance * np.abs(b[np.isfinite(b)]).max(initial=1) if tolerance else 0
    np.testing.assert_allclose(a, b, 0, near)


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64, fastnn.bfloat16])
@pytest.mark.parametrize("before", [[], [nn.Identity()], [Other()]], ids=["", "identity", "other"])
@pytest.mark.parametrize(
    "after", [[], [nn.ReLU(inplace=True)], [nn.ReLU6(), nn.Flatten()]], ids=str
)
@pytest.mark.parametrize("name", LAYERS)
def test_as_one_by_one(name, before, after, dtype):
    make, shape = LAYERS[name]
    model = nn.Sequential(*before, make(), *after).to(dtype).eval()
    x = (fastnn.randn(shape) * 6).to(dtype)
    if name in ("empty", "dropout", "relu") and after and after[0].__class__ is nn.ReLU:
        x = x.abs()  # which ReLU writes to x
    with fastnn.no_grad():
        for p in model.parameters():
            p.mul_(6)
        folded = name == "conv, batch_norm"  # the norm into the convolution, which rounds otherwise
        same(model(x), one_by_one(model, x.clone()), 1e-5 if folded else 0)
    y = model(x.clone())
    assert y.requires_grad == bool(list(model.parameters()))


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "adaptive", "relu"])
def test_channels_last_and_strided(name):
    make, _ = LAYERS[name]
    model = nn.Sequential(make(), nn.ReLU(), nn.Flatten())
    x = fastnn.randn(2, 3, 18, 8)
    with fastnn.no_grad():
        for view in (
            x.contiguous(memory_format=fastnn.channels_last),
            x[:, :, ::2],
            x.transpose(2, 3),
        ):
            same(model(view), one_by_one(model, view))


def test_no_gradient_is_lost():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = fastnn.randn(5, 4)
    model(x).sum().backward()
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    one_by_one(model, x).sum().backward()
    for g, p in zip(grads, model.parameters(), strict=True):
        np.testing.assert_array_equal(g, p.grad.numpy())
    model.requires_grad_(False)
    assert not model(x).requires_grad
    assert model(x.requires_grad_()).requires_grad
    model[2].bias.requires_grad_()
    assert model(x.detach()).requires_grad


def frozen():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5), nn.Dropout()
    )
    return model.eval().requires_grad_(False), fastnn.randn(1, 2, 6, 6)


def test_hooks_run():
    model, x = frozen()
    seen = []
    for i, m in enumerate(model):
        m.register_forward_hook(lambda m, args, out, i=i: seen.append(i))
        m.register_forward_pre_hook(lambda m, args, i=i: seen.append(-i))
    model(x)
    assert seen == [0, 0, -1, 1, -2, 2, -3, 3, -4, 4]
    model, x = frozen()
    plain = model(x)
    handle = model[1].register_forward_hook(lambda m, args, out: out + 1)
    assert (model(x) != plain).any()
    handle.remove()
    same(model(x), plain)


def test_changes_count():
    model, x = frozen()
    before = model(x)
    model[3].weight.mul_(2)
    model[3].bias.mul_(2)
    np.testing.assert_allclose(model(x).numpy(), 2 * before.numpy(), rtol=1e-5, atol=1e-6)
    model[3] = nn.Linear(48, 7).requires_grad_(False)
    assert model(x).shape == (1, 7)
    model[0].stride = (2, 2)
    model[2] = Other()
    model[3] = nn.Identity()
    assert model(x).shape == (1, 3, 2, 2)
    model[0].forward = lambda x: x
    assert model(x).shape == x.shape
    del model[0].forward
    model[4].train()
    assert (model(x) == 0).any()


def test_classes_that_were_changed(monkeypatch):
    model, x = frozen()
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: fastnn.ones(1, 48))
    model.pop(2)
    assert (model[0:2](x) == 1).all()
    called = []
    plain = nn.Module.__call__

    def call(self, *args):
        called.append(type(self))
        return plain(self, *args)

    monkeypatch.setattr(nn.Module, "__call__", call)
    model(x)
    assert called == [nn.Sequential, nn.Conv2d, nn.ReLU, nn.Linear, nn.Dropout]


def test_batch_norm_of_what_is_no_number():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), seen(nn.BatchNorm2d(2)), nn.ReLU()).eval()
    x = fastnn.tensor([[[[float("nan"), float("inf")], [-float("inf"), 0.0]]]])
    with fastnn.no_grad():
        same(model(x), one_by_one(model, x), 1e-5)
        x = fastnn.randn(1, 1, 3, 3)
        before = x.clone()
        model[1:](fastnn.randn(1, 2, 3, 3))
        nn.Sequential(model[1])(y := fastnn.ones(1, 2, 3, 3))
        same(y, fastnn.ones(1, 2, 3, 3))
        model(x)
        same(x, before)
        model[1].running_mean.add_(1)
        same(model(x), one_by_one(model, x), 1e-5)
        model[1].train()
        same(model(x), one_by_one(copy.deepcopy(model), x))


def test_subclasses_keep_their_forward():
    class Mine(nn.ReLU):
        def forward(self, x):
            return x + 1

    x = fastnn.zeros(2)
    assert (nn.Sequential(nn.Identity(), Mine())(x) == 1).all()


def test_errors_are_the_layers_own():
    wrong = {
        "conv": (nn.Conv2d(2, 3, 3), fastnn.randn(1, 4, 6, 6)),
        "rank": (nn.Conv2d(2, 3, 3), fastnn.randn(6, 6)),
        "small": (nn.Conv2d(2, 3, 3), fastnn.randn(1, 2, 2, 2)),
        "dtype": (nn.Conv2d(2, 3, 3), fastnn.randn(1, 2, 6, 6).double()),
        "linear": (nn.Linear(3, 2), fastnn.randn(2, 4)),
        "linear dtype": (nn.Linear(3, 2), fastnn.randn(2, 3).double()),
        "pool": (nn.MaxPool2d(2), fastnn.randn(2)),
        "integers": (nn.MaxPool2d(2), fastnn.ones(1, 2, 4, 4).long()),
        "adaptive": (nn.AdaptiveAvgPool2d(0), fastnn.randn(1, 2, 4, 4)),
        "dropout": (nn.Dropout().eval(), fastnn.ones(2).long()),
        "no tensor": (nn.ReLU(), np.ones(3, np.float32)),
        "nothing": (nn.Linear(3, 2), None),
    }
    with fastnn.no_grad():
        for layer, x in wrong.values():
            with pytest.raises(Exception) as alone:
                layer(x)
            with pytest.raises(type(alone.value)) as inside:
                nn.Sequential(layer)(x)
            assert str(inside.value) == str(alone.value)
        with pytest.raises(RecursionError):
            loop = nn.Sequential()
            loop.append(loop)
            loop(fastnn.ones(1))
        with pytest.raises(TypeError):
            nn.Sequential(nn.ReLU())()


def test_the_input_stays_as_it_is():
    x = fastnn.randn(2, 3, 4, 4)
    before = x.clone()
    with fastnn.no_grad():
        assert nn.Sequential(nn.Identity(), nn.Dropout().eval())(x) is x
        flat = nn.Sequential(nn.Identity(), nn.Flatten())(x)
        assert flat._base is x
        nn.Sequential(nn.Identity(), nn.ReLU(), nn.MaxPool2d(2))(x)
        same(x, before)
        nn.Sequential(nn.ReLU(inplace=True))(x)
        same(x, before.relu())


def test_copies_work():
    model, x = frozen()
    same(copy.deepcopy(model)(x), model(x))


def test_same_bits_for_every_number_of_threads():
    model = nn.Sequential(nn.Conv2d(8, 40, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    x = fastnn.randn(4, 8, 20, 20)
    before, results = fastnn.get_num_threads(), []
    with fastnn.no_grad():
        for n in (1, 2, 3):
            fastnn.set_num_threads(n)
            results.append(model(x))
    fastnn.set_num_threads(before)
    same(results[0], results[1])
    same(results[0], results[2])
