"""Matrix products at the level of arrays (``_core.gemm``): every layout, dtype, path and level."""

import math
import os

import numpy as np
import pytest

from fastnn import _core
from fastnn._errors import DTypeError, ShapeError
from tests.backends import isa, num_threads
from tests.cases import gemm as cases
from tests.harness import DTYPES, check_op, check_raises
from tests.reference import gemm as reference
from tests.reference.common import unbroadcast

ALL = ("float32", "float64", "bfloat16", "float16")


def matmul(a, b):
    return _core.gemm(a, b)


def matmul_backward(dy, a, b):
    a2 = a[None, :] if a.ndim == 1 else a
    b2 = b[:, None] if b.ndim == 1 else b
    dy = np.asarray(dy)
    dy = dy[..., None] if b.ndim == 1 else dy
    dy = np.expand_dims(dy, -2) if a.ndim == 1 else dy
    gradients = []
    for array, left, right in (
        (a2, dy, b2.swapaxes(-1, -2)),
        (b2, a2.swapaxes(-1, -2), dy),
    ):
        gradient = _core.gemm(left, right)
        if gradient.shape != array.shape:  # batch axes that were broadcast
            gradient = unbroadcast(gradient.astype(np.float64), array.shape).astype(array.dtype)
        gradients.append(gradient)
    return gradients[0].reshape(a.shape), gradients[1].reshape(b.shape)


@pytest.mark.parametrize("case", cases.MATMUL + cases.VECTORS + cases.BATCHED, ids=str)
def test_matmul(case):
    check_op(
        (matmul, matmul_backward),
        reference.matmul_forward, reference.matmul_backward, case, ceilings="gemm",
        dtypes=("float32", "float64"),
    )  # fmt: skip
    check_op((matmul, None), reference.matmul_forward, None, case, dtypes=("bfloat16", "float16"))


@pytest.mark.parametrize("case", cases.LINEAR, ids=str)
def test_linear_forward(case):
    def linear(x, weight, bias=None):
        return _core.gemm(x, weight.T, bias)

    check_op((linear, None), reference.linear_forward, None, case, ceilings="gemm", dtypes=ALL)


@pytest.mark.parametrize("case", cases.ADDMM + cases.BADDBMM, ids=str)
def test_addmm_forward(case):
    def addmm(c, a, b, beta=1, alpha=1):
        out = np.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
        out[...] = c if beta != 0 else np.nan
        return _core.gemm(a, b, out=out, alpha=alpha, beta=beta)

    check_op((addmm, None), reference.addmm_forward, None, case, ceilings="gemm")


# ---- Each path of the driver: what shapes make it take ----


def relative_error(got, want):
    scale = np.abs(want).max(initial=0.0) or 1.0
    return np.abs(got.astype(np.float64) - want).max(initial=0.0) / scale


def operands(rng, m, n, k, dtype=np.float32):
    a = rng.standard_normal((m, k)).astype(dtype)
    b = (rng.standard_normal((k, n)) / max(1, k) ** 0.5).astype(dtype)
    return a, b


SHAPES = {
    "single-task": (20, 30, 40),
    "tile-edges": (15, 33, 70),
    "strips": (45, 131, 100),
    "rows-of-tiles": (40, 150, 500),
    "low-and-wide": (5, 203, 70),
    "blocks-of-k": (65, 100, 1100),
    "blocks-of-rows-and-columns": (300, 1500, 300),
    "waiting-blocks-of-k": (400, 340, 2100),
    "segments-of-k": (40, 50, 9000),
    "segments-and-blocks-of-k": (130, 70, 21000),
    "power-of-two-strides": (96, 64, 1024),
    "square": (512, 512, 512),
    "few-rows": (8, 300, 400),
    "odd-few-rows": (13, 41, 301),
    "three-rows": (3, 50, 130),
    "few-rows-and-segments-of-k": (30, 40, 8192),
    "vector-matrix": (1, 1500, 333),
    "matrix-vector": (1500, 1, 333),
    "long-dot": (1, 3, 9001),
}


NATIVE_BF16 = [level for level in _core.isa_levels() if level in ("avx512_bf16", "amx")]


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("m,n,k", SHAPES.values(), ids=SHAPES)
def test_orders_in_memory(rng, level, m, n, k):
    """All combinations of row-major and column-major operands and outputs."""
    a, b = operands(rng, m, n, k)
    want = a.astype(np.float64) @ b.astype(np.float64)
    bar = max(2 * relative_error(a @ b, want), 4 * np.finfo(np.float32).eps)
    with isa(level):
        for a_order in "CF":
            for b_order in "CF":
                for out_order in "CF":
                    out = np.full((m, n), np.nan, np.float32, order=out_order)
                    _core.gemm(a.copy(a_order), b.copy(b_order), out=out)
                    assert relative_error(out, want) <= bar, (a_order, b_order, out_order)


@pytest.mark.parametrize("level", NATIVE_BF16)
@pytest.mark.parametrize("k", [0, 40])
def test_bfloat16_writes_nothing_beside_a_view(rng, level, k):
    """Rows of the output as far apart as those of a kernel's own sums."""
    a, b = operands(rng, 16, 16, k, DTYPES["bfloat16"])
    whole = np.full((17, 32), 7, np.float32)
    with isa(level):
        _core.gemm(a, b, out=whole[:16, 16:])
    want = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(whole[:16, 16:], want, 1e-5, 1e-5)
    assert (whole[:16, :16] == 7).all() and (whole[16] == 7).all()


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_of_any_size(rng, level, dtype):
    """Small products, of which nothing is packed: all heights and widths of tiles, and their edges."""
    a, b = operands(rng, 31, 140, 11, dtype)
    row, column = rng.standard_normal(140).astype(dtype), rng.standard_normal((31, 1)).astype(dtype)
    product = a.astype(np.float64) @ b.astype(np.float64)
    widths = [n + edge for n in range(0, 140, 8) for edge in (0, 1, 3, 7) if 0 < n + edge <= 139]
    with isa(level):
        for m in range(1, 32):
            for n in widths:
                whole = np.full((m + 1, n + 1), 3, dtype)
                for bias in (row[:n], column[:m]):
                    _core.gemm(a[:m], b[:, :n], bias, whole[:m, :n], 2.0, 0.0, "relu")
                    want = np.maximum(2 * product[:m, :n] + bias, 0)
                    np.testing.assert_allclose(whole[:m, :n], want, 0, 1e-5, err_msg=f"{m} x {n}")
                    assert (whole[m] == 3).all() and (whole[:, n] == 3).all()


@pytest.mark.parametrize("level", NATIVE_BF16)
@pytest.mark.parametrize("m,n,k", SHAPES.values(), ids=SHAPES)
def test_bfloat16_orders_in_memory(rng, level, m, n, k):
    a, b = operands(rng, m, n, k, DTYPES["bfloat16"])
    want = a.astype(np.float64) @ b.astype(np.float64)
    with isa(level):
        for dtype, bar in (("bfloat16", 2**-8), ("float32", 3e-6)):
            for a_order in "CF":
                for b_order in "CF":
                    for out_order in "CF":
                        out = np.full((m, n), np.nan, DTYPES[dtype], order=out_order)
                        _core.gemm(a.copy(a_order), b.copy(b_order), out=out)
                        assert relative_error(out, want) <= bar, (a_order, b_order, out_order)
            spread = np.repeat(a, 2, axis=1)[:, ::2]  # neither rows nor columns adjacent
            out = np.full((m, n), np.nan, DTYPES[dtype])
            _core.gemm(spread, np.repeat(b, 2, axis=1)[:, ::2], out=out)
            assert relative_error(out, want) <= bar


@pytest.mark.parametrize("level", NATIVE_BF16)
@pytest.mark.parametrize("m,k", [(32, 64), (48, 96), (64, 256), (112, 2048), (80, 4128), (50, 64)])
def test_bfloat16_rows_in_place(rng, level, m, k):
    """Rows of A that are read where they are: far apart, the same ones, one element apart, backwards; NaN beside them."""
    n = 72
    _, b = operands(rng, m, n, k, DTYPES["bfloat16"])
    room = np.full((m + 2, k + 34), np.nan, DTYPES["bfloat16"])
    room[1:-1, 17:-17] = rng.standard_normal((m, k))
    line = rng.standard_normal(m + k - 1).astype(DTYPES["bfloat16"])
    inner = room[1:-1, 17:-17]
    windows = np.lib.stride_tricks.sliding_window_view(line.view(np.int16), k).view(line.dtype)
    with isa(level):
        for a in (inner, inner[::-1], np.broadcast_to(line[:k], (m, k)), windows):
            want = a.astype(np.float64) @ b.astype(np.float64)
            out = np.full((m, n), np.nan, np.float32)
            _core.gemm(a, b, out=out)
            assert relative_error(out, want) <= 3e-6
            ours = _core.gemm(a, b).tobytes()
            for threads in (1, 2, 3):
                with num_threads(threads):
                    assert _core.gemm(a, b).tobytes() == ours


@pytest.mark.parametrize("level", NATIVE_BF16)
def test_bfloat16_in_a_forked_child(rng, level):
    a, b = operands(rng, 70, 90, 400, DTYPES["bfloat16"])
    with isa(level):
        want = _core.gemm(a, b).tobytes()
        child = os.fork()
        if child == 0:
            os._exit(_core.gemm(a, b).tobytes() != want)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("m", (36, 60, 250))
def test_operand_beyond_the_caches(rng, level, m):
    """A batch of matrices of 29 MB in all, which tiles read where they lie and ask for ahead (250 rows: at AVX-512)."""
    a = rng.standard_normal((m, 254), dtype=np.float32)
    b = rng.standard_normal((8, 254, 3600), dtype=np.float32)
    want = a.astype(np.float64) @ b
    outs = []
    with isa(level):
        for threads in (1, 2, 3):
            with num_threads(threads):
                outs.append(np.asarray(matmul(a, b)))
    np.testing.assert_allclose(outs[0], want, rtol=0, atol=1e-4)
    assert outs[0].tobytes() == outs[1].tobytes() == outs[2].tobytes()


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("m,n,k", SHAPES.values(), ids=SHAPES)
def test_epilogue(rng, level, dtype, m, n, k):
    """alpha, beta, bias and activation, also when the output waits for more of K."""
    dtype = DTYPES[dtype]
    a, b = operands(rng, m, n, k, dtype)
    row, column, c = (rng.standard_normal(s).astype(dtype) for s in ((n,), (m, 1), (m, n)))
    product = a.astype(np.float64) @ b.astype(np.float64)
    eps = max(float(np.finfo(np.float32).eps), {2: 2**-8, 4: 0, 8: 0}[dtype.itemsize])
    bar = 1e-12 if dtype == np.float64 else 4 * eps
    with isa(level):
        for bias in (row, column):
            y = 0.5 * product - 2 * c.astype(np.float64) + bias.astype(np.float64)
            for activation, want in (
                ("none", y), ("relu", np.maximum(y, 0)), ("tanh", np.tanh(y)),
                ("sigmoid", 1 / (1 + np.exp(-y))), ("silu", y / (1 + np.exp(-y))),
            ):  # fmt: skip
                out = _core.gemm(a, b, bias, c.copy(), 0.5, -2.0, activation)
                # No activation here is steeper than 1.1: the error of y decides.
                error = np.abs(out.astype(np.float64) - want).max()
                assert error <= bar * np.abs(y).max(), (activation, bias.shape)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("level", "shape"),
    [
        (level, name)
        for level in _core.isa_levels()
        for name, sizes in SHAPES.items()
        if level != "reference" or math.prod(sizes) <= 1e7  # its straight loops would take too long
    ],
)
def test_same_bits_at_any_thread_count_and_alignment(rng, level, dtype, shape):
    m, n, k = SHAPES[shape]
    a, b = operands(rng, m, n, k, DTYPES[dtype])
    with isa(level):
        want = _core.gemm(a, b).tobytes()
        for count in (1, 2, 3, 7):
            with num_threads(count):
                assert _core.gemm(a, b).tobytes() == want
        for shift in (4, 20, 60):
            moved = [np.frombuffer(b"\0" * shift + x.tobytes(), np.uint8)[shift:].view(x.dtype)
                     .reshape(x.shape) for x in (a, b)]  # fmt: skip
            assert _core.gemm(*moved).tobytes() == want


@pytest.mark.parametrize("level", _core.isa_levels())
@pytest.mark.parametrize("dtype", ALL)
def test_beta_zero_never_reads_out(rng, level, dtype):
    for m, n, k in ((3, 5, 7), (30, 40, 500), (33, 35, 0)):
        a, b = operands(rng, m, n, k, DTYPES[dtype])
        out = np.full((m, n), np.nan, DTYPES[dtype])
        with isa(level):
            _core.gemm(a, b, out=out)
        assert np.isfinite(out.astype(np.float64)).all()


@pytest.mark.parametrize("level", _core.isa_levels())
def test_nan_and_infinity_keep_their_footprint(rng, level):
    for m, n, k in ((17, 37, 5), (70, 90, 400)):
        a, b = operands(rng, m, n, k)
        a[5, 2] = np.nan
        b[3, 1] = np.inf
        a[7, 3] = 0
        with isa(level), np.errstate(invalid="ignore"):
            got = _core.gemm(a, b, activation="relu")
            want = np.maximum(a @ b, 0)
        assert (np.isnan(got) == np.isnan(want)).all()
        assert (np.isinf(got) == np.isinf(want)).all()


@pytest.mark.parametrize("k", [64, 1024, 8192])
def test_positive_sums_do_not_drift(rng, k):
    a, b = (rng.random(s).astype(np.float32) for s in ((30, k), (k, 40)))
    want = a.astype(np.float64) @ b.astype(np.float64)
    assert relative_error(_core.gemm(a, b), want) <= 2e-6


def test_wide_output_of_narrow_inputs(rng):
    for dtype in ("bfloat16", "float16"):
        a, b = operands(rng, 20, 30, 700, DTYPES[dtype])
        out = np.ones((20, 30), np.float32)
        want = a.astype(np.float64) @ b.astype(np.float64) + 1
        assert relative_error(_core.gemm(a, b, out=out, beta=1.0), want) <= 1e-6


def test_half_columns_of_one_array(rng):
    """in and out may be parts of one array that do not meet."""
    both = rng.standard_normal((40, 100)).astype(np.float32)
    w = rng.standard_normal((50, 50)).astype(np.float32)
    want = both[:, :50].astype(np.float64) @ w.astype(np.float64)
    _core.gemm(both[:, :50], w, out=both[:, 50:])
    assert relative_error(both[:, 50:], want) <= 2e-6


# ---- Refusals: nothing is written ----


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    "error,text,call",
    [
        (ShapeError, "a has shape (3, 4) and b (5, 6): inner sizes 4 and 5 differ",
         lambda out: _core.gemm(zeros(3, 4), zeros(5, 6))),
        (ShapeError, "out has shape (2, 2)",
         lambda out: _core.gemm(zeros(3, 4), zeros(4, 6), out=out)),
        (ShapeError, "batch axes of a", lambda out: _core.gemm(zeros(3, 3, 4), zeros(2, 4, 6))),
        (ShapeError, "has 0 dimensions", lambda out: _core.gemm(zeros(), zeros(4, 6))),
        (ShapeError, "bias of shape (3,) does not broadcast",
         lambda out: _core.gemm(zeros(2, 4), zeros(4, 2), zeros(3), out)),
        (ShapeError, "varies along rows and columns",
         lambda out: _core.gemm(zeros(2, 4), zeros(4, 2), zeros(2, 2), out)),
        (DTypeError, "a has dtype float32 and b float64",
         lambda out: _core.gemm(zeros(2, 4), zeros(4, 2, dtype=np.float64), out=out)),
        (DTypeError, "a has dtype int32",
         lambda out: _core.gemm(*[zeros(2, 2, dtype=np.int32)] * 2)),
        (DTypeError, "out has dtype float64",
         lambda out: _core.gemm(zeros(2, 2), zeros(2, 2), out=zeros(2, 2, dtype=np.float64))),
        (DTypeError, "must be a numpy.ndarray",
         lambda out: _core.gemm([1.0], zeros(2, 2), out=out)),
        (ValueError, "unknown activation 'swoosh'",
         lambda out: _core.gemm(zeros(2, 2), zeros(2, 2), out=out, activation="swoosh")),
        (ValueError, "unknown activation 99",
         lambda out: _core.gemm(zeros(2, 2), zeros(2, 2), out=out, activation=99)),
        (ValueError, "there is no out", lambda out: _core.gemm(zeros(2, 2), zeros(2, 2), beta=1.0)),
        (ValueError, "out shares memory with a", lambda out: _core.gemm(out, zeros(2, 2), out=out)),
        (ValueError, "stride 0", lambda out: _core.gemm(
            zeros(2, 2), zeros(2, 2), out=np.lib.stride_tricks.as_strided(out, (2, 2), (0, 4)))),
    ],
)  # fmt: skip
def test_refusals(error, text, call):
    out = np.full((2, 2), 7, np.float32)
    check_raises(lambda: call(out), error, text, unchanged=(out,))


def test_read_only_output_is_refused():
    out = zeros(2, 2)
    out.flags.writeable = False
    check_raises(lambda: _core.gemm(zeros(2, 2), zeros(2, 2), out=out), ValueError, "read-only")
