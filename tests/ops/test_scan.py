"""Running sums, products and extremes against NumPy in float64."""

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core

BF16 = np.dtype(ml_dtypes.bfloat16)
SHAPES = [(1,), (9,), (5000,), (7, 5), (3, 40, 50), (2, 3000, 3), (0, 3), (3, 0)]
REFERENCE = {"cumsum": np.cumsum, "cumprod": np.cumprod, "logcumsumexp": np.logaddexp.accumulate}


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", BF16], ids=str)
@pytest.mark.parametrize("name", REFERENCE)
def test_scans_round_once(name, dtype):
    for shape in SHAPES:
        x = np.random.default_rng(0).standard_normal(shape)
        x = (np.exp(x / 50) if name == "cumprod" else x).astype(dtype)
        for axis in range(len(shape)):
            for y in (x, np.asfortranarray(x), x[::-1]):
                expected = REFERENCE[name](y.astype(np.float64), axis=axis)
                got = getattr(_core, name)(y, axis)
                assert got.dtype == y.dtype and got.shape == y.shape
                eps = float(ml_dtypes.finfo(dtype).eps)
                scale = np.abs(expected) if name == "cumprod" else 1e-3 + np.abs(expected)
                slack = 1e-13 * np.max(scale, initial=0.0)
                assert np.all(np.abs(got.astype(np.float64) - expected) <= eps * scale + slack)


def test_integers():
    x = np.random.default_rng(0).integers(0, 5, (30, 70)).astype(np.uint8)
    for axis in (0, 1, -1):
        assert np.array_equal(_core.cumsum(x, axis), np.cumsum(x, axis, dtype=np.int64))
    assert _core.cumsum(x, 0).dtype == np.int64
    assert np.array_equal(_core.cumprod(x[:4], 0), np.cumprod(x[:4], 0, dtype=np.int64))


@pytest.mark.parametrize(("name", "accumulate"), [("cummax", np.maximum), ("cummin", np.minimum)])
@pytest.mark.parametrize("dtype", ["f4", "i8", "u1", BF16], ids=str)
def test_extremes_and_their_last_places(name, accumulate, dtype):
    x = np.random.default_rng(0).integers(0, 6, (20, 300)).astype(dtype)
    if x.dtype.kind == "f":
        x[3, 5] = np.nan
    for axis in (0, 1):
        values, index = getattr(_core, name)(x, axis)
        wide = x.astype(np.float64)
        expected = accumulate.accumulate(wide, axis=axis)
        assert values.dtype == x.dtype
        assert np.array_equal(values.astype(np.float64), expected, equal_nan=True)
        assert np.array_equal(np.take_along_axis(wide, index, axis), expected, equal_nan=True)
        same = (wide == expected) | (np.isnan(wide) & np.isnan(expected))
        places = np.where(same, np.expand_dims(np.arange(x.shape[axis]), 1 - axis), -1)
        assert np.array_equal(index, np.maximum.accumulate(places, axis=axis))


def test_limits():
    inf = np.inf
    x = np.array([-inf, -inf, 0, inf, 1])
    assert np.array_equal(_core.logcumsumexp(x, 0), np.array([-inf, -inf, 0, inf, inf]))
    assert np.isnan(_core.logcumsumexp(np.array([0, np.nan, 1.0]), 0)).tolist() == [
        False,
        True,
        True,
    ]
    assert _core.cumsum(np.array(3.0), 0) == 3 and _core.cumsum(np.array(3.0), -1).shape == ()
    with pytest.raises(IndexError, match="out of range"):
        _core.cumsum(x, 1)
    with pytest.raises(TypeError, match="floating point"):
        _core.logcumsumexp(np.arange(3), 0)


def test_threads_do_not_change_bits():
    x = np.random.default_rng(0).standard_normal((300, 700)).astype(np.float32)
    before = _core.num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append([_core.cumsum(x, 0).tobytes(), _core.cumsum(x, 1).tobytes()])
    finally:
        _core.set_num_threads(before)
    assert results[0] == results[1] == results[2]
