"""Strided transposed convolutions and gradients of images as one product, whose results are added up by taps."""

import numpy as np
import pytest

from fastnn import _core
from tests.backends import isa, num_threads
from tests.reference import conv as reference

EPS = float(np.finfo(np.float32).eps)
RECTIFIER = 1
needs_matrix_unit = pytest.mark.skipif(
    _core.isa() != "amx", reason="the active level has no matrix unit"
)

# Batch, channels of the small image, its size, channels of the large one, kernel, stride, padding, dilation, and what the
# large image has beyond the last window.
SHAPES = {
    "3x3": (4, 192, (14, 15), 96, (3, 3), 2, 1, 1, 0),
    "3x3-even": (4, 192, (14, 15), 96, (3, 3), 2, 1, 1, 1),
    "4x4": (8, 192, (9, 8), 96, (4, 4), 2, 1, 1, 0),
    "rows-of-many-vectors": (1, 192, (9, 50), 96, (4, 4), 2, 1, 1, 0),
    "one-column": (160, 192, (8, 1), 96, (3, 3), 2, 1, 1, 0),
    "no-padding": (4, 192, (14, 15), 96, (3, 3), 2, 0, 1, 1),
    "much-padding": (4, 192, (14, 15), 96, (4, 4), 2, 4, 1, 0),
    "steps-of-3": (4, 192, (11, 19), 96, (5, 4), 3, 1, 1, 2),
    "steps-of-two-kinds": (4, 192, (11, 19), 96, (4, 5), (2, 4), (1, 2), 1, (1, 3)),
    "dilated": (4, 192, (14, 15), 96, (3, 3), 2, 1, 2, 0),
    # some pixels that nothing reaches
    "dilated-by-the-step": (4, 192, (14, 15), 96, (3, 3), 2, 2, 2, 1),
    "several-products": (24, 192, (14, 15), 128, (4, 4), 2, 1, 1, 0),
    "one-product-with-an-image-less": (23, 192, (14, 15), 128, (4, 4), 2, 1, 1, 0),
    "side-by-side": (6, 192, (14, 15), 128, (2, 2), 2, 0, 1, 0),
}


def each(value):
    return np.broadcast_to(value, 2)


def operands(rng, shape):
    """The small image, the weight, and the shape of the large image."""
    batch, channels, size, filters, kernel, *rest = shape
    stride, padding, dilation, beyond = map(each, rest)
    large = (np.array(size) - 1) * stride - 2 * padding + dilation * (np.array(kernel) - 1) + 1
    dy = rng.standard_normal((batch, channels, *size), dtype=np.float32)
    w = rng.standard_normal((channels, filters, *kernel), dtype=np.float32)
    return dy, w / np.float32(channels**0.5), (batch, filters, *(large + beyond))


def gradient(dy, w, large, shape):
    stride, padding, dilation = (tuple(map(int, each(v))) for v in shape[5:8])
    return _core.conv_backward_input(dy, w, large, stride, padding, dilation, 1)


def wanted(dy, w, bias, shape):
    stride, padding, dilation, beyond = (tuple(map(int, each(v))) for v in shape[5:])
    bias = None if bias is None else bias.astype(np.float64)
    return reference.conv_transpose_forward(
        dy.astype(np.float64), w.astype(np.float64), bias, stride, padding, beyond, 1, dilation
    )


def error(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("level", _core.isa_levels())
def test_as_exact_as_floats(rng, shape, level):
    dy, w, large = operands(rng, shape)
    before = dy.copy(), w.copy()
    want = wanted(dy, w, None, shape)
    with isa(level):
        got = gradient(dy, w, large, shape)
        with num_threads(1 if _core.num_threads() > 1 else 2):
            again = gradient(dy, w, large, shape)
    assert got.shape == want.shape and error(got, want) <= 8 * EPS
    np.testing.assert_array_equal(got, again)
    np.testing.assert_array_equal(dy, before[0])
    np.testing.assert_array_equal(w, before[1])


@needs_matrix_unit
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_is_another_way_than_the_level_below(rng, shape):
    """Else this file would test nothing."""
    dy, w, large = operands(rng, shape)
    with isa("avx512_bf16"):
        below = gradient(dy, w, large, shape)
    assert (gradient(dy, w, large, shape) != below).any()


@pytest.mark.parametrize("shape", [s for s in SHAPES.values() if np.all(np.array(s[8]) < s[5])])
@pytest.mark.parametrize("order", ("first", "part"))
def test_transposed_with_bias_and_rectifier(rng, shape, order):
    x, w, large = operands(rng, shape)
    bias = rng.standard_normal(large[1], dtype=np.float32)
    want = np.maximum(wanted(x, w, bias, shape), 0)
    if order == "part":  # of a larger array, image by image and channel by channel
        room = np.full([x.shape[0] + 2, x.shape[1] + 2, *x.shape[2:]], np.nan, np.float32)
        room[1:-1, 1:-1] = x
        x = room[1:-1, 1:-1]
    stride, padding, dilation, beyond = (tuple(map(int, each(v))) for v in shape[5:])
    got = _core.conv_forward(
        x, w, bias, stride, padding, dilation, 1, True, beyond, activation=RECTIFIER
    )
    assert got.shape == want.shape and error(got, want) <= 8 * EPS


def added_up(dy, w, stride):
    """Without padding and dilation, for many taps."""
    products = np.einsum("nkyx,kcij->ijncyx", dy.astype(np.float64), w, optimize=True)
    (n, _, *size), (_, filters, *kernel) = dy.shape, w.shape
    reach = [(a - 1) * s + 1 for a, s in zip(size, stride, strict=True)]
    large = np.zeros((n, filters, reach[0] + kernel[0] - 1, reach[1] + kernel[1] - 1))
    for i, j in np.ndindex(*kernel):
        large[..., i : i + reach[0] : stride[0], j : j + reach[1] : stride[1]] += products[i, j]
    return large


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((n, n), (n, n)) for n in (16, 32, 33)]  # as in the first layer of a transformer for images
    + [((2, 70), (2, 65)), ((70, 2), (65, 2)), ((3, 3), (2, 80)), ((3, 3), (80, 2)), ((2, 3), (2, 4))],
)  # fmt: skip
def test_large_kernels_and_steps(rng, kernel, stride, level):
    """More taps or phases than the kernel has room for go another way."""
    dy = rng.standard_normal((8, 192, 5, 7), dtype=np.float32)
    w = rng.standard_normal(
        (192, 3 if kernel[0] == stride[0] > 2 else 96, *kernel), dtype=np.float32
    )
    want = added_up(dy, w, stride)
    with isa(level):
        got = _core.conv_backward_input(dy, w, want.shape, stride, 0, 1, 1)
    assert error(got, want) <= 8 * EPS


@pytest.mark.parametrize("value", [1e-40, 3e38, np.inf, np.nan], ids=str)
def test_one_value_out_of_range(rng, value):
    """The windows that it reaches feel it, and nothing else does."""
    shape = SHAPES["3x3"]
    dy, w, large = operands(rng, shape)
    plain = gradient(dy, w, large, shape)
    dy[1, 2, 6, 7] = value
    got = gradient(dy, w, large, shape)
    rows, columns = slice(11, 14), slice(13, 16)
    with np.errstate(all="ignore"):
        want = wanted(dy, w, None, shape)
    inside = got[1, :, rows, columns]
    if np.isfinite(value):
        assert error(inside, want[1, :, rows, columns]) <= 8 * EPS
    else:
        np.testing.assert_array_equal(np.isnan(inside), np.isnan(want[1, :, rows, columns]))
        assert not np.isfinite(inside).any()
    outside = np.ones(large, bool)
    outside[1, :, rows, columns] = False
    assert error(got[outside], plain[outside]) <= 8 * EPS
