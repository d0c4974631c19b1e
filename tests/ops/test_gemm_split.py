"""Products of floats on a matrix unit, each value cut into three bfloat16: as exact as floats, over their whole range."""

import numpy as np
import pytest

import fastnn
from fastnn import _core, nn
from tests.backends import isa, num_threads

pytestmark = pytest.mark.skipif(_core.isa() != "amx", reason="the active level has no matrix unit")

EPS = float(np.finfo(np.float32).eps)
LIMIT = float(np.finfo(np.float32).max)

SHAPES = {
    "whole-tiles": (320, 320, 320),
    "half-tiles": (144, 400, 528),
    "one-beyond-half-tiles": (145, 401, 97),
    "one-beyond-tiles": (289, 321, 353),
    "odd": (307, 331, 347),
    "blocks-of-k": (200, 300, 1100),
    "segments-of-k": (200, 230, 2500),
    "segments-of-k-and-many-columns": (128, 390, 2100),
    "few-rows": (128, 1500, 163),
    "few-columns": (1500, 129, 160),
    "least-that-pays": (192, 192, 64),
    "two-rows-beyond-tiles": (98, 4710, 65),
    "columns-beyond-tiles": (3170, 99, 95),
}


def operands(rng, m, n, k):
    a = rng.standard_normal((m, k), dtype=np.float32)
    return a, rng.standard_normal((k, n), dtype=np.float32) / np.float32(k**0.5)


def product(a, b):
    return a.astype(np.float64) @ b.astype(np.float64)


def relative_error(got, want):
    return np.abs(got.astype(np.float64) - want).max() / np.abs(want).max()


def laid_out(array, order):
    """C, F; or neither rows nor columns adjacent; large values beside it, which spoil sums."""
    rows, columns = array.shape
    room = np.full((rows + 2, 2 * columns + 2) if order == "apart" else (rows + 2, columns + 2),
                   1e4, np.float32, order="F" if order == "F" else "C")  # fmt: skip
    view = room[1:-1, 1:-1][:, :: 2 if order == "apart" else 1]
    view[...] = array
    return view


# ---- Accuracy ----


@pytest.mark.parametrize("m,n,k", SHAPES.values(), ids=SHAPES)
def test_as_exact_as_floats_in_every_order(rng, m, n, k):
    a, b = operands(rng, m, n, k)
    want = product(a, b)
    bar = relative_error(a @ b, want)
    for a_order in ("C", "F", "apart"):
        for b_order in ("C", "F", "apart"):
            x, y = laid_out(a, a_order), laid_out(b, b_order)
            for out_order in ("C", "F", "apart"):
                out = laid_out(np.full((m, n), np.nan), out_order)
                _core.gemm(x, y, out=out)
                assert relative_error(out, want) <= bar, (a_order, b_order, out_order)
            np.testing.assert_array_equal(x, a)
            np.testing.assert_array_equal(y, b)


def test_is_another_way_than_the_level_below(rng):
    """Else this file would test nothing."""
    a, b = operands(rng, 320, 320, 320)
    ours = _core.gemm(a, b).tobytes()
    with isa("avx512_bf16"):
        assert _core.gemm(a, b).tobytes() != ours


@pytest.mark.parametrize("order", ("C", "F"))
def test_writes_nothing_beside_a_view(rng, order):
    a, b = operands(rng, 323, 331, 340)
    room = np.full((325, 333), 7, np.float32, order=order)
    _core.gemm(a, b, out=room[1:-1, 1:-1])
    assert relative_error(room[1:-1, 1:-1], product(a, b)) <= 4 * EPS
    room[1:-1, 1:-1] = 7
    assert (room == 7).all()


def test_errors_grow_slowly_with_k(rng):
    errors = []
    for k in (2048, 8192, 32768):
        a, b = operands(rng, 192, 192, k)
        want = product(a, b)
        errors.append(relative_error(_core.gemm(a, b), want))
        assert errors[-1] <= min(relative_error(a @ b, want), errors[0] * (k / 2048) ** 0.5)
    assert errors[0] <= 4 * EPS


@pytest.mark.parametrize("k", [300, 2048, 8192])
def test_positive_sums_do_not_drift(rng, k):
    a, b = rng.random((330, k), dtype=np.float32), rng.random((k, 330), dtype=np.float32)
    assert relative_error(_core.gemm(a, b), product(a, b)) <= 4 * EPS


# ---- The whole range of floats ----

# Of values: all bits set, one, ties of the parts and their neighbours.
SIGNIFICANDS = (0x7FFFFF, 0, 1, 0x8000, 0x7FFF, 0x8001, 0x18000, 0x80, 0x7F, 0x81, 0x8080, 0x7F7F)


def random_floats(rng, shape, least, most):
    """Of any bits, with exponents from `least` to `most`; -127 are the subnormal ones, and 0."""
    bits = rng.integers(0, 1 << 23, shape, np.uint32)
    bits[..., : len(SIGNIFICANDS)] = SIGNIFICANDS
    bits |= rng.integers(least + 127, most + 128, shape, np.uint32) << 23
    return (bits | rng.integers(0, 2, shape, np.uint32) << 31).view(np.float32)


def every_magnitude(rng, count, k):
    """Rows, 32 at a time of neighbouring exponents, up to the largest and the least there are; the last of all."""
    least = np.linspace(-127, 107, count // 32).astype(int)
    rows = [random_floats(rng, (32, k), e, e + 20) for e in least]
    return np.concatenate([*rows, random_floats(rng, (count - len(rows) * 32, k), -127, 127)])


@pytest.mark.parametrize("order", ("C", "F", "apart"))
@pytest.mark.parametrize("size", (320, 345))
def test_the_parts_of_a_value_are_the_value(rng, size, order):
    """A product with a power of two is exact, or rounded once."""
    x = laid_out(every_magnitude(rng, 500, size), order)
    for scale in np.float32(2.0**-60), np.float32(1), np.float32(2.0**60):
        diagonal = np.eye(size, dtype=np.float32) * scale
        with np.errstate(over="ignore"):
            want = x * scale
        np.testing.assert_array_equal(_core.gemm(x, diagonal), want)
        np.testing.assert_array_equal(_core.gemm(diagonal, x.T), want.T)


def test_what_cancels_is_exact_as_long_as_its_products_are_normal():
    """1 - (1 - 2^-23) (1 + 2^-23): the last bits of the values decide; below 2^-100, the products are those of floats."""
    a, b = np.zeros((320, 320), np.float32), np.zeros((320, 320), np.float32)
    for exponent in range(40, -52, -1):
        scale, tiny = np.float32(2.0**exponent), np.float32(2**-23)
        a[:, 0], a[:, 1] = scale, scale * (1 - tiny)
        b[0], b[1] = scale, -scale * (1 + tiny)
        got, want = _core.gemm(a, b), np.float32(2.0 ** (2 * exponent - 46))
        if 2 * exponent >= -80 or 2 * exponent < -100:
            np.testing.assert_array_equal(got, want)
        else:
            assert np.abs(got - want).max() <= 2.0 ** (2 * exponent - 26)


@pytest.mark.parametrize(
    "a_scale,b_scale",
    [(1e-36, 1), (1, 1e-36), (1e-36, 1e-3), (1e-36, 1e30), (1e30, 1e-36), (1e-12, 1e-12),
     (1e-20, 1e-18), (1e30, 1), (1e30, 1e7), (1e18, 1e18)],
)  # fmt: skip
def test_scaled_matrices(rng, a_scale, b_scale):
    a, b = operands(rng, 320, 330, 340)
    a, b = a * np.float32(a_scale), b * np.float32(b_scale)
    want = product(a, b)
    assert relative_error(_core.gemm(a, b), want) <= max(relative_error(a @ b, want), 4 * EPS)


def test_sums_that_are_subnormal(rng):
    """Multiples of the least float: exact."""
    a, b = rng.integers(-99, 99, (2, 320, 320))
    got = _core.gemm((a * 2.0**-80).astype(np.float32), (b * 2.0**-69).astype(np.float32))
    np.testing.assert_array_equal(got, ((a @ b) * 2.0**-149).astype(np.float32))


def test_sums_beyond_the_largest_float_are_infinite():
    a, b = np.ones((320, 320), np.float32), np.full((320, 320), LIMIT / 256, np.float32)
    a[:, 256:] = 0
    np.testing.assert_array_equal(_core.gemm(a, b), np.float32(LIMIT))
    a[7, 256:] = 1
    want = np.full((320, 320), LIMIT, np.float32)
    want[7] = np.inf
    np.testing.assert_array_equal(_core.gemm(a, b), want)


@pytest.mark.parametrize("place", [(0, 0), (150, 520), (-1, -1)], ids=("first", "inner", "last"))
@pytest.mark.parametrize("value", [1e-40, 1e-38, 1e-30, 3e38, np.inf, -np.inf, np.nan], ids=str)
def test_one_value_out_of_range(rng, value, place):
    """Its row is as with floats: 0 but for this value, and so exact. The others do not feel it."""
    a, b = operands(rng, 300, 310, 530)
    value, (i, k) = np.float32(value), place
    a[i] = 0
    a[i, k] = value
    b[k, 70] = 0  # of infinity: not a number
    with np.errstate(all="ignore"):
        row = value * b[k]
    others = np.arange(300) != i % 300
    want = product(a[others], b)
    for got in (_core.gemm(a, b), _core.gemm(a.copy("F"), b.copy("F")), _core.gemm(b.T, a.T).T):
        np.testing.assert_array_equal(got[i], row)
        assert relative_error(got[others], want) <= 4 * EPS


@pytest.mark.parametrize("value", [np.inf, np.nan], ids=str)
def test_infinity_and_nan_in_both(rng, value):
    a, b = operands(rng, 323, 331, 340)
    a[5, 2] = a[322, 339] = value
    b[3, 1] = b[339, 330] = -np.inf
    a[7, 3] = 0
    with np.errstate(invalid="ignore"):
        want = np.maximum(product(a, b), 0)
    got = _core.gemm(a, b, activation="relu")
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    finite = np.isfinite(want)
    assert relative_error(got[finite], want[finite]) <= 4 * EPS


def test_zeros(rng):
    """Whole panels of them, also times infinity."""
    a, b = operands(rng, 320, 320, 700)
    a[:64], a[:, 64:128] = 0, -0.0
    b[:512, :32] = 0
    assert relative_error(_core.gemm(a, b), product(a, b)) <= 4 * EPS
    assert (_core.gemm(a, b)[:64] == 0).all()
    b[600, 40] = np.inf
    got = _core.gemm(a, b)
    assert np.isnan(got[:64, 40]).all() and np.isinf(got[64:, 40]).all()
    assert np.isfinite(np.delete(got, 40, 1)).all()


# ---- What else a product does ----


@pytest.mark.parametrize("out_order", ("C", "F"))
@pytest.mark.parametrize(
    "m,n,k", [SHAPES[s] for s in ("half-tiles", "odd", "segments-of-k-and-many-columns")]
)
def test_epilogue(rng, m, n, k, out_order):
    """alpha, beta, bias and activation, also when the output waits for more of K; a tile that floats compute."""
    a, b = operands(rng, m, n, k)
    b[3, 33] = 1e-30
    row, column, c = (rng.standard_normal(s, np.float32) for s in ((n,), (m, 1), (m, n)))
    for bias in (None, row, column):
        for alpha, beta in ((1, 0), (0.5, -2), (0, 1)):
            y = alpha * product(a, b) + (0 if bias is None else bias)
            old = c * np.float32(np.nan) if beta == 0 else c
            y = y + beta * c.astype(np.float64)
            for activation, want in (
                ("none", y), ("relu", np.maximum(y, 0)), ("relu6", np.clip(y, 0, 6)),
                ("tanh", np.tanh(y)), ("silu", y / (1 + np.exp(-y))),
            ):  # fmt: skip
                out = _core.gemm(a, b, bias, old.copy(out_order), alpha, beta, activation)
                # No activation here is steeper than 1.1: the error of y decides.
                assert np.abs(out - want).max() <= 4 * EPS * np.abs(y).max(), (alpha, activation)


@pytest.mark.parametrize("alpha,beta", [(1, 1), (0, 0)])
def test_nan_of_the_output_and_of_scaled_sums(rng, alpha, beta):
    """NaN in c is kept unless beta is 0, and infinity times an alpha of 0 is NaN: as with floats."""
    a, b = operands(rng, 320, 320, 530)
    a[9, 9], c = np.inf, np.zeros((320, 320), np.float32)
    c[40, 50] = np.nan
    want = np.zeros((320, 320), bool)
    want[9], want[40, 50] = alpha == 0, beta == 1
    got = _core.gemm(a, b, out=c, alpha=alpha, beta=beta)
    np.testing.assert_array_equal(np.isnan(got), want)


@pytest.mark.parametrize("batch_a,batch_b", [(3, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("turned", (False, True))
def test_batches(rng, batch_a, batch_b, turned):
    """One of them with a value that is subnormal, and one with NaN; n beyond what shares A."""
    a = rng.standard_normal((batch_a, 200, 530), np.float32)
    b = rng.standard_normal((batch_b, 530, 400), np.float32)
    a[-1, 5, 5], b[0, 3, 3] = 1e-40, np.nan
    want = np.matmul(a.astype(np.float64), b)
    if turned:
        a, b = (np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (a, b))
    for x, y, expected in ((a, b, want), (b.swapaxes(1, 2), a.swapaxes(1, 2), want.swapaxes(1, 2))):
        got = _core.gemm(x, y)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
        finite = np.isfinite(expected)
        assert relative_error(got[finite], expected[finite]) <= 4 * EPS


@pytest.mark.parametrize("m,n,k", SHAPES.values(), ids=SHAPES)
def test_same_bits_at_any_thread_count_and_alignment(rng, m, n, k):
    a, b = operands(rng, m, n, k)
    a[m // 2, k // 2], b[k - 1, n - 1] = 1e-40, 1e38  # some tiles by floats
    want = _core.gemm(a, b).tobytes()
    for count in (1, 2, 3, 7):
        with num_threads(count):
            assert _core.gemm(a, b).tobytes() == want
    for shift in (4, 20):
        moved = [np.frombuffer(b"\0" * shift + x.tobytes(), np.uint8)[shift:].view(x.dtype)
                 .reshape(x.shape) for x in (a, b)]  # fmt: skip
        assert _core.gemm(*moved).tobytes() == want


def test_a_layer_and_its_gradients(rng):
    layer = nn.Linear(340, 330)
    x = rng.standard_normal((4, 90, 340), np.float32)
    dy = rng.standard_normal((4, 90, 330), np.float32)
    tensor = fastnn.from_numpy(x.copy()).requires_grad_()
    y = layer(tensor)
    y.backward(fastnn.from_numpy(dy.copy()))
    w, bias = (p.detach().numpy().astype(np.float64) for p in (layer.weight, layer.bias))
    flat, flat_dy = x.reshape(-1, 340).astype(np.float64), dy.reshape(-1, 330).astype(np.float64)
    for got, want in (
        (y.detach(), flat @ w.T + bias), (tensor.grad, flat_dy @ w),
        (layer.weight.grad, flat_dy.T @ flat), (layer.bias.grad, flat_dy.sum(0)),
    ):  # fmt: skip
        assert relative_error(got.numpy().reshape(want.shape), want) <= 4 * EPS
    np.testing.assert_array_equal(tensor.detach().numpy(), x)
