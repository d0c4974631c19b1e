"""Folded batch normalisation gives what the two layers gave."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn.utils import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval

PAIRS = {
    "conv1d": (lambda: nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d, (2, 3, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 8, 3, groups=2, bias=False), nn.BatchNorm2d, (2, 4, 7, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 8, 2), nn.BatchNorm3d, (2, 2, 4, 3, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 8, 3, stride=2), nn.BatchNorm2d, (2, 3, 4, 5)),
    "linear": (lambda: nn.Linear(5, 8), nn.BatchNorm1d, (6, 5)),
    "linear-no-bias": (lambda: nn.Linear(5, 8, bias=False), nn.BatchNorm1d, (6, 5)),
}


def seen(bn):
    """bn after some training: every number of it matters."""
    rng = np.random.default_rng(5)
    for name, low in (("running_mean", -1), ("running_var", 0.3), ("weight", -2), ("bias", -1)):
        target = getattr(bn, name)
        if target is not None:
            values = rng.uniform(low, 2, bn.num_features)
            target.data.copy_(fastnn.tensor(values, dtype=target.dtype))
    return bn.eval()


def fuse(layer, bn):
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, bn)
    return fuse_conv_bn_eval(layer, bn, transpose=isinstance(layer, nn.ConvTranspose2d))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_fused_layer_equals_both(name, dtype, affine):
    make, norm, shape = PAIRS[name]
    fastnn.manual_seed(3)
    layer, bn = make().to(dtype).eval(), seen(norm(8, affine=affine).to(dtype))
    before = layer.weight.numpy(force=True).copy()
    fused = fuse(layer, bn)
    x = fastnn.randn(*shape, dtype=dtype)
    tolerance = 1e-12 if dtype == fastnn.float64 else 1e-5
    np.testing.assert_allclose(
        fused(x).numpy(force=True), bn(layer(x)).numpy(force=True), atol=tolerance, rtol=tolerance
    )
    assert type(fused) is type(layer) and isinstance(fused.bias, nn.Parameter)
    assert fused.weight.requires_grad and fused.weight.dtype == dtype
    np.testing.assert_array_equal(layer.weight.numpy(force=True), before)


def test_frozen_weights_stay_frozen():
    conv, bn = nn.Conv2d(2, 3, 1, bias=False).eval(), seen(nn.BatchNorm2d(3))
    conv.weight.requires_grad_(False)
    fused = fuse_conv_bn_eval(conv, bn)
    assert not fused.weight.requires_grad and not fused.bias.requires_grad


def test_weights_alone():
    bn = seen(nn.BatchNorm2d(3))
    w = fastnn.ones(3, 2, 1, 1)
    weight, bias = fuse_conv_bn_weights(
        w, None, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    scale = bn.weight.numpy(force=True) / np.sqrt(bn.running_var.numpy() + bn.eps)
    np.testing.assert_allclose(weight.numpy(force=True)[:, 0, 0, 0], scale, rtol=1e-6)
    expected = bn.bias.numpy(force=True) - bn.running_mean.numpy() * scale
    np.testing.assert_allclose(bias.numpy(force=True), expected, rtol=1e-5)


def test_refusals():
    conv, bn = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="eval"):
        fuse_conv_bn_eval(conv, bn.eval())
    with pytest.raises(ValueError, match="running statistics"):
        fuse_conv_bn_eval(conv.eval(), nn.BatchNorm2d(3, track_running_stats=False).eval())
    with pytest.raises(ValueError, match=r"linear\.out_features == bn\.num_features"):
        fuse_linear_bn_eval(nn.Linear(2, 4).eval(), bn)


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(),
]  # fmt: skip
LAYERS = {
    **PAIRS,
    "conv2d-3x3": (lambda: nn.Conv2d(32, 40, 3, padding="same"), nn.BatchNorm2d, (2, 32, 15, 17)),
    "conv2d-1x1": (lambda: nn.Conv2d(24, 40, 1), nn.BatchNorm2d, (2, 24, 9, 7)),
    "conv2d-reflect": (
        lambda: nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d, (1, 3, 8, 8),
    ),
    "depthwise": (lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d, (2, 8, 9, 20)),
    "depthwise-stride": (
        lambda: nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8), nn.BatchNorm2d, (2, 8, 9, 40),
    ),
    "first layer": (lambda: nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d, (2, 1, 28, 28)),
    "linear, three axes": (lambda: nn.Linear(5, 8), None, (2, 3, 5)),
}  # fmt: skip


def close(a, b, tolerance=2e-5):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tolerance, tolerance)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_fused_network_equals_the_network(name, activation):
    make, norm, shape = LAYERS[name]
    layer = make()
    channels = 8 if name in PAIRS else layer.weight.shape[0]
    norms = [] if norm is None else [seen(norm(channels))]
    model = nn.Sequential(layer, nn.Identity(), *norms, nn.Dropout(), activation).eval()
    with fastnn.no_grad():
        for p in model[0].parameters():  # large enough for the bend of ReLU6
            p.mul_(4)
    x = fastnn.randn(shape)
    fused = nn.utils.fuse_for_inference(model)
    close(fused(x), model(x))
    assert len(fused) == len(model)
    kept = ("transposed", "linear", "linear-no-bias")  # the activation, or what is before it
    assert (type(fused[-1]) is nn.Identity) is (name not in kept)
    assert not any(p.requires_grad for p in fused.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_fused_network_keeps_what_it_cannot_merge():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ReLU())

        def forward(self, x):
            return self.body(x) * 2

    model = nn.Sequential(
        nn.ReLU(), nn.BatchNorm2d(3), Wide(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Flatten(),
        nn.Linear(36, 5), nn.Softmax(-1),
    ).eval()  # fmt: skip
    x = fastnn.randn(2, 3, 8, 8)
    fused = nn.utils.fuse_for_inference(model)
    close(fused(x), model(x))
    kept = [type(m) for m in fused]
    assert kept == [type(m) for m in model]
    assert [type(m).__name__ for m in fused[2].body] == [
        "Activated",
        "Identity",
        "Identity",
        "ReLU",
    ]


@pytest.mark.parametrize(
    "layer, norm, shape",
    [
        (nn.Linear(8, 5), nn.BatchNorm1d(6), (4, 6, 8)),  # of axis 1, not of the layer's outputs
        (nn.Linear(8, 6), nn.BatchNorm2d(6), (4, 6, 3, 8)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 5, 5)),
        (nn.ConvTranspose2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), (2, 4, 5, 5)),
    ],
    ids=str,
)
def test_a_normalisation_that_cannot_be_folded_stays(layer, norm, shape):
    model = nn.Sequential(layer, seen(norm), nn.ReLU()).eval()
    fused = nn.utils.fuse_for_inference(model)
    x = fastnn.randn(*shape)
    close(fused(x), model(x))
    assert type(fused[1]) is type(norm)


def test_every_module_of_a_fused_network_is_in_evaluation_mode():
    fused = nn.utils.fuse_for_inference(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    assert not any(m.training for m in fused.modules())


def test_classes_made_from_sequential_are_fused_if_they_keep_its_forward():
    class Block(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 4), nn.ReLU())

    class Twice(Block):
        def forward(self, input):
            return super().forward(input) * 2

    model = nn.Sequential(Block(), nn.Linear(4, 3), Twice()).eval()
    fused = nn.utils.fuse_for_inference(model)
    x = fastnn.randn(5, 3)
    close(fused(x), model(x))
    assert type(fused[0]) is Block and type(fused[0][1]) is nn.Identity
    assert type(fused[2][1]) is nn.ReLU


@pytest.mark.parametrize(
    "wrong", [3, fastnn.ones(2, 4), fastnn.ones(2, 3, dtype=fastnn.float64)], ids=str
)
def test_a_fused_layer_refuses_in_the_words_of_the_layer(wrong):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    said = []
    for network in (model, nn.utils.fuse_for_inference(model)):
        with pytest.raises((TypeError, ValueError, RuntimeError)) as info:
            network(wrong)
        said.append((info.type, str(info.value)))
    assert said[0] == said[1] and "linear" in said[0][1]


def test_a_layer_that_is_watched_is_not_merged():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    seen_shapes = []
    model[0].register_forward_hook(lambda m, args, y: seen_shapes.append(y.shape))
    fused = nn.utils.fuse_for_inference(model)
    fused(fastnn.ones(2, 3))
    assert seen_shapes == [(2, 4)]


def test_a_fused_network_still_has_a_gradient_for_its_input():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()).eval()
    x = fastnn.randn(1, 2, 5, 5, requires_grad=True)
    (expected,) = fastnn.autograd.grad(model(x).sum(), x)
    (grad,) = fastnn.autograd.grad(nn.utils.fuse_for_inference(model)(x).sum(), x)
    close(grad, expected)


def test_relu_of_a_kernel_keeps_nan():
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU6())
    y = nn.utils.fuse_for_inference(model)(fastnn.tensor([[float("nan"), 1.0]]))
    assert np.isnan(y.numpy()).all()
