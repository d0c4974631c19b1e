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
