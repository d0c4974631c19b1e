"""Convolutions that are products on a matrix unit, each value cut into three bfloat16: as exact as floats."""

import numpy as np
import pytest

import fastnn
from fastnn import _core, nn
from fastnn.nn.utils import fuse_for_inference
from tests.backends import isa, num_threads
from tests.reference import conv as reference

pytestmark = pytest.mark.skipif(_core.isa() != "amx", reason="the active level has no matrix unit")

EPS = float(np.finfo(np.float32).eps)
RECTIFIER = 1

# Batch, channels, size, filters, stride, groups. Large enough in every direction.
SHAPES = {
    "one-image": (1, 391, (31, 33), 403, 1, 1),
    "images-in-turn": (3, 391, (15, 17), 403, 1, 1),
    "pixels-through-the-batch": (5, 391, (13, 13), 403, 1, 1),
    "small-images": (16, 391, (5, 7), 417, 1, 1),
    "blocks-of-channels": (2, 1100, (15, 17), 390, 1, 1),
    "stride": (4, 391, (27, 30), 403, 2, 1),
    "stride-of-one-axis": (4, 391, (14, 30), 403, (1, 2), 1),
    "groups": (3, 782, (15, 17), 806, 1, 2),
}


def operands(rng, batch, channels, size, filters, groups):
    x = rng.standard_normal((batch, channels, *size), dtype=np.float32)
    w = rng.standard_normal((filters, channels // groups, 1, 1), dtype=np.float32)
    return x, w / np.float32(channels**0.5)


def error(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


def forward(x, w, bias=None, stride=1, groups=1, activation=0):
    return _core.conv_forward(x, w, bias, stride, 0, 1, groups, activation=activation)


def all_ways(x, w, dy, bias, stride, groups):
    """The result, with a bias and a rectifier too, and the gradients of image and weight."""
    return {
        "plain": forward(x, w, None, stride, groups),
        "rectified": forward(x, w, bias, stride, groups, RECTIFIER),
        "image": _core.conv_backward_input(dy, w, x.shape, stride, 0, 1, groups),
        "weight": _core.conv_backward_weight(dy, x, w.shape, stride, 0, 1, groups),
    }


def laid_out(image, order):
    """As it is, or channels last; or a part of a larger array, with NaN beside it."""
    if order == "last":
        return np.ascontiguousarray(np.moveaxis(image, 1, -1)).transpose(0, 3, 1, 2)
    if order == "first":
        return image
    room = np.full([n + 2 for n in image.shape], np.nan, np.float32)
    view = room[1:-1, 1:-1, 1:-1, 1:-1]
    view[...] = image
    return view


@pytest.mark.parametrize("order", ("first", "last", "part"))
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_as_exact_as_floats(rng, shape, order):
    batch, channels, size, filters, stride, groups = shape
    x, w = operands(rng, batch, channels, size, filters, groups)
    bias = rng.standard_normal(filters, dtype=np.float32)
    wide_x, wide_w = x.astype(np.float64), w.astype(np.float64)
    plain = reference.conv_forward(wide_x, wide_w, stride=stride, groups=groups)
    dy = rng.standard_normal(plain.shape, dtype=np.float32)
    wide_dy = dy.astype(np.float64)
    gradients = reference.conv_backward(wide_dy, wide_x, wide_w, None, stride, groups=groups)
    rectified = np.maximum(plain + bias[:, None, None], 0)
    want = {"plain": plain, "rectified": rectified, "image": gradients[0], "weight": gradients[1]}
    args = laid_out(x, order), w, laid_out(dy, order), bias, stride, groups
    got = all_ways(*args)
    for way, value in got.items():
        assert error(value, want[way]) <= 4 * EPS, way
    with num_threads(1 if _core.num_threads() > 1 else 2):
        again = all_ways(*args)
    for way, value in got.items():
        np.testing.assert_array_equal(value, again[way], way)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_is_another_way_than_the_level_below(rng, shape):
    """Else this file would test nothing."""
    batch, channels, size, filters, stride, groups = shape
    x, w = operands(rng, batch, channels, size, filters, groups)
    bias = np.zeros(filters, np.float32)
    dy = rng.standard_normal(forward(x, w, None, stride, groups).shape, dtype=np.float32)
    ours = all_ways(x, w, dy, bias, stride, groups)
    with isa("avx512_bf16"):
        below = all_ways(x, w, dy, bias, stride, groups)
    for way, value in ours.items():
        assert (value != below[way]).any(), way


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_kept_weights_give_the_same_bits(rng, shape):
    batch, channels, size, filters, stride, groups = shape
    x, _ = operands(rng, batch, channels, size, filters, groups)
    model = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, groups=groups), nn.ReLU()).eval()
    want = model(fastnn.tensor(x)).detach().numpy()
    kept = fuse_for_inference(model)
    for _ in range(3):
        np.testing.assert_array_equal(kept(fastnn.tensor(x)).numpy(), want)


@pytest.mark.parametrize("batch,size", [(1, (40, 41)), (8, (11, 13))])
def test_long_sums_over_pixels_are_as_exact(rng, batch, size):
    """Of one sign, so that errors of one kind would add up."""
    batch *= 12
    x, dy = rng.random((2, batch, 400, *size), dtype=np.float32)
    got = _core.conv_backward_weight(dy, x, (400, 400, 1, 1), 1, 0, 1, 1)
    rows = [np.moveaxis(v, 1, 0).reshape(400, -1).astype(np.float64) for v in (dy, x)]
    assert error(got[:, :, 0, 0], rows[0] @ rows[1].T) <= 4 * EPS


@pytest.mark.parametrize("odd_one", [1.0, 1e-35], ids=("alike", "one-too-small-for-parts"))
def test_sums_over_a_hundred_thousand_pixels(rng, odd_one):
    """Of one sign: within the bar for long sums, and twice the error of NumPy's float32 product."""
    x, dy = rng.random((2, 4, 400, 160, 160), dtype=np.float32)
    x[0, 0, 0, 0] = odd_one
    got = _core.conv_backward_weight(dy, x, (400, 400, 1, 1), 1, 0, 1, 1)[:, :, 0, 0]
    rows = [np.moveaxis(v, 1, 0).reshape(400, -1) for v in (dy, x)]
    want = rows[0].astype(np.float64) @ rows[1].T.astype(np.float64)
    assert error(got, want) <= min(2e-6, 2 * error(rows[0] @ rows[1].T, want))


@pytest.mark.parametrize("value", [1e-40, 1e-38, 3e38, np.inf, np.nan], ids=str)
@pytest.mark.parametrize("shape", [(1, (31, 33)), (8, (13, 13))], ids=str)
def test_one_value_out_of_range(rng, shape, value):
    """A pixel, a filter, or a row and a column of the weight's gradient feel it, and nothing else does."""
    batch, size = shape
    x, w = operands(rng, batch, 270, size, 300, 1)
    dy = rng.standard_normal((batch, 300, *size), dtype=np.float32)
    plain = forward(x, w)
    pixel, value = (batch - 1, slice(None), 7, 12), np.float32(value)
    others = np.ones(plain.shape, bool)
    others[pixel] = False
    odd = x.copy()
    odd[pixel] = 0
    odd[batch - 1, 31, 7, 12] = value
    got = forward(odd, w)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got[pixel], value * w[:, 31, 0, 0])
    assert np.abs(got[others] - plain[others]).max() <= 8 * EPS * np.abs(plain).max()
    odd_gradient = _core.conv_backward_weight(dy, odd, w.shape, 1, 0, 1, 1)
    if not np.isfinite(value):
        assert not np.isfinite(odd_gradient[:, 31]).any()
    rest = np.arange(270) != 31
    assert np.isfinite(odd_gradient[:, rest]).all()
    odd = w.copy()
    odd[5, 3] = value
    with np.errstate(all="ignore"):
        y = forward(x, odd)
    assert np.isfinite(np.delete(y, 5, axis=1)).all()
    assert np.abs(np.delete(y - plain, 5, axis=1)).max() <= 8 * EPS * np.abs(plain).max()
    if not np.isfinite(value):
        assert not np.isfinite(y[:, 5]).any()


TAPS = {
    "3x3": ((3, 130, 29, 31), (200, 130, 3, 3), {"stride": 2, "padding": 1}),
    "2x2, one image": ((1, 96, 60, 61), (256, 96, 2, 2), {"stride": (2, 2), "padding": (0, 1)}),
    "1x3": ((11, 260, 1, 301), (176, 260, 1, 3), {"stride": (1, 2)}),
    "dilation": ((4, 130, 30, 31), (200, 130, 3, 2), {"stride": (1, 3), "dilation": 2}),
    "groups": ((3, 260, 29, 31), (400, 130, 3, 3), {"stride": 2, "groups": 2}),
    "segments of a long sum": ((8, 512, 16, 16), (250, 512, 3, 3), {"stride": 2, "padding": 1}),
}


@pytest.mark.parametrize("x_shape,w_shape,options", TAPS.values(), ids=TAPS)
def test_strides_over_several_taps(rng, x_shape, w_shape, options):
    x = rng.standard_normal(x_shape, dtype=np.float32)
    w = rng.standard_normal(w_shape, dtype=np.float32)
    bias = rng.standard_normal(w_shape[0], dtype=np.float32)
    layer = nn.Conv2d(x_shape[1], w_shape[0], w_shape[2:], **options).requires_grad_(False)
    layer.weight.copy_(fastnn.tensor(w))
    layer.bias.copy_(fastnn.tensor(bias))
    model = nn.Sequential(layer, nn.ReLU())
    wide = x.astype(np.float64), w.astype(np.float64), bias.astype(np.float64)
    want = np.maximum(reference.conv_forward(*wide, **options), 0)
    got = model(fastnn.tensor(x)).numpy()
    assert error(got, want) <= 4 * EPS
    with isa("avx512_bf16"):
        assert (model(fastnn.tensor(x)).numpy() != got).any()  # else this tests nothing
    with num_threads(1 if _core.num_threads() > 1 else 2):
        np.testing.assert_array_equal(model(fastnn.tensor(x)).numpy(), got)
    kept = fuse_for_inference(model)
    for _ in range(2):
        np.testing.assert_array_equal(kept(fastnn.tensor(x)).numpy(), got)
