"""Pooling kernels on arrays, against the float64 references."""

import numpy as np
import pytest

from fastnn import _core
from fastnn._errors import DTypeError, ShapeError
from tests.cases.pool import (
    ADAPTIVE1D,
    ADAPTIVE2D,
    ADAPTIVE3D,
    AVG1D,
    AVG2D,
    AVG3D,
    MAX1D,
    MAX2D,
    MAX3D,
    adaptive,
    distinct,
)
from tests.harness import check_op, check_raises
from tests.reference import pool as reference

HALF = ("float32", "float64", "bfloat16", "float16")


def _max_arguments(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    return x.ndim - 2, kernel_size, stride, padding, dilation, ceil_mode


def max_forward(x, **window):
    y, _places = _core.max_pool(x, *_max_arguments(x, **window), "window")
    again, positions = _core.max_pool(x, *_max_arguments(x, **window), "plane")
    plain = _core.max_pool(x, *_max_arguments(x, **window), "none")
    assert y.tobytes() == again.tobytes() == plain.tobytes()
    return y, positions


def max_backward(dy, x, **window):
    _y, places = _core.max_pool(x, *_max_arguments(x, **window), "window")
    return (_core.max_pool_backward(dy, places, x.shape, *_max_arguments(x, **window)),)


def scatter_backward(dy, x, **window):
    _y, positions = _core.max_pool(x, *_max_arguments(x, **window), "plane")
    return (_core.max_pool_scatter(dy, positions, x.shape, x.ndim - 2),)


def reference_max(x, **window):
    return reference.max_pool_forward(x, return_indices=True, **window)


@pytest.mark.parametrize("backward", [max_backward, scatter_backward])
@pytest.mark.parametrize("case", [*MAX1D, *MAX2D, *MAX3D], ids=str)
def test_max_pool(case, backward):
    check_op(
        (max_forward, backward), reference_max, reference.max_pool_backward, case,
        ceilings="max_pool", dtypes=HALF,
    )  # fmt: skip


def adaptive_max_forward(x, output_size):
    return _core.adaptive_max_pool(x, x.ndim - 2, output_size, "plane")


def adaptive_max_backward(dy, x, output_size):
    _, positions = adaptive_max_forward(x, output_size)
    return (_core.max_pool_scatter(dy, positions, x.shape, x.ndim - 2),)


def reference_adaptive_max(x, output_size):
    return reference.adaptive_max_pool_forward(x, output_size, return_indices=True)


ADAPTIVE = [*ADAPTIVE1D, *ADAPTIVE2D, *ADAPTIVE3D]


@pytest.mark.parametrize("case", adaptive(ADAPTIVE, distinct), ids=str)
def test_adaptive_max_pool(case):
    check_op(
        (adaptive_max_forward, adaptive_max_backward), reference_adaptive_max,
        reference.adaptive_max_pool_backward, case, ceilings="max_pool", dtypes=HALF,
    )  # fmt: skip


def _avg_arguments(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None,
):  # fmt: skip
    n = x.ndim - 2
    return n, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override


def avg_forward(x, **window):
    return _core.avg_pool(x, *_avg_arguments(x, **window))


def avg_backward(dy, x, **window):
    return (_core.avg_pool_backward(dy, x.shape, *_avg_arguments(x, **window)),)


@pytest.mark.parametrize("case", [*AVG1D, *AVG2D, *AVG3D], ids=str)
def test_avg_pool(case):
    check_op(
        (avg_forward, avg_backward), reference.avg_pool_forward, reference.avg_pool_backward,
        case, ceilings="avg_pool", dtypes=HALF,
    )  # fmt: skip


def adaptive_avg_forward(x, output_size):
    return _core.adaptive_avg_pool(x, x.ndim - 2, output_size)


def adaptive_avg_backward(dy, x, output_size):
    return (_core.adaptive_avg_pool_backward(dy, x.shape, x.ndim - 2),)


@pytest.mark.parametrize("case", adaptive(ADAPTIVE), ids=str)
def test_adaptive_avg_pool(case):
    check_op(
        (adaptive_avg_forward, adaptive_avg_backward), reference.adaptive_avg_pool_forward,
        reference.adaptive_avg_pool_backward, case, ceilings="avg_pool", dtypes=HALF,
    )  # fmt: skip


IMAGE = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("shape", "window", "error", "fragments"),
    [
        ((2, 3, 8, 8), {"kernel_size": 0}, ValueError, ("kernel_size", "0")),
        ((2, 3, 8, 8), {"kernel_size": 2, "stride": 0}, ValueError, ("stride", "0")),
        ((2, 3, 8, 8), {"kernel_size": 2, "padding": -1}, ValueError, ("padding", "-1")),
        ((2, 3, 8, 8), {"kernel_size": 2, "padding": 2}, ValueError, ("padding=2",)),
        ((2, 3, 8, 8), {"kernel_size": 2, "dilation": 0}, ValueError, ("dilation", "0")),
        ((2, 3, 8, 8), {"kernel_size": 9}, ShapeError, ("too small",)),
        ((2, 3, 8, 8), {"kernel_size": (2, 2, 2)}, ValueError, ("kernel_size", "3")),
        ((2, 3, 8, 8), {"kernel_size": 2**40}, ValueError, ("kernel_size",)),
        ((2, 3, 8, 8), {"kernel_size": 2**70}, ValueError, ("kernel_size", "64 bits")),
        ((8, 8), {"kernel_size": 2}, ShapeError, ("dimensions", "(8, 8)")),
        ((2, 0, 8, 8), {"kernel_size": 2}, ShapeError, ("empty",)),
        (
            (2, 3, 1, 1),
            {"kernel_size": 2, "padding": 2, "dilation": 4},
            ShapeError,
            ("only padding",),
        ),
    ],
)
def test_max_pool_refuses(shape, window, error, fragments):
    x = np.zeros(shape, np.float32)
    call = _max_arguments(IMAGE, **window)
    check_raises(lambda: _core.max_pool(x, *call, "window"), error, "max_pool", *fragments)


def test_wrong_dtype_is_refused():
    x = np.zeros((1, 1, 4, 4), np.int32)
    check_raises(lambda: _core.avg_pool(x, 2, 2, None, 0, False, True, None), DTypeError, "int32")


def test_gradient_of_another_shape_is_refused():
    call = _max_arguments(IMAGE, kernel_size=2)
    _, places = _core.max_pool(IMAGE, *call, "window")
    for shape in [(2, 3, 5, 4), (2, 3, 4), (1, 3, 4, 4)]:
        dy = np.zeros(shape, np.float32)
        check_raises(
            lambda dy=dy: _core.max_pool_backward(dy, places, IMAGE.shape, *call), ShapeError
        )
    dy = np.zeros((2, 3, 4, 4), np.float32)
    check_raises(lambda: _core.max_pool_backward(dy, places, (2, 3, 9, 11), *call), ShapeError)


@pytest.mark.parametrize("bad", [-1, 64, 2**62])
def test_positions_outside_of_the_plane_are_refused(bad):
    positions = np.zeros((1, 1, 2, 2), np.int64)
    positions[0, 0, 1, 1] = bad
    dy = np.zeros((1, 1, 2, 2), np.float32)
    text = str(bad)
    check_raises(lambda: _core.max_pool_scatter(dy, positions, (1, 1, 8, 8), 2), IndexError, text)
    check_raises(lambda: _core.max_unpool(dy, positions, 2, (8, 8)), IndexError, text)


def test_nan_wins_and_the_last_of_several():
    x = np.array([1.0, np.nan, 7.0, np.nan, 3.0, -np.inf, -np.inf, -np.inf], np.float32)
    for isa in _core.isa_levels():
        before = _core.isa()
        _core.set_isa(isa)
        y, positions = _core.max_pool(x.reshape(1, 1, 8), 1, 4, 4, 0, 1, False, "plane")
        _core.set_isa(before)
        assert np.isnan(y[0, 0, 0]) and positions[0, 0].tolist() == [3, 4]


@pytest.mark.parametrize("padding", [0, 1])
def test_all_infinite_windows_point_into_the_image(padding):
    x = np.full((1, 1, 5, 37), -np.inf, np.float32)
    y, positions = _core.max_pool(x, 2, 3, 2, padding, 1, False, "plane")
    want = reference_max(x, kernel_size=3, stride=2, padding=padding)[1]
    assert np.isneginf(y).all()
    assert np.array_equal(positions, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [2, 4, 6, 8, 16, 32])
def test_narrow_planes_share_vectors(width, dtype):
    rng = np.random.default_rng(width)
    x = rng.integers(-3, 3, (3, 7, 6, width)).astype(dtype)
    x[rng.random(x.shape) < 0.2] = -np.inf
    want, positions = reference_max(x, kernel_size=2)
    y, found = max_forward(x, kernel_size=2)
    assert np.array_equal(y, want)
    assert np.array_equal(found, positions)
    dy = rng.standard_normal(y.shape).astype(dtype)
    assert np.array_equal(
        max_backward(dy, x, kernel_size=2), scatter_backward(dy, x, kernel_size=2)
    )


def test_memory_format_is_kept():
    x = np.ascontiguousarray(np.ones((2, 6, 7, 5), np.float32)).transpose(0, 3, 1, 2)
    y, places = _core.max_pool(x, 2, 2, None, 0, 1, False, "window")
    for a in (y, places, _core.avg_pool(x, 2, 3, 1, 1, False, True, None)):
        assert a.transpose(0, 2, 3, 1).flags.c_contiguous


def test_unpool_puts_maxima_back():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 7, 9)).astype(np.float32)
    y, positions = _core.max_pool(x, 2, 2, 2, 0, 1, False, "plane")
    back = _core.max_unpool(y, positions, 2, (7, 9))
    want = reference.max_unpool_forward(y, positions, 2, output_size=(7, 9))
    assert np.array_equal(back, want)
    dy = rng.standard_normal(back.shape).astype(np.float32)
    assert np.array_equal(
        _core.max_unpool_backward(dy, positions, 2),
        reference.max_unpool_backward(dy, y, positions, 2, output_size=(7, 9))[0],
    )


def test_fractional_windows_cover_their_maxima():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 17, 11)).astype(np.float32)
    samples = rng.random((2, 3, 2), np.float32)
    y, positions = _core.fractional_max_pool(x, samples, 2, (3, 2), (7, 5))
    flat = x.reshape(2, 3, -1)
    assert np.array_equal(
        np.take_along_axis(flat, positions.reshape(2, 3, -1), -1).reshape(y.shape), y
    )
    corner = x[:, :, -3:, -2:].max((2, 3))
    assert np.array_equal(y[:, :, -1, -1], corner)
    check_raises(lambda: _core.fractional_max_pool(x, samples + 1, 2, 3, 5), ValueError, "[0, 1)")
    check_raises(lambda: _core.fractional_max_pool(x, samples, 2, 3, 17), ValueError, "too large")
