"""Softmax and log-softmax of the extension module against float64."""

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(d) for d in ("f4", "f8", BF16, "f2")]
SHAPES = [
    (1,),
    (5,),
    (1000,),
    (7, 10),
    (64, 33),
    (3, 40, 50),
    (2, 3, 129),
    (4, 5000),
    (5000, 4),
    (2, 130, 3, 7),
]


@pytest.fixture(params=[v for v in _core.isa_levels() if v in ("baseline", "avx2", "avx512")])
def level(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def reference(x, axis, log):
    shifted = x - x.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    return shifted - np.log(total) if log else np.exp(shifted) / total


def layouts(x):
    yield x
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=-1)[..., ::2]
    yield x[::-1]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward(shape, dtype, log, level):
    r = np.random.default_rng(0)
    forward = _core.log_softmax if log else _core.softmax
    backward = _core.log_softmax_backward if log else _core.softmax_backward
    eps = float(ml_dtypes.finfo(dtype).eps)
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    steps = np.finfo(np.float64 if dtype == np.float64 else np.float32).eps
    for x in layouts((r.standard_normal(shape) * 3).astype(dtype)):
        g = r.standard_normal(shape).astype(dtype)
        before = x.copy()
        for axis in range(len(shape)):
            expected = reference(x.astype(np.longdouble), axis, log)
            y = forward(x, axis)
            assert y.dtype == dtype and y.shape == x.shape
            # exp of a difference of up to 20 carries its rounding, so up to 20 half ulps.
            scale = np.max(np.abs(x.astype(np.float64))) + 4
            bound = (
                np.abs(expected) * (eps / 2 + (0 if log else scale * steps)) + log * scale * steps
            )
            assert np.all(np.abs(y.astype(np.longdouble) - expected) <= bound + tiny)

            g64, y64 = g.astype(np.longdouble), y.astype(np.longdouble)
            if log:
                exact = g64 - np.exp(y64) * g64.sum(axis=axis, keepdims=True)
            else:
                exact = y64 * (g64 - (g64 * y64).sum(axis=axis, keepdims=True))
            size = np.abs(g64) + np.abs(g64 if log else g64 * y64).sum(axis=axis, keepdims=True)
            size = size * (1 if log else y64)
            for grad in (g, np.asfortranarray(g)):
                dx = backward(grad, y, axis)
                assert np.all(
                    np.abs(dx.astype(np.longdouble) - exact)
                    <= np.abs(exact) * eps / 2 + 8 * steps * size + tiny
                )
        assert x.tobytes() == before.tobytes()


def test_rows_add_up_to_one(level):
    x = np.random.default_rng(0).standard_normal((50, 1000)).astype(np.float32)
    for axis in (0, 1):
        assert np.abs(_core.softmax(x, axis).astype(np.float64).sum(axis) - 1).max() < 1e-6


def test_large_logits_are_finite(level):
    for axis, x in (
        (1, np.array([[1e30, -1e30, 1e30]], "f4")),
        (0, np.array([[1e30], [-1e30], [1e30]], "f4")),
    ):
        assert np.array_equal(_core.softmax(x, axis).ravel(), np.array([0.5, 0, 0.5], "f4"))
        assert np.isfinite(_core.log_softmax(x, axis)).all()


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_spoil_their_line_only(log, bad, level):
    f = _core.log_softmax if log else _core.softmax
    for at in (0, 3, 15, 16, 40):
        x = np.zeros((3, 41), np.float32)
        x[1, at] = bad
        x[2, :] = -np.inf
        for y in (f(x, 1), f(np.ascontiguousarray(x.T), 0).T):
            assert np.isnan(y[1]).any() and np.isnan(y[2]).all() and np.isfinite(y[0]).all()
            if np.isnan(bad):
                assert np.isnan(y[1]).all()
    x = np.array([[-np.inf, 0.0, 0.0]], np.float32)
    expected = [-np.inf, -np.log(2), -np.log(2)] if log else [0, 0.5, 0.5]
    assert np.allclose(f(x, 1), [expected])


def test_in_place():
    x = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    for f in (_core.softmax, _core.log_softmax):
        for axis in (0, 1):
            y = x.copy()
            assert f(y, axis, out=y) is y
            assert np.array_equal(y, f(x, axis))
            g = x.copy()
            back = _core.softmax_backward(g, y, axis)
            assert np.array_equal(_core.softmax_backward(g, y, axis, out=g), back)


def test_threads_and_alignment_do_not_change_bits():
    x = np.random.default_rng(0).standard_normal((300, 211)).astype(np.float32)
    before = _core.num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append([f(y, a).tobytes() for f in (_core.softmax, _core.log_softmax)
                            for y in (x, x.astype(BF16)) for a in (0, 1)])  # fmt: skip
    finally:
        _core.set_num_threads(before)
    assert results[0] == results[1] == results[2]
    room = np.zeros(x.size + 20, np.float32)
    for offset in range(17):
        view = room[offset : offset + x.size].reshape(x.shape)
        view[:] = x
        assert _core.softmax(view, 1).tobytes() == results[0][0 + 1]
        assert _core.softmax(view, 0).tobytes() == results[0][0]


def test_empty_and_refusals():
    assert _core.softmax(np.zeros((0, 3), np.float32), 1).shape == (0, 3)
    assert _core.softmax(np.zeros((3, 0), np.float32), 1).shape == (3, 0)
    assert _core.softmax(np.array(3.0), 0) == 1 and _core.softmax(np.array(3.0), -1).shape == ()
    x = np.ones((2, 3), np.float32)
    with pytest.raises(IndexError, match="out of range"):
        _core.softmax(x, 2)
    with pytest.raises(TypeError, match="floating point"):
        _core.softmax(np.ones((2, 3), int), 1)
    with pytest.raises(ValueError, match="one shape"):
        _core.softmax_backward(x, x[:1], 1)
    with pytest.raises(TypeError, match="one dtype"):
        _core.softmax_backward(x, x.astype(np.float64), 1)
    with pytest.raises(ValueError, match="overlaps"):
        room = np.ones((3, 3), np.float32)
        _core.softmax(room[:2], 1, out=room[1:])
    with pytest.raises(TypeError):
        _core.softmax(x, 1.5)
