"""Convolutions and transposed ones: every case, layout, level and path."""

import numpy as np
import pytest

import fastnn
from fastnn import _core
from fastnn.ops import conv as ops
from tests.backends import isa, num_threads
from tests.cases import Case, normal_with_weight
from tests.cases import conv as cases
from tests.harness import check_gradients, check_op
from tests.reference import conv as reference

HALVES = ("bfloat16", "float16")
PLAIN = [
    (dims, case)
    for dims, table in ((1, cases.CONV1D), (2, cases.CONV2D), (3, cases.CONV3D))
    for case in table
    if "padding_mode" not in case.kwargs  # the layers pad for these
]
TRANSPOSED = [
    (dims, case)
    for dims, table in (
        (1, cases.CONV_TRANSPOSE1D), (2, cases.CONV_TRANSPOSE2D), (3, cases.CONV_TRANSPOSE3D),
    )
    for case in table
]  # fmt: skip


def name_of(value):
    return f"{value}d" if isinstance(value, int) else str(value)


@pytest.mark.parametrize("dims, case", PLAIN, ids=name_of)
def test_conv(dims, case):
    op = getattr(ops, f"conv{dims}d")
    check_op(op, reference.conv_forward, reference.conv_backward, case, ceilings="conv")
    check_op(op, reference.conv_forward, reference.conv_backward, case, dtypes=HALVES)


@pytest.mark.parametrize("dims, case", TRANSPOSED, ids=name_of)
def test_conv_transpose(dims, case):
    op = getattr(ops, f"conv_transpose{dims}d")
    forward, backward = reference.conv_transpose_forward, reference.conv_transpose_backward
    check_op(op, forward, backward, case, ceilings="conv_transpose")
    check_op(op, forward, backward, case, dtypes=HALVES)


SMALL = [c for d, c in PLAIN if d == 2 and c.id in ("groups", "stride-over-kernel", "same")]
SMALL_TRANSPOSED = [c for d, c in TRANSPOSED if d == 2 and c.id in ("double", "groups")]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_gradients_of_gradients(case):
    check_gradients(ops.conv2d, case)


@pytest.mark.parametrize("case", SMALL_TRANSPOSED, ids=str)
def test_gradients_of_gradients_transposed(case):
    check_gradients(ops.conv_transpose2d, case)


# ---- Shapes that make the drivers take each of their paths ----


def path(id, x, weight, **kwargs):
    return Case(id, (x, weight, (weight[0],)), kwargs, make=normal_with_weight)


PATHS = [
    path("blocks-of-k", (2, 130, 9, 8), (20, 130, 3, 3), padding=1),
    path("many-filters", (2, 20, 9, 8), (150, 20, 3, 3), padding=1),
    path("wide", (1, 4, 5, 150), (5, 4, 3, 3), padding=1),
    path("one-row", (2, 4, 1, 70), (5, 4, 1, 3)),
    path("tiny-images", (9, 17, 2, 2), (19, 17, 3, 3), padding=1),
    path("first-layer", (3, 1, 28, 28), (6, 1, 5, 5), padding=2),
    path("first-layer-colour", (2, 3, 30, 31), (32, 3, 3, 3), padding=1),
    path("first-layer-stride2", (3, 3, 37, 63), (33, 3, 3, 3), padding=1, stride=2),
    path("few-filters-many-channels", (2, 37, 9, 40), (3, 37, 3, 3)),
    path("first-layer-bands", (2, 1, 96, 48), (11, 1, 3, 3), padding=1),
    path("second-layer", (5, 6, 14, 14), (16, 6, 5, 5)),
    path("stem", (1, 3, 40, 38), (64, 3, 7, 7), padding=3, stride=2),
    path("alexnet", (2, 3, 47, 51), (40, 3, 11, 11), padding=2, stride=4),
    path("stride2", (2, 16, 15, 14), (32, 16, 3, 3), padding=1, stride=2),
    path("pointwise", (3, 40, 9, 7), (70, 40, 1, 1)),
    path("pointwise-many-channels", (2, 1030, 5, 6), (131, 1030, 1, 1)),
    path("pointwise-many-channels-stride2", (1, 2080, 7, 9), (260, 1040, 1, 1), stride=2, groups=2),
    path("pointwise-strips-lone-pixel", (1, 130, 7, 7), (137, 130, 1, 1)),
    path("pointwise-strips-of-images", (3, 100, 9, 13), (131, 100, 1, 1)),
    path("pointwise-strips-blocks", (5, 1100, 8, 7), (128, 1100, 1, 1)),
    path("pointwise-strips-stride2-groups", (2, 200, 14, 13), (260, 100, 1, 1), stride=2, groups=2),
    path("pointwise-strips-turned-weight", (4, 70, 11, 9), (90, 70, 1, 1)),
    path("pointwise-strips-turned-weight-groups", (2, 140, 14, 14), (170, 70, 1, 1), groups=2),
    path("pointwise-weight-strips", (3, 110, 12, 13), (90, 110, 1, 1)),
    path("pointwise-weight-strips-runs", (1, 220, 36, 33), (202, 110, 1, 1), stride=2, groups=2),
    path("pointwise-weight-strips-of-dy", (5, 203, 12, 13), (75, 203, 1, 1)),
    path("pointwise-weight-strips-of-dy-groups", (1, 420, 17, 63), (150, 210, 1, 1), groups=2),
    path(
        "pointwise-weight-strips-of-dy-one-segment", (5, 1624, 12, 13), (600, 203, 1, 1), groups=8
    ),
    path("pointwise-rows", (3, 9, 23, 25), (10, 9, 1, 1)),
    path("pointwise-rows-pieces-groups", (2, 26, 30, 41), (32, 13, 1, 1), groups=2),
    path("pointwise-rows-blocks", (1, 230, 23, 23), (40, 230, 1, 1)),
    path("long-sums", (40, 8, 12, 12), (8, 8, 3, 3), padding=1),
    path("depthwise-wide", (2, 20, 17, 50), (20, 1, 3, 3), padding=1, groups=20),
    path("depthwise3-stride2", (2, 9, 16, 71), (9, 1, 3, 3), padding=1, groups=9, stride=2),
    path("depthwise3-many-vectors", (1, 8, 9, 150), (8, 1, 3, 3), padding=1, groups=8),
    path(
        "depthwise3-stride2-many-vectors",
        (1, 8, 11, 200),
        (8, 1, 3, 3),
        padding=1,
        groups=8,
        stride=2,
    ),
    path("depthwise3-padded", (3, 8, 3, 40), (8, 1, 3, 3), padding=4, groups=8),
    path("depthwise5-stride2", (2, 33, 17, 19), (33, 1, 5, 5), padding=2, groups=33, stride=2),
    path("depthwise5-wide", (2, 9, 13, 40), (9, 1, 5, 5), padding=2, groups=9),
    path("depthwise5-stride2-wide", (2, 9, 13, 75), (9, 1, 5, 5), padding=2, groups=9, stride=2),
    path("many-tiles", (2, 36, 15, 14), (35, 36, 3, 3), padding=1),
    path("many-tiles-and-channels", (1, 210, 14, 15), (40, 210, 3, 3)),
    path("many-tiles-and-filters", (1, 32, 14, 14), (400, 32, 3, 3), padding=1),
    path("many-tiles-groups", (3, 64, 13, 16), (70, 32, 3, 3), padding=2, groups=2),
    path("many-tiles-in-a-row", (1, 33, 4, 300), (32, 33, 3, 3), padding=1),
    path("tiles-in-half-a-vector", (2, 33, 13, 16), (40, 33, 3, 3), padding=1),
    path("tiles-in-a-quarter", (4, 33, 13, 8), (40, 33, 3, 3), padding=1),
    path("tiles-in-an-eighth", (8, 33, 11, 4), (40, 33, 3, 3), padding=1),
    path("many-tiles-dilated", (2, 66, 27, 29), (70, 66, 3, 3), padding=2, dilation=2),
    path(
        "many-tiles-dilated-columns",
        (1, 64, 14, 37),
        (80, 64, 3, 3),
        padding=(0, 5),
        dilation=(1, 3),
    ),
    path(
        "many-tiles-dilated-rows",
        (2, 96, 17, 22),
        (120, 48, 3, 3),
        padding=(3, 1),
        dilation=(3, 1),
        groups=2,
    ),
    path(
        "many-tiles-dilated-uneven",
        (3, 128, 13, 12),
        (180, 128, 3, 3),
        padding=(4, 1),
        dilation=(4, 2),
    ),
    path("many-tiles-2x2", (2, 40, 21, 20), (40, 40, 2, 2)),
    path("many-tiles-5x5", (2, 40, 15, 14), (35, 40, 5, 5), padding=2),
    path("many-tiles-5x5-few-channels", (3, 16, 17, 15), (24, 16, 5, 5), padding=1),
    path("many-tiles-7x7-groups", (2, 48, 16, 19), (40, 24, 7, 7), padding=3, groups=2),
    path("many-tiles-9x8", (2, 26, 19, 28), (33, 26, 9, 8), padding=(6, 1)),
    path("many-tiles-5x3-dilated", (1, 64, 31, 29), (66, 64, 5, 3), padding=2, dilation=2),
    path("many-tiles-4x4-stride2", (3, 40, 33, 31), (50, 40, 4, 4), padding=1, stride=2),
    path("many-tiles-5x5-stride2", (2, 40, 30, 33), (70, 40, 5, 5), padding=2, stride=2),
    path("many-tiles-3x5-stride2", (3, 40, 29, 31), (40, 40, 3, 5), padding=(1, 3), stride=2),
    path("many-tiles-6x4-rows-apart", (2, 40, 29, 15), (40, 40, 6, 4), stride=(2, 1)),
    path("many-tiles-3x9-columns-apart", (2, 33, 15, 41), (40, 33, 3, 9), padding=4, stride=(1, 2)),
    path("groups-of-4", (2, 32, 10, 9), (32, 4, 3, 3), padding=1, groups=8),
    path("depthwise-7", (3, 9, 7, 7), (9, 1, 3, 3), padding=1, groups=9),
    path("depthwise-7-batch", (6, 17, 7, 7), (17, 1, 3, 3), padding=1, groups=17),
    path("depthwise-14", (2, 9, 14, 14), (9, 1, 3, 3), padding=1, groups=9),
    path("depthwise-15", (5, 9, 6, 15), (9, 1, 3, 3), padding=1, groups=9),
    path("depthwise-28", (2, 9, 28, 28), (9, 1, 3, 3), padding=1, groups=9),
    path("depthwise-17-padded", (2, 9, 5, 17), (9, 1, 3, 3), padding=(1, 4), groups=9),
    path("depthwise-rows-in-pairs", (2, 8, 6, 5), (8, 1, 3, 3), padding=1, groups=8),
    path("depthwise-no-rows-outside", (2, 8, 5, 6), (8, 1, 3, 3), padding=(0, 1), groups=8),
    path("depthwise-14-stride2", (3, 8, 14, 14), (8, 1, 3, 3), padding=1, groups=8, stride=2),
    path("depthwise-blocks-of-rows", (2, 8, 37, 35), (8, 1, 3, 3), padding=1, groups=8),
    path("window-of-the-image", (5, 17, 5, 4), (19, 17, 5, 4), stride=3),
    path("window-of-one-image", (1, 40, 4, 4), (3, 40, 4, 4)),
    path("one-pixel-each", (6, 33, 1, 1), (20, 33, 1, 1)),
]


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("case", PATHS, ids=str)
def test_paths(case, level):
    with isa(level):
        check_op(ops.conv2d, reference.conv_forward, reference.conv_backward, case,
                 ceilings="conv", dtypes=("float32",))  # fmt: skip


# Three axes as two: planes are images, taps along the first axis are channels.
PATHS_3D = [
    path("3d", (2, 9, 4, 5, 6), (33, 9, 3, 3, 3), padding=1),
    path("3d-stride-dilation", (1, 17, 7, 8, 9), (20, 17, 3, 2, 3), stride=2, padding=2, dilation=(2, 1, 2)),
    path("3d-groups", (2, 16, 3, 6, 5), (48, 8, 2, 3, 3), groups=2, padding=(0, 1, 2)),
    path("3d-pointwise", (2, 110, 4, 9, 9), (90, 110, 1, 1, 1)),
    path("3d-pointwise-stride2", (2, 110, 5, 19, 17), (90, 110, 1, 1, 1), stride=2),
    path("3d-blocks-of-channels", (1, 90, 3, 4, 5), (40, 90, 3, 3, 3), padding=1),
    path("3d-many-tiles", (2, 33, 5, 11, 12), (40, 33, 3, 3, 3), padding=1),
    path("3d-many-tiles-few-channels", (1, 9, 6, 10, 9), (17, 9, 3, 3, 3), padding=1),
    path("3d-many-tiles-and-channels", (1, 135, 4, 9, 9), (24, 135, 3, 3, 3), padding=(1, 2, 0)),
    path("3d-many-tiles-in-a-row", (1, 32, 3, 3, 290), (20, 32, 3, 3, 3), padding=(2, 1, 1)),
    path("3d-many-tiles-groups", (2, 48, 4, 13, 11), (40, 24, 2, 3, 3), padding=2, groups=2),
    path("3d-many-tiles-deep", (1, 32, 45, 7, 6), (33, 32, 3, 3, 3), padding=(0, 1, 1)),
    path("3d-many-tiles-dilated", (1, 64, 3, 21, 18), (96, 64, 3, 3, 3), padding=2, dilation=(1, 2, 2)),
    path("3d-many-tiles-apart", (1, 32, 7, 11, 12), (40, 32, 3, 3, 3), padding=1, dilation=(2, 1, 1)),
    path("3d-many-tiles-flat-taps", (2, 32, 5, 9, 11), (40, 32, 1, 3, 3), padding=(1, 1, 1), stride=(2, 1, 1)),
    path("3d-many-tiles-5x5", (1, 16, 4, 13, 14), (20, 16, 3, 5, 5), padding=(1, 2, 2)),
    path("3d-many-tiles-4x4-stride2", (1, 24, 5, 27, 29), (33, 24, 2, 4, 4), padding=1, stride=(1, 2, 2)),
    path("3d-many-tiles-stride", (1, 32, 7, 12, 13), (40, 32, 3, 3, 3), padding=1, stride=(2, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("case", PATHS_3D, ids=str)
def test_paths_of_three_axes(case, level):
    with isa(level):
        check_op(ops.conv3d, reference.conv_forward, reference.conv_backward, case,
                 ceilings="conv", dtypes=("float32", "bfloat16"))  # fmt: skip


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("case", PATHS, ids=str)
def test_channels_last(case, level):
    """The same numbers, nearly; the memory format of the input; the same bits on all threads."""
    x, w, b = (a.astype(np.float32) for a in case.inputs())
    options = [case.kwargs.get(n, d) for n, d in
               (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))]  # fmt: skip
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    with isa(level):
        want = _core.conv_forward(x, w, b, *options)
        dy = np.random.default_rng(3).standard_normal(want.shape).astype(np.float32)
        dy_last = np.ascontiguousarray(dy.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        calls = [
            (lambda: _core.conv_forward(last, w, b, *options), want),
            (lambda: _core.conv_backward_input(dy_last, w, x.shape, *options),
             _core.conv_backward_input(dy, w, x.shape, *options)),
            (lambda: _core.conv_backward_weight(dy_last, last, w.shape, *options),
             _core.conv_backward_weight(dy, x, w.shape, *options)),
        ]  # fmt: skip
        for call, _ in calls[:2]:
            channels = np.moveaxis(call(), 1, -1)
            lone_pixels = dy.shape[2:] == (1, 1)  # of either format
            assert channels.flags.c_contiguous or x.shape[1] == 1 or lone_pixels
        for call, expected in calls:
            got = call()
            np.testing.assert_allclose(got, expected, rtol=0, atol=4e-6 * np.abs(expected).max())
            for count in (1, 2, 3):
                with num_threads(count):
                    assert np.array_equal(call(), got)


# Rows in fours and the rest, whole vectors and the rest, blocks of channels, images in one go.
SUMS = [
    (3, 7, 1, 1),
    (40, 5, 3, 5),
    (2, 38, 7, 7),
    (3, 37, 96, 80),
    (1, 3, 400, 401),
    (0, 4, 2, 2),
    (2, 3, 0, 4),
]


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", SUMS, ids=str)
def test_bias_gradient(shape, dtype, level):
    dy = np.random.default_rng(5).standard_normal(shape).astype(dtype)
    wide = np.concatenate([dy, dy[:, :1]], 1)  # channels of larger images
    want = dy.sum((0, 2, 3), dtype=np.float64)
    most = np.abs(dy).sum((0, 2, 3), dtype=np.float64).max(initial=0)
    sums = np.finfo("float64" if dtype == "float64" else "float32")
    with isa(level):
        got = _core.conv_backward_bias(dy, 2)
        assert got.dtype == dy.dtype
        rounding = 2 * np.finfo(dtype).eps
        np.testing.assert_allclose(got, want, rtol=rounding, atol=2 * sums.eps * most)
        assert np.array_equal(_core.conv_backward_bias(wide[:, :-1], 2), got)
        for count in (1, 2, 3):
            with num_threads(count):
                assert np.array_equal(_core.conv_backward_bias(dy, 2), got)


@pytest.mark.parametrize("level", _core.isa_levels())
def test_bias_gradient_of_equal_numbers(level):
    """All sums round to the same side: long ones would show it."""
    dy = np.full((1, 3, 400, 401), 0.1, np.float32)
    want = dy.sum((0, 2, 3), dtype=np.float64)
    with isa(level):
        np.testing.assert_allclose(_core.conv_backward_bias(dy, 2), want, rtol=1e-5)


ACTIVATED = (
    "tiny-images", "first-layer", "first-layer-colour", "pointwise-many-channels", "long-sums",
    "pointwise-strips-lone-pixel", "pointwise-strips-of-images", "window-of-the-image",
)  # fmt: skip


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
@pytest.mark.parametrize("case", [c for c in PATHS if c.id in ACTIVATED], ids=str)
def test_fused_activation(case, activation, level):
    x, w, b = (a.astype(np.float32) for a in case.inputs())
    options = [case.kwargs.get(n, d) for n, d in
               (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))]  # fmt: skip
    with isa(level):
        y = _core.conv_forward(x, w, b, *options)
        got = _core.conv_forward(x, w, b, *options, activation=activation)
    y = y.astype(np.float64)
    erf = np.vectorize(__import__("math").erf)
    want = {
        "relu": lambda: np.maximum(y, 0), "tanh": lambda: np.tanh(y),
        "sigmoid": lambda: 1 / (1 + np.exp(-y)), "gelu": lambda: 0.5 * y * (1 + erf(y / 2**0.5)),
    }[activation]()  # fmt: skip
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("level", [n for n in _core.isa_levels() if n != "reference"])
def test_long_sums_of_one_tap_are_cut(level):
    """1024 products of one sign, summed in one run, would be off by 1.8e-6."""
    rng = np.random.default_rng(0)
    for channels, filters in ((256, 1024), (1024, 256)):
        w = rng.uniform(0.5, 1.5, (filters, channels, 1, 1)).astype(np.float32)
        x, dy = (
            rng.uniform(0.5, 1.5, (4, n, 10, 10)).astype(np.float32) for n in (channels, filters)
        )
        t = fastnn.tensor(x).requires_grad_(True)
        with isa(level):
            y = ops.conv2d(t, fastnn.tensor(w))
            y.backward(fastnn.tensor(dy))
        w = w[:, :, 0, 0].astype(np.float64)
        for got, want in (
            (y.detach(), np.einsum("oc,nchw->nohw", w, x)),
            (t.grad, np.einsum("oc,nohw->nchw", w, dy)),
        ):
            assert np.abs(got.numpy() - want).max() < 1.5e-6 * want.max()


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("case", [*PATHS, *PATHS_3D], ids=str)
def test_nan_and_infinity_keep_their_footprint(case, level):
    x, w, _ = (a.astype(np.float32) for a in case.inputs())
    plane = (x.shape[2] // 2,) * (x.ndim - 4)
    x[0, 0, *plane, 0, x.shape[-1] // 3] = np.nan
    x[-1, 0, *plane, x.shape[-2] // 2, 0] = np.inf
    x[0, -1, *plane, -1, x.shape[-1] // 2] = np.inf
    kwargs = dict(case.kwargs)
    with np.errstate(invalid="ignore"):
        want = reference.conv_forward(x, w, None, **kwargs)
        dy = np.ones_like(want)
        want_dw = reference.conv_backward(dy, x, w, None, **kwargs)[1]
    options = [kwargs.get(n, d) for n, d in
               (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))]  # fmt: skip
    with isa(level):
        got = _core.conv_forward(x, w, None, *options)
        got_dw = _core.conv_backward_weight(dy, x, w.shape, *options)
    for a, b in ((got, want), (got_dw, want_dw)):
        assert (np.isnan(a) == np.isnan(b)).all() and (np.isinf(a) == np.isinf(b)).all()


@pytest.mark.parametrize("level", _core.isa_levels())
def test_no_channels_or_no_batch(level):
    with isa(level):
        y = _core.conv_forward(
            np.zeros((2, 0, 4, 4)), np.zeros((3, 0, 3, 3)), np.arange(3.0), 1, 0, 1, 1
        )
        assert y.shape == (2, 3, 2, 2) and (y == np.arange(3.0).reshape(3, 1, 1)).all()
        dw = _core.conv_backward_weight(
            np.zeros((0, 3, 2, 2)), np.zeros((0, 5, 4, 4)), (3, 5, 3, 3), 1, 0, 1, 1
        )
        assert dw.shape == (3, 5, 3, 3) and not dw.any()
        nothing = np.zeros((1, 0, 16, 16), np.float32)
        assert _core.conv_forward(nothing, nothing[:0, :, :1, :1], None, 1, 0, 1, 1).size == 0
        dw = _core.conv_backward_weight(nothing, nothing, (0, 0, 1, 1), 1, 0, 1, 1)
        assert dw.shape == (0, 0, 1, 1)


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3), (1,), (0,)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_broadcast_arrays(dtype, axes, level):
    """Strides of 0 along some axes give what a copy gives, for 1x1 kernels and others."""
    rng = np.random.default_rng(7)

    def broadcast(*shape):
        few = [1 if i in axes else n for i, n in enumerate(shape)]
        return np.broadcast_to(rng.standard_normal(few).astype(dtype), shape)

    with isa(level):
        for x, w in (
            (broadcast(2, 3, 24, 20), rng.standard_normal((6, 3, 1, 1)).astype(dtype)),
            (rng.standard_normal((2, 16, 10, 10)).astype(dtype), broadcast(64, 16, 3, 3)),
            (broadcast(2, 3, 5, 6, 4), broadcast(5, 3, 2, 2, 2)),
            (rng.standard_normal((1, 130, 7, 7)).astype(dtype), broadcast(137, 130, 1, 1)),
        ):
            got = _core.conv_forward(x, w, None, 1, 0, 1, 1)
            want = _core.conv_forward(x.copy(), w.copy(), None, 1, 0, 1, 1)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 8, 0, 5), (1, 8, 5, 0), (1, 8, 0, 0), (0, 8, 5, 5)], ids=str)
def test_depthwise_without_pixels(shape, stride, level):
    x, w = np.zeros(shape, np.float32), np.ones((8, 1, 3, 3), np.float32)
    options = (stride, 2, 1, 8)
    with isa(level):
        y = _core.conv_forward(x, w, np.ones(8, np.float32), *options)
        assert (y == 1).all()
        assert _core.conv_backward_input(y, w, shape, *options).shape == shape
        assert not _core.conv_backward_weight(y, x, w.shape, *options).any()


@pytest.mark.parametrize("level", _core.isa_levels())
def test_small_planes_in_parts(level):
    """An image of 7x7 whose result is long: padding is no part of the square."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((1, 8, 7, 7)).astype(np.float32)
    w = rng.standard_normal((8, 1, 3, 3)).astype(np.float32)
    b = np.arange(1, 9, dtype=np.float32)
    with isa(level):
        long = _core.conv_forward(x, w, b, 1, [1, 793, 1, 1], 1, 8)
        square = _core.conv_forward(x, w, b, 1, 1, 1, 8)
    assert long.shape == (1, 8, 799, 7) and (long[:, :, 8:] == b[:, None, None]).all()
    np.testing.assert_allclose(long[:, :, :7], square, rtol=0, atol=1e-5)


def test_gradient_of_pixels_that_no_tap_reaches():
    """A stride of thousands has thousands of residues, most of them empty."""
    x = fastnn.ones(1, 1, 1, 5000, requires_grad=True)
    fastnn.ops.conv.conv2d(x, fastnn.ones(1, 1, 1, 2), stride=(1, 2000)).sum().backward()
    assert x.grad.sum().item() == 6 and x.grad[0, 0, 0, 2001].item() == 1
