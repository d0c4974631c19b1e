"""Interpolation, grid sampling and shuffles: values, gradients, errors."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn._errors import ShapeError
from tests.cases import rearrange as moving_cases
from tests.cases import resample as cases
from tests.harness import check_gradients, check_op, check_raises
from tests.reference import rearrange, resample

# Weights are rounded to float32, on top of the products and sums: a few times the copy's bar.
WEIGHTED = (1e-6, 1e-6)


def by(rows):
    return pytest.mark.parametrize("case", rows, ids=str)


@by(cases.INTERPOLATE)
def test_interpolate(case):
    nearest = case.kwargs["mode"].startswith("nearest")
    check_op(
        F.interpolate, resample.interpolate_forward, resample.interpolate_backward, case,
        ceilings=(0.0, 5e-7) if nearest else WEIGHTED,
    )  # fmt: skip


@by([c for c in cases.INTERPOLATE if c.full])
def test_interpolate_gradients(case):
    check_gradients(F.interpolate, case)


@by(cases.GRID_SAMPLE)
def test_grid_sample(case):
    # Positions in pixels are rounded in float32, which the gradient of the grid feels most.
    check_op(
        F.grid_sample, resample.grid_sample_forward, resample.grid_sample_backward, case,
        ceilings=(1e-5, 5e-5), naive=False,
    )  # fmt: skip


@by(cases.AFFINE_GRID)
def test_affine_grid(case):
    check_op(
        F.affine_grid, resample.affine_grid_forward, resample.affine_grid_backward, case,
        ceilings=WEIGHTED,
    )  # fmt: skip


@by(moving_cases.PIXEL_SHUFFLE)
def test_pixel_shuffle(case):
    check_op(
        F.pixel_shuffle, rearrange.pixel_shuffle_forward, rearrange.pixel_shuffle_backward, case,
        ceilings="copy",
    )  # fmt: skip


@by(moving_cases.PIXEL_UNSHUFFLE)
def test_pixel_unshuffle(case):
    check_op(
        F.pixel_unshuffle, rearrange.pixel_unshuffle_forward, rearrange.pixel_unshuffle_backward,
        case, ceilings="copy",
    )  # fmt: skip


@by(moving_cases.CHANNEL_SHUFFLE)
def test_channel_shuffle(case):
    check_op(
        F.channel_shuffle, rearrange.channel_shuffle_forward, rearrange.channel_shuffle_backward,
        case, ceilings="copy",
    )  # fmt: skip


X = fastnn.zeros(1, 4, 5, 7)


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({}, ValueError, "either size or scale_factor"),
        ({"size": 3, "scale_factor": 2}, ValueError, "only one of"),
        ({"size": (3, 4, 5)}, ValueError, "size"),
        ({"size": 0}, ValueError, "at least 1"),
        ({"size": -2}, ValueError, "at least 1"),
        ({"size": 2.5}, TypeError, "ints"),
        ({"scale_factor": 0}, ValueError, "positive"),
        ({"scale_factor": -1}, ValueError, "positive"),
        ({"scale_factor": float("nan")}, ValueError, "positive"),
        ({"scale_factor": 0.1}, ValueError, "at least 1"),
        ({"size": 3, "mode": "linear"}, NotImplementedError, "3-D"),
        ({"size": 3, "mode": "cubist"}, NotImplementedError, "cubist"),
        ({"size": 3, "align_corners": True}, ValueError, "align_corners"),
        ({"size": 3, "antialias": True}, ValueError, "antialias"),
        ({"size": 3, "recompute_scale_factor": True}, ValueError, "recompute"),
        ({"size": 2**62, "mode": "bilinear"}, ValueError, "overflow"),
    ],
)
def test_interpolate_refuses(options, error, fragment):
    with pytest.raises(error, match=fragment):
        F.interpolate(X, **options)


def test_constant_images_stay_constant():
    x = fastnn.ones(1, 2, 6, 9)
    for mode in ("bilinear", "bicubic"):
        for options in ({}, {"align_corners": True}, {"antialias": True}):
            y = F.interpolate(x, size=(4, 13), mode=mode, **options)
            assert np.abs(y.numpy() - 1).max() < 1e-6


def test_scale_factor_is_used_as_given():
    x = fastnn.arange(7.0).reshape(1, 1, 7)
    kept = F.interpolate(x, scale_factor=1.7, mode="linear")
    recomputed = F.interpolate(x, scale_factor=1.7, mode="linear", recompute_scale_factor=True)
    assert kept.shape == recomputed.shape
    assert not np.array_equal(kept.numpy(), recomputed.numpy())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 3e9])
def test_grids_far_out_are_harmless(value):
    x = fastnn.arange(12.0).reshape(1, 1, 3, 4).requires_grad_()
    grid = fastnn.full((1, 2, 2, 2), value).requires_grad_()
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            y = F.grid_sample(x, grid, mode, padding, align_corners=False)
            y.sum().backward()


def test_grid_sample_refuses():
    x, grid = fastnn.zeros(2, 3, 4, 5), fastnn.zeros(2, 6, 7, 2)
    sample = F.grid_sample
    check_raises(lambda: sample(x, grid[:1], align_corners=False), ShapeError, "(1, 6, 7, 2)")
    check_raises(lambda: sample(x, grid[..., :1], align_corners=False), ShapeError, "(2, 6, 7, 1)")
    check_raises(lambda: sample(x, grid, "cubic", align_corners=False), ValueError, "cubic")
    check_raises(lambda: sample(x, grid, "nearest", "none", False), ValueError, "padding_mode")
    with pytest.warns(UserWarning, match="align_corners"):
        sample(x, grid)


def test_identity_grid_gives_the_image_back():
    x = fastnn.randn(2, 3, 5, 6)
    theta = fastnn.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    for aligned in (False, True):
        grid = F.affine_grid(theta, (2, 3, 5, 6), align_corners=aligned)
        y = F.grid_sample(x, grid, align_corners=aligned)
        assert np.abs(y.numpy() - x.numpy()).max() < 1e-5


def test_shuffles_refuse():
    check_raises(lambda: F.pixel_shuffle(X, 3), ShapeError, "pixel_shuffle", "9")
    check_raises(lambda: F.pixel_shuffle(X, 0), ValueError, "upscale_factor")
    check_raises(lambda: F.pixel_unshuffle(X, 2), ShapeError, "pixel_unshuffle")
    check_raises(lambda: F.channel_shuffle(X, 3), ShapeError, "channel_shuffle")
