"""Reductions of the extension module against NumPy in float64."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core

BF16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(d) for d in ("f4", "f8", BF16, "f2")]


@pytest.fixture(params=[v for v in _core.isa_levels() if v in ("baseline", "avx2", "avx512")])
def level(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def logsumexp(x, axis, keepdims):
    top = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


REDUCTIONS = {
    "sum": np.sum, "mean": np.mean, "prod": np.prod, "logsumexp": logsumexp,
    "norm": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    "var": lambda x, axis, keepdims: np.var(x, axis=axis, keepdims=keepdims, ddof=1),
    "std": lambda x, axis, keepdims: np.std(x, axis=axis, keepdims=keepdims, ddof=1),
}  # fmt: skip
EXACT = {
    "max": np.max, "min": np.min, "any": np.any, "all": np.all,
    "count_nonzero": np.count_nonzero,
}  # fmt: skip


def close(name, got, x, axes, keep=False):
    """Within the rounding of the result, and of partial results that take at most 128 steps.

    Every step errs by half an ulp at most, 0.29 ulp in the mean square, so n steps of a product
    err by sqrt(n) with 3.5 standard deviations.
    """
    expected = REDUCTIONS[name](x, axis=axes, keepdims=keep)
    assert got.shape == np.shape(expected)
    scale = np.abs(expected)
    if name in ("sum", "mean"):
        scale = REDUCTIONS[name](np.abs(x), axis=axes, keepdims=keep)
    if name == "logsumexp":
        scale = 1 + np.abs(expected)
    narrow = float(ml_dtypes.finfo(got.dtype).eps)
    steps = np.finfo(np.float64 if got.dtype == np.float64 else np.float32).eps
    count = x.size / max(1, expected.size)
    factor = {"prod": np.sqrt(count), "var": np.sqrt(128)}.get(name, 2)
    error = np.abs(got.astype(np.longdouble) - expected)
    assert np.all(error <= narrow * np.abs(expected) + factor * steps * scale)


def every_axes(ndim):
    for n in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), n)


SHAPES = [
    (17,),
    (5, 7),
    (300, 3),
    (3, 300),
    (70, 600),
    (2, 3, 130),
    (4, 33, 5, 6),
    (1, 9, 1),
    (9000,),
]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_every_set_of_axes(name, shape, dtype, level):
    x = np.random.default_rng(3).standard_normal(shape)
    if name == "prod":
        x = np.exp(x / 100)
    x = x.astype(dtype)
    wide = x.astype(np.longdouble)
    for axes in every_axes(len(shape)):
        if name in ("var", "std") and np.prod([shape[a] for a in axes]) < 2:
            continue
        for keep in (False, True):
            got = getattr(_core, name)(x, axes, keep)
            assert got.dtype == dtype
            close(name, got, wide, axes, keep)
        # The same elements in other layouts.
        for order in ([*range(len(shape))][::-1], np.roll(range(len(shape)), 1)):
            y = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
            close(name, getattr(_core, name)(y, axes), wide, axes)
        close(name, getattr(_core, name)(np.repeat(x, 2, axis=-1)[..., ::2], axes), wide, axes)
        close(name, getattr(_core, name)(x[::-1], axes), wide[::-1], axes)


@pytest.mark.parametrize("dtype", [*FLOATS, "i8", "i4", "i2", "u1", "?"], ids=str)
@pytest.mark.parametrize("name", EXACT)
def test_exact_reductions(name, dtype, level):
    for shape in SHAPES:
        x = np.random.default_rng(3).integers(-5, 6, shape).astype(dtype)
        x = np.where(np.random.default_rng(4).random(shape) < 0.3, np.zeros_like(x), x)
        for axes in every_axes(len(shape)):
            for y in (x, np.asfortranarray(x), x[::-1]):
                expected = EXACT[name](y, axis=axes)
                got = getattr(_core, name)(y, axes)
                got = got[0] if isinstance(got, tuple) else got
                assert np.array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["i8", "i4", "u1", "?"])
def test_integers_sum_in_64_bits(dtype, level):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 127, (70, 90)).astype(dtype)
    for axes in (0, 1, (0, 1)):
        got = _core.sum(x, axes)
        assert got.dtype == np.int64 and np.array_equal(got, x.sum(axis=axes, dtype=np.int64))
    small = x[:5, :5] + np.array(1, dtype)
    with np.errstate(over="ignore"):
        assert np.array_equal(_core.prod(small, 1), np.prod(small, axis=1, dtype=np.int64))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", BF16], ids=str)
@pytest.mark.parametrize(("name", "find"), [("max", np.argmax), ("min", np.argmin)])
def test_index_of_the_first_extreme(name, find, dtype, level):
    for shape in [(9,), (40, 50), (3, 200, 4), (2, 3, 5), (100000,), (300, 700)]:
        x = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
        for axis in range(len(shape)):
            for y in (x, np.asfortranarray(x), np.flip(x)):
                values, index = getattr(_core, name)(y, axis, False, True)
                wide = y.astype(np.float64)
                assert np.array_equal(index, find(wide, axis=axis))
                assert np.array_equal(values.astype(np.float64), getattr(np, name)(wide, axis=axis))


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_is_the_extreme(name, level):
    r = np.random.default_rng(0)
    x = r.standard_normal((30, 90)).astype(np.float32)
    x[np.arange(0, 30, 3), r.integers(0, 90, 10)] = np.nan
    x[3, :] = -np.inf
    x[4, :] = np.inf
    for axis in (0, 1):
        values, index = getattr(_core, name)(x, axis, False, True)
        with np.errstate(invalid="ignore"):
            expected = getattr(np, name)(x, axis=axis)
        assert np.array_equal(values, expected, equal_nan=True)
        assert np.array_equal(index, getattr(np, "arg" + name)(x, axis=axis))
    assert np.isnan(getattr(_core, name)(x)[0])


def test_every_position_of_nan_counts(level):
    for n in (1, 5, 16, 63, 64, 200):
        for at in range(n):
            x = np.ones(n, np.float32)
            x[at] = np.nan
            assert np.isnan(_core.sum(x)) and np.isnan(_core.max(x)[0]) and np.isnan(_core.norm(x))
            assert _core.max(x, 0, False, True)[1] == at
            x[at] = np.inf
            assert _core.sum(x) == np.inf and _core.logsumexp(x) == np.inf


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0, np.inf, -np.inf])
def test_norms(p, level):
    x = np.random.default_rng(0).standard_normal((40, 130)).astype(np.float32)
    x[2, 3] = 0
    for axis in (0, 1):
        expected = np.linalg.norm(x.astype(np.float64), p, axis=axis)
        np.testing.assert_allclose(_core.norm(x, axis, p=p), expected, rtol=1e-5)


def test_sums_are_exact_where_they_can_be(level):
    ones = np.ones(1_000_003, np.float32)
    assert _core.sum(ones) == 1_000_003
    assert (_core.sum(ones[:1_000_000].reshape(1000, 1000), 0) == 1000).all()
    x = np.random.default_rng(0).random(1_000_000, np.float32)
    exact = x.astype(np.float64).sum()
    assert abs(float(_core.sum(x)) - exact) <= 1e-7 * exact
    assert abs(float(_core.mean(x)) - exact / x.size) <= 1e-7
    columns = x.reshape(100_000, 10)
    np.testing.assert_allclose(_core.sum(columns, 0), columns.astype(np.float64).sum(0), rtol=1e-7)


def test_sum_of_2_24_plus_1_ones():
    assert _core.sum(np.ones(2**24 + 2, np.float32)) == 2**24 + 2


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_variance_beside_a_large_mean(offset, level):
    x = (np.random.default_rng(0).standard_normal((64, 1000)) + offset).astype(np.float32)
    for axis in (0, 1):
        expected = np.var(x.astype(np.float64), axis=axis, ddof=1)
        np.testing.assert_allclose(_core.var(x, axis), expected, rtol=5e-7)
    assert np.isnan(_core.var(x[:1], 0)).all()
    assert np.allclose(
        _core.var(x[:3], 0, correction=0), np.var(x[:3].astype("f8"), axis=0), rtol=1e-4
    )


def test_logsumexp_at_the_limits():
    inf = np.inf
    x = np.array([[-inf, -inf], [inf, 0], [-inf, 3], [1e30, 1e30], [np.nan, 0]], np.float32)
    got = _core.logsumexp(x, 1)
    assert np.array_equal(got, np.array([-inf, inf, 3, 1e30, np.nan], np.float32), equal_nan=True)


def test_empty():
    x = np.zeros((0, 3), np.float32)
    assert np.array_equal(_core.sum(x, 0), np.zeros(3)) and np.array_equal(
        _core.prod(x, 0), np.ones(3)
    )
    assert _core.sum(x, 1).shape == (0,) and _core.sum(x) == 0
    assert np.isnan(_core.mean(x, 0)).all() and np.isnan(_core.var(x, 0)).all()
    assert _core.logsumexp(x, 0).tolist() == [-np.inf] * 3
    assert _core.all(x, 0).all() and not _core.any(x, 0).any()
    assert _core.max(x, 1)[0].shape == (0,)
    with pytest.raises(ValueError, match="no identity"):
        _core.max(x, 0)
    assert _core.sum(np.array(3, np.float32)) == 3


@pytest.mark.parametrize(
    "shape", [(1_000_000,), (100_000, 10), (10, 100_000), (700, 700), (2, 500_000)]
)
def test_threads_do_not_change_bits(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append([f(x, axes) for f in (_core.sum, _core.var, _core.logsumexp)
                            for axes in (None, 0, len(shape) - 1)])  # fmt: skip
            results[-1] += [_core.max(x, len(shape) - 1, False, True)[1]]
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_misalignment_does_not_change_bits(level):
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    room = np.zeros(5100, np.float32)
    reference = _core.sum(values), _core.sum(values.reshape(50, 100), 0)
    for offset in range(17):
        room[offset : offset + 5000] = values
        view = room[offset : offset + 5000]
        assert _core.sum(view) == reference[0]
        assert np.array_equal(_core.sum(view.reshape(50, 100), 0), reference[1])


def test_refusals():
    x = np.ones((2, 3), np.float32)
    for bad in (2, -3, (0, 5)):
        with pytest.raises(IndexError, match="out of range"):
            _core.sum(x, bad)
    with pytest.raises(RuntimeError, match="several times"):
        _core.sum(x, (0, -2))
    with pytest.raises(TypeError, match="floating point"):
        _core.mean(np.arange(3))
    with pytest.raises(ValueError, match="exactly one axis"):
        _core.max(x, None, False, True)
    with pytest.raises(TypeError):
        _core.sum(x, "0")
