"""Elementwise maps, casts and copies of the extension module against NumPy in float64."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core

BF16 = np.dtype(ml_dtypes.bfloat16)
LEVELS = [v for v in _core.isa_levels() if v in ("baseline", "avx2", "avx512")]


@pytest.fixture(params=LEVELS)
def level(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def ulps(got, exact):
    """Error of float32 or float64 `got` in units in the last place of `exact`."""
    info = np.finfo(got.dtype)
    _, e = np.frexp(np.abs(exact))
    unit = np.ldexp(1.0, np.maximum(e - 1, info.minexp) - info.nmant)
    return np.abs(got.astype(exact.dtype) - exact) / unit


def same(got, expected):
    """Equal bits, but for the payload of NaN."""
    assert got.dtype == expected.dtype and got.shape == expected.shape
    if got.dtype.kind == "f":
        nan = np.isnan(expected)
        assert np.array_equal(np.isnan(got), nan)
        assert np.array_equal(np.signbit(got)[~nan], np.signbit(expected)[~nan])
        got, expected = got[~nan], expected[~nan]
    assert np.array_equal(got, expected)


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    3.5,
    np.inf,
    -np.inf,
    np.nan,
    1e-42,
    -1e-42,
    1e38,
    -3e38,
    2**23 + 0.5,
]


def pairs(dtype):
    """Every pair of special values, then random ones: an odd number, so that there is a tail."""
    special = np.array(list(itertools.product(SPECIAL, SPECIAL)), dtype)
    random = np.random.default_rng(7).standard_normal((1000, 2)).astype(dtype) * 3
    both = np.concatenate([special, random])
    return both[:, 0].copy(), both[:, 1].copy()


EXACT_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "maximum": np.maximum, "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin,
    "fmod": np.fmod, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXACT_BINARY)
def test_binary_is_exact(name, dtype, level):
    a, b = pairs(dtype)
    with np.errstate(all="ignore"):
        expected = EXACT_BINARY[name](a, b)
    got = getattr(_core, name)(a, b)
    if name in ("maximum", "minimum", "fmax", "fmin"):  # which zero wins is open
        got, expected = got + dtype(0), expected + dtype(0)
    same(got, expected)


@pytest.mark.parametrize("name", ["remainder", "floor_divide", "trunc_divide"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_division_of_floats(name, dtype, level):
    a, b = np.random.default_rng(3).standard_normal((2, 1003)).astype(dtype) * 5
    reference = {"remainder": np.remainder, "floor_divide": np.floor_divide,
                 "trunc_divide": lambda x, y: np.trunc(x / y)}[name]  # fmt: skip
    same(getattr(_core, name)(a, b), reference(a, b))


EXACT_UNARY = {
    "neg": np.negative, "abs": np.abs, "square": np.square, "floor": np.floor, "ceil": np.ceil,
    "round": np.rint, "trunc": np.trunc, "sqrt": np.sqrt, "reciprocal": lambda x: 1 / x,
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "signbit": np.signbit,
    "logical_not": np.logical_not,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXACT_UNARY)
def test_unary_is_exact(name, dtype, level):
    a, _ = pairs(dtype)
    with np.errstate(all="ignore"):
        expected = EXACT_UNARY[name](a)
        same(getattr(_core, name)(a), expected)


INTEGERS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum,
    "minimum": np.minimum, "floor_divide": np.floor_divide, "remainder": np.remainder,
    "fmod": np.fmod, "eq": np.equal, "lt": np.less, "ge": np.greater_equal,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int16, np.int8, np.uint8])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_wrap(name, dtype, level):
    info = np.iinfo(dtype)
    a = np.random.default_rng(1).integers(info.min, info.max, 1003, dtype, endpoint=True)
    b = np.random.default_rng(2).integers(info.min, info.max, 1003, dtype, endpoint=True)
    if name in ("floor_divide", "remainder", "fmod"):
        b[b == 0] = 3
    with np.errstate(all="ignore"):
        same(getattr(_core, name)(a, b), INTEGERS[name](a, b))


def test_smallest_integer_over_minus_one_wraps():
    a, b = np.array([np.iinfo(np.int64).min]), np.array([-1])
    assert _core.floor_divide(a, b)[0] == a[0] and _core.remainder(a, b)[0] == 0


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "trunc_divide"])
def test_integer_division_by_zero_is_refused(name):
    a, b = np.arange(6), np.array([1, 2, 0, 3, 4, 5])
    for zero in (b, b[::-1], 0):
        with pytest.raises(RuntimeError, match="division by zero"):
            getattr(_core, name)(a, zero)


def every_layout(x):
    """x in several layouts, each with x's values."""
    yield x
    yield np.asfortranarray(x)
    yield np.flip(np.flip(x).copy())
    wide = np.zeros((*x.shape[:-1], 3 * x.shape[-1]), x.dtype)
    wide[..., ::3] = x
    yield wide[..., ::3]
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
    yield raw[1:].view(x.dtype).reshape(x.shape)  # misaligned
    yield x.astype(x.dtype.newbyteorder())


@pytest.mark.parametrize("shape", [(5, 7), (37, 130), (3, 4, 5, 6), (200, 3), (2, 100, 70)])
def test_any_layout_gives_the_same_bits(shape, level):
    r = np.random.default_rng(0)
    a, b = r.standard_normal((2, *shape)).astype(np.float32)
    expected = np.exp(a.astype(np.float64))
    reference = _core.exp(a)
    assert ulps(reference, expected).max() < 2
    for x in every_layout(a):
        same(_core.exp(x), reference)
        for y in every_layout(b):
            same(_core.add(x, y), a + b)
            same(_core.lt(x, y), a < b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, BF16])
def test_broadcasting(dtype, level):
    r = np.random.default_rng(0)
    shapes = [(), (1,), (7,), (5, 1), (5, 7), (1, 7), (3, 1, 7), (3, 5, 1), (3, 5, 7), (3, 1, 1)]
    for s, t in itertools.product(shapes, shapes):
        a, b = (np.asarray(r.integers(-9, 9, q)).astype(dtype) for q in (s, t))
        same(_core.mul(a, b), np.asarray(a * b))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (), (1, 1)])
def test_empty_and_scalar_shapes(shape, level):
    a = np.ones(shape, np.float32)
    for got in (_core.add(a, a), _core.exp(a), _core.where(a, a, 2.0), _core.copy(a)):
        assert got.shape == shape and got.dtype == np.float32


def test_result_keeps_the_memory_order():
    a = np.ones((4, 5, 6), np.float32).transpose(2, 0, 1)
    assert _core.add(a, a).strides == a.strides
    assert _core.add(a, np.ones((6, 4, 5), np.float32)).strides == a.strides
    assert _core.add(np.float32(1), a).strides == a.strides
    assert _core.exp(a[::2]).flags.c_contiguous


PROMOTIONS = [
    ([1], "f4", 2, "f4"), ([1], "i8", 2.5, "f4"), ([1], "?", 2, "i8"), ([1], "u1", 300, "u1"),
    ([1], "f8", 2.5, "f8"), ([1], "i4", True, "i4"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "dtype", "number", "expected"), PROMOTIONS)
def test_numbers_do_not_widen(value, dtype, number, expected):
    assert _core.add(np.array(value, dtype), number).dtype == np.dtype(expected)


def test_promotion_of_arrays():
    def result(a, b):
        return _core.add(np.ones(3, a), np.ones(3, b)).dtype

    assert result("f4", "f8") == "f8"
    assert result("u1", "i1") == "i2"
    assert result("i8", "f4") == "f4"
    assert result(BF16, "f2") == "f4"
    assert result(BF16, "i8") == BF16
    assert _core.add(np.ones(3, "f4"), np.ones((), "f8")).dtype == "f4"
    assert _core.add(np.ones(3, "i4"), np.ones((), "f8")).dtype == "f8"
    assert _core.div(np.arange(3), np.arange(1, 4)).dtype == "f4"
    assert _core.exp(np.arange(3)).dtype == "f4"


def test_ternary(level):
    a, b = pairs(np.float32)
    with np.errstate(all="ignore"):
        c = a + b
        same(_core.where(a > 0, b, c), np.where(a > 0, b, c))
        got = _core.clamp(a, b, c)
        expected = np.minimum(np.maximum(a, b), c)
        same(got + np.float32(0), expected + np.float32(0))
        a, b, c = (x[-1000:] for x in (a, b, c))
        np.testing.assert_allclose(_core.addcmul(a, b, c, 2.0), a + 2 * b * c, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            _core.addcdiv(a, b, c, 2.0), a + 2 * (b / c), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(_core.lerp(a, b, 0.25), a + 0.25 * (b - a), rtol=1e-5, atol=1e-5)
    same(_core.lerp(a, b, 1.0), b)
    assert _core.clamp(np.arange(5), 1, 3).tolist() == [1, 1, 2, 3, 3]
    assert _core.clamp(np.arange(5), max=2).tolist() == [0, 1, 2, 2, 2]
    assert np.isnan(_core.clamp(np.array([np.nan], "f4"), 0.0, 1.0)).all()


def test_scaled(level):
    a, b = np.random.default_rng(0).standard_normal((2, 101))
    np.testing.assert_allclose(_core.add_scaled(a, b, 2.5), a + 2.5 * b, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(_core.sub_scaled(a, b, 2.5), a - 2.5 * b, rtol=1e-15, atol=1e-15)
    assert _core.add_scaled(np.arange(3), np.arange(3), 2).tolist() == [0, 3, 6]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, BF16])
def test_out_may_be_an_input_or_overlap_it(dtype, level):
    start = np.arange(5000, dtype=np.int32).astype(dtype)
    x = start.copy()
    assert _core.add(x, x, out=x) is x
    same(x, start + start)
    x = start.copy()
    _core.copy_to(x[1:], x[:-1])
    same(x[1:], start[:-1])
    x = start.copy()
    _core.add(x[:-1], 0, out=x[1:])
    same(x[1:], start[:-1])
    x = start.copy()
    _core.neg(x[::-1], out=x)
    same(x, -start[::-1])
    square = start[:4900].reshape(70, 70).copy()
    before = square.copy()
    _core.add(square.T, square[0], out=square)
    same(square, before.T + before[0])


def test_refusals():
    a = np.ones((2, 3), np.float32)
    fixed = a.copy()
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="do not broadcast"):
        _core.add(a, np.ones(4, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        _core.add(a, a, out=fixed)
    with pytest.raises(ValueError, match="does not broadcast"):
        _core.add(a, a, out=np.ones((3,), np.float32))
    with pytest.raises(TypeError, match="can't be cast"):
        _core.add(a, a, out=np.ones((2, 3), np.int64))
    with pytest.raises(TypeError, match="expected integer or bool"):
        _core.bitwise_and(a, a)
    with pytest.raises(RuntimeError, match="expanded"):
        _core.add(a, a, out=np.lib.stride_tricks.as_strided(a, (2, 3), (0, 4)))
    with pytest.raises(TypeError, match=r"numpy\.ndarray"):
        _core.add(a, "3")
    with pytest.raises(TypeError, match="complex"):
        _core.exp(a.astype(complex))
    with pytest.raises(TypeError, match="unexpected keyword"):
        _core.add(a, a, axis=1)
    with pytest.raises(TypeError, match="missing"):
        _core.add(a)
    with pytest.raises(ValueError, match="64 bits"):
        _core.add(a, 1 << 70)
    assert (a == 1).all()


@pytest.mark.parametrize("name", ["add", "exp", "copy"])
def test_threads_do_not_change_bits(name):
    a = np.random.default_rng(0).standard_normal((611, 517)).astype(np.float32)
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            x = a.T if name == "copy" else a
            results.append([_core.add(x, a[0][:, None] if name == "copy" else a[0]) if name == "add"
                            else getattr(_core, name)(x), _core.contiguous(a.T)])  # fmt: skip
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            same(x, y)


def test_misalignment_does_not_change_bits(level):
    values = np.random.default_rng(0).standard_normal(300).astype(np.float32)
    room = np.zeros(400, np.float32)
    reference = _core.tanh(values)
    for offset in range(17):
        view = room[offset : offset + 300]
        view[:] = values
        same(_core.tanh(view), reference)
        same(_core.tanh(view[3:100]), reference[3:100])


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "trunc_divide"])
def test_integer_division_by_nothing(name):
    """The divisor has no elements: the check for zeros once divided by its number of columns."""
    for shape in ((0,), (4, 0, 1), (3, 0, 0, 3)):
        assert getattr(_core, name)(np.array(5), np.ones(shape, np.int64)).shape == shape
