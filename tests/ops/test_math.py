"""Transcendental functions over a dense sample of all floats, in units in the last place."""

import numpy as np
import pytest

import fastnn
from fastnn import _core
from tests.reference.common import erf

STEP = 3989  # of all 2^32 bit patterns


@pytest.fixture(params=[v for v in _core.isa_levels() if v in ("baseline", "avx2", "avx512")])
def level(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


# name: (reference, bound in ulp)
FUNCTIONS = {
    "exp": (np.exp, 2), "exp2": (np.exp2, 2), "expm1": (np.expm1, 2), "log": (np.log, 1),
    "log2": (np.log2, 2), "log10": (np.log10, 2.1), "log1p": (np.log1p, 2), "tanh": (np.tanh, 2.6),
    "sigmoid": (sigmoid, 2.5), "erf": (erf, 1.6), "sin": (np.sin, 2), "cos": (np.cos, 2),
    "tan": (np.tan, 2), "sinh": (np.sinh, 2), "cosh": (np.cosh, 2), "asin": (np.arcsin, 2),
    "acos": (np.arccos, 2), "atan": (np.arctan, 2), "asinh": (np.arcsinh, 2),
    "acosh": (np.arccosh, 2), "atanh": (np.arctanh, 2), "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5),
}  # fmt: skip


def ulps(got, exact):
    """Errors in units in the last place of `exact`, which has more digits than `got`."""
    info = np.finfo(got.dtype)
    _, exponent = np.frexp(np.abs(exact))
    unit = np.ldexp(exact.dtype.type(1), np.maximum(exponent - 1, info.minexp) - info.nmant)
    return np.abs(got.astype(exact.dtype) - exact) / unit


@pytest.fixture(scope="module")
def sample():
    bits = np.arange(0, 1 << 32, STEP, dtype=np.uint64).astype(np.uint32)
    dense = np.random.default_rng(0).standard_normal(1 << 17).astype(np.float32)  # where it matters
    return np.concatenate([bits.view(np.float32), dense, dense / 64, dense * 8])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_over_its_whole_range(name, sample, level):
    reference, bound = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        exact = reference(sample.astype(np.float64))
        rounded = exact.astype(np.float32)
        got = getattr(_core, name)(sample)
    assert np.array_equal(np.isnan(got), np.isnan(rounded))
    # At the edge of overflow either neighbour will do.
    edge = np.abs(exact) > float(np.finfo(np.float32).max) * (1 - 1e-7)
    assert np.array_equal(np.isinf(got)[~edge], np.isinf(rounded)[~edge])
    finite = np.isfinite(got) & np.isfinite(rounded)
    assert np.array_equal(np.signbit(got[finite]), np.signbit(rounded[finite]))
    assert ulps(got[finite], exact[finite]).max() <= bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["exp", "exp2", "expm1", "tanh", "sigmoid", "silu", "gelu"])
def test_neighbours_do_not_change_bits(name, dtype, level):
    """Vectors of ordinary values go a shorter way than those with one that is not."""
    function = getattr(_core, name)
    most = np.log(float(np.finfo(dtype).max))
    x = np.random.default_rng(0).uniform(-1.1 * most, 1.1 * most, 4096).astype(dtype)
    x[::9] = np.resize([0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], x[::9].shape)
    x[2048:] /= 4
    got, alone = function(x), np.array([function(x[i : i + 1])[0] for i in range(x.size)])
    for values in (got, alone):
        values[np.isnan(values)] = np.nan  # of one sign
    np.testing.assert_array_equal(got.view(np.uint8), alone.view(np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_of_infinity(dtype, level):
    """Not infinity times 0."""
    assert _core.gelu(np.array([1.0, np.inf], dtype))[1] == np.inf


DOUBLE = {
    "exp": (-745, 709), "exp2": (-1074, 1023), "expm1": (-50, 709), "log": (1e-300, 1e300),
    "log2": (0.3, 4), "log10": (0.3, 4), "log1p": (-0.999, 4), "tanh": (-20, 20),
    "sigmoid": (-700, 40), "sin": (-1e4, 1e4), "cos": (-1e4, 1e4),
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBLE)
def test_float64(name, level):
    low, high = DOUBLE[name]
    r = np.random.default_rng(0)
    x = (
        np.exp(r.uniform(np.log(low), np.log(high), 50000))
        if low > 1e-9
        else r.uniform(low, high, 50000)
    )
    if low < 0:
        x[::3] = x[::3] * np.exp2(-r.uniform(0, 40, x[::3].size))
    reference = FUNCTIONS[name][0]
    exact = reference(x.astype(np.longdouble))
    assert ulps(getattr(_core, name)(x), exact).max() <= 2.6
    special = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1.7e308, -1.0, -1.7e308]
    )
    with np.errstate(all="ignore"):
        expected = reference(special)
    finite = np.isfinite(expected)
    got = getattr(_core, name)(special)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert np.array_equal(got[~finite], expected[~finite], equal_nan=True)
    assert np.allclose(got[finite], expected[finite], rtol=1e-14, atol=0)


def test_functions_of_two_arguments(level):
    r = np.random.default_rng(0)
    a, b = r.uniform(0.01, 20, (2, 10001))
    for name, reference in (("pow", np.power), ("atan2", np.arctan2), ("hypot", np.hypot),
                            ("logaddexp", np.logaddexp), ("xlogy", lambda x, y: x * np.log(y))):  # fmt: skip
        x, y = a.astype(np.float32), (b / 4).astype(np.float32)
        exact = reference(x.astype(np.float64), y.astype(np.float64))
        error = np.abs(getattr(_core, name)(x, y) - exact) / np.abs(exact)
        assert np.all((error < 4e-7) | (np.abs(exact) < 0.1))
        np.testing.assert_allclose(
            getattr(_core, name)(a, b), reference(a, b), rtol=2e-15, atol=2e-15
        )
    special = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, np.inf, -np.inf, np.nan], np.float32)
    with np.errstate(all="ignore"):
        x, y = (v.ravel() for v in np.meshgrid(special, special))
        assert np.array_equal(_core.pow(x, y), np.power(x, y), equal_nan=True)
        expected = np.logaddexp(x.astype("f8"), y.astype("f8"))
        np.testing.assert_allclose(_core.logaddexp(x, y), expected, rtol=1e-6)
    assert _core.xlogy(np.zeros(3), np.array([0.0, np.inf, 1])).tolist() == [0, 0, 0]
    assert np.isnan(_core.xlogy(np.zeros(1), np.array([np.nan])))[0]


def test_integer_powers(level):
    a = np.arange(-5, 6)
    assert np.array_equal(_core.pow(a, 3), a**3)
    assert np.array_equal(_core.pow(a, np.arange(11)), a ** np.arange(11))
    assert _core.pow(np.array([1, -1, -1, 2]), np.array([-3, -3, -2, -1])).tolist() == [1, -1, 1, 0]


def test_hypot_where_squares_are_out_of_range():
    x = fastnn.tensor([3e30, 3e-30, 3.0, 0.0], requires_grad=True)
    y = fastnn.tensor([4e30, 4e-30, 4.0, 2.0], requires_grad=True)
    z = fastnn.hypot(x, y)
    z.sum().backward()
    np.testing.assert_allclose(z.detach().numpy(), [5e30, 5e-30, 5, 2], rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.6, 0.6, 0], rtol=1e-6)
    np.testing.assert_allclose(y.grad.numpy(), [0.8, 0.8, 0.8, 1], rtol=1e-6)
