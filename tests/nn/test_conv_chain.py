"""Convolutions of a fused Sequential whose images do not stay in the cache run in bands of rows, and so do those that need
no row twice; of the other inverted residuals the first two run some channels at a time."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn import _core, nn
from fastnn.nn import functional as F
from tests.backends import num_threads


def conv(i, o, kernel=1, stride=1, groups=1, **options):
    return nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, **options)


def inverted_residual(stride=1, kernel=3, i=12, wide=72):
    return [
        conv(i, wide), nn.BatchNorm2d(wide), nn.ReLU6(), conv(wide, wide, kernel, stride, wide),
        nn.BatchNorm2d(wide), nn.ReLU6(), conv(wide, 20),
    ]  # fmt: skip


CHAINS = {
    "stride 1": (inverted_residual(), (1, 12, 93, 90)),
    "stride 2": (inverted_residual(2), (1, 12, 94, 101)),
    "5x5, two images": (inverted_residual(2, 5), (2, 12, 95, 97)),
    "as written": (
        [conv(12, 72), nn.Identity(), nn.ReLU(), nn.Dropout(), conv(72, 72, 3, groups=72), nn.ReLU()],
        (1, 12, 99, 90),
    ),
    "no padding, dilation": (
        [nn.Conv2d(8, 64, 1, padding=0), nn.Conv2d(64, 64, 3, dilation=2, groups=64), nn.SiLU(), nn.MaxPool2d(2)],
        (1, 8, 110, 100),
    ),
    "wide strides": (
        [nn.Conv2d(8, 96, 1, bias=False), nn.Conv2d(96, 96, 2, stride=(3, 2), groups=96), nn.Conv2d(96, 8, 1)],
        (1, 8, 100, 80),
    ),
    "no row twice": (
        [conv(40, 40, 3, 1, 40), nn.BatchNorm2d(40), nn.ReLU6(), conv(40, 20)], (2, 40, 57, 61),
    ),
    "no row twice, all convolved": ([conv(3, 48, 3, 2), nn.ReLU(), conv(48, 48), nn.SiLU(), conv(48, 9)], (1, 3, 95, 99)),
    "no row twice, three rows": ([conv(300, 300, 3, 1, 300), conv(300, 20)], (1, 300, 3, 121)),
    "rows that nobody needs": ([conv(60, 60, 3, 1, 60), nn.ReLU(), nn.Conv2d(60, 12, 2, stride=2)], (1, 60, 41, 52)),
    "large weights": ([conv(512, 512, 3, 1, 512), conv(512, 512)], (1, 512, 14, 14)),
    "channels": (inverted_residual(1, 3, 40, 240), (1, 40, 14, 14)),
    "channels, prepared weights": (inverted_residual(2, 5, 100, 500), (2, 100, 9, 7)),
    "channels, a last task of few": (inverted_residual(1, 3, 100, 484), (3, 100, 7, 7)),
    "channels, wide": (inverted_residual(2, 3, 24, 144), (1, 24, 27, 29)),
    "channels, a batch, odd strides": (
        [conv(64, 256), nn.ReLU(), nn.Conv2d(256, 256, (3, 2), (3, 2), (1, 0), groups=256), nn.ReLU6()],
        (3, 64, 17, 13),
    ),
    "channels, dilation": (
        [conv(48, 200), nn.Conv2d(200, 200, 3, 1, 2, dilation=2, groups=200), nn.SiLU(), conv(200, 24)],
        (2, 48, 15, 14),
    ),
    "channels, no bias, as written": (
        [conv(96, 224, bias=False), nn.SiLU(), conv(224, 224, 3, groups=224, bias=False), nn.ReLU()],
        (1, 96, 14, 13),
    ),
}  # fmt: skip


def fused(name):
    fastnn.manual_seed(1)
    layers, shape = CHAINS[name]
    return nn.utils.fuse_for_inference(nn.Sequential(*layers)), fastnn.randn(shape)


def one_by_one(model, x):
    for m in model:
        x = m(x)
    return x


def peak_bytes(function):
    """At most in use during the call, beyond what was before."""
    _core.empty_cache()  # a workspace takes the last one's block, however large
    before = _core.memory_stats()["allocated"]
    _core.reset_peak_memory()
    result = function()
    return result, _core.memory_stats()["peak"] - before


@pytest.mark.parametrize("name", CHAINS)
def test_as_one_by_one(name):
    model, x = fused(name)
    wanted = one_by_one(model.double(), x.double()).numpy()
    model.float()
    results = []
    for n in (1, 2, 3):
        with num_threads(n):
            results += [model(x).numpy(), model(x).numpy()]
    np.testing.assert_allclose(results[0], wanted, 1e-4, 1e-5)
    for y in results[1:]:
        np.testing.assert_array_equal(results[0], y)


def as_written(name):
    """In evaluation mode, with batch norms that have seen something."""
    fastnn.manual_seed(1)
    layers, shape = CHAINS[name]
    model = nn.Sequential(*copy.deepcopy(layers)).eval().requires_grad_(False)
    for m in model:
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-1, 1)
            m.running_var.uniform_(0.3, 2)
    return model, fastnn.randn(shape)


def large_image(l2=2 << 20):
    """Images between the layers that no second-level cache holds."""
    size = 1 + int((16 * l2 / (72 * 4)) ** 0.5)
    model, _ = fused("stride 1")
    return model, fastnn.randn(1, 12, size, size)


def check_never_whole(model, x, share):
    """At most `share` of the bytes that layer by layer takes."""
    model(x)
    y, peak = peak_bytes(lambda: model(x))
    whole, peak_of_whole = peak_bytes(lambda: one_by_one(model, x))
    assert peak < share * peak_of_whole
    np.testing.assert_allclose(y.numpy(), whole.numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize("name", ["stride 2", "no row twice", "channels, prepared weights"])
def test_batch_norms_between(name):
    model, x = as_written(name)
    with num_threads(1):  # each has a buffer
        check_never_whole(model, x, 0.8)
    for i, m in enumerate(model):
        if isinstance(m, nn.BatchNorm2d):
            before = model(x)
            m.running_mean.add_(1)
            model[i - 1].weight.mul_(1.5)
            wanted = one_by_one(copy.deepcopy(model).double(), x.double()).numpy()
            np.testing.assert_allclose(model(x).numpy(), wanted, 1e-4, 1e-4)
            assert (model(x) != before).any()


def test_images_between_the_layers_are_never_whole():
    check_never_whole(*large_image(), 0.5)


def test_images_that_need_no_row_twice_are_never_whole():
    with num_threads(1):  # each has a buffer
        check_never_whole(*fused("no row twice"), 0.7)


def test_channels_between_are_never_all_there():
    model = nn.utils.fuse_for_inference(nn.Sequential(*inverted_residual(1, 3, 64, 384)))
    with num_threads(1):  # each has a buffer
        check_never_whole(model, fastnn.randn(1, 64, 20, 20), 0.8)


def test_changes_are_seen_by_a_pair():
    model, x = fused("channels, prepared weights")
    before = model(x).numpy()
    model[0].layer.weight.mul_(2)
    after = model(x).numpy()
    assert (after != before).any()
    np.testing.assert_allclose(after, one_by_one(model, x).numpy(), 1e-4, 1e-5)


def check_pair(model, x):
    np.testing.assert_allclose(model(x).numpy(), one_by_one(model, x).numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize("layer", [0, 3])
def test_every_change_is_seen_by_a_pair(layer):
    model, x = fused("channels, prepared weights")
    model(x)  # keeps the weight laid out
    inner = model[layer].layer
    seen = [model(x).numpy()]
    for change in (
        lambda: inner.weight.mul_(2),
        lambda: inner.bias.add_(0.5),
        lambda: setattr(inner, "weight", nn.Parameter(inner.weight * 1.5, requires_grad=False)),
        lambda: inner.weight.zero_(),
    ):
        change()
        check_pair(model, x)
        seen.append(model(x).numpy())
        assert (seen[-1] != seen[-2]).any()


@pytest.mark.parametrize("layer", [0, 3])
def test_an_array_that_somebody_holds_is_read_by_a_pair(layer):
    model, x = fused("channels, prepared weights")
    model(x)
    inner = model[layer].layer
    array = inner.weight.numpy().copy()
    inner.weight = nn.Parameter(fastnn.from_numpy(array), requires_grad=False)
    before = model(x).numpy()
    for _ in range(2):
        check_pair(model, x)
        array += 1
    assert (model(x).numpy() != before).any()


def test_images_of_a_pair_may_change():
    model, _ = fused("channels, prepared weights")
    for batch, size in ((1, 7), (2, 30), (1, 9), (3, 1), (1, 7)):
        check_pair(model, fastnn.randn(batch, 100, size, size + 1))


def test_changes_are_seen():
    model, x = fused("stride 2")
    before = model(x)
    model[3].layer.weight.mul_(2)
    after = model(x).numpy()
    assert (after != before.numpy()).any()
    np.testing.assert_allclose(after, one_by_one(model, x).numpy(), 1e-4, 1e-5)
    seen = []
    model[3].register_forward_hook(lambda m, args, y: seen.append(y.shape))
    np.testing.assert_allclose(model(x).numpy(), after, 1e-4, 1e-5)
    assert seen == [(1, 72, 47, 51)]


def test_not_a_number_stays_where_it_is():
    model, x = fused("stride 1")
    x[0, 0, 40, 50] = float("nan")
    assert int(model(x).isnan().sum()) == 9 * 20


def test_not_a_number_stays_where_it_is_in_a_pair():
    model, x = fused("channels")
    x[0, 0, 5, 6] = float("nan")
    assert int(model(x).isnan().sum()) == 9 * 20


@pytest.mark.parametrize("channels", [100, 600])
def test_a_bias_that_does_not_fit_a_pair(channels):
    model, x = fused("channels, prepared weights")
    model[3].layer.bias = nn.Parameter(fastnn.zeros(channels))
    model.requires_grad_(False)
    with pytest.raises(RuntimeError, match="conv2d"):
        model(x)


def test_layers_that_do_not_fit_say_so():
    model, x = fused("as written")
    model[4].layer = conv(60, 60, 3, groups=60).eval()
    model.requires_grad_(False)
    with pytest.raises(RuntimeError, match="conv2d"):
        model(x)


def test_gradients():
    model, x = fused("stride 1")
    x.requires_grad_()
    model(x).sum().backward()
    dx = x.grad.numpy()
    a, b, c = model[0].layer, model[3].layer, model[6]
    y = F.relu6(F.conv2d(x.double(), a.weight.double(), a.bias.double()))
    y = F.relu6(F.conv2d(y, b.weight.double(), b.bias.double(), 1, 1, 1, 72))
    x.grad = None
    F.conv2d(y, c.weight.double(), c.bias.double()).sum().backward()
    np.testing.assert_allclose(dx, x.grad.numpy(), 1e-3, 1e-4)
