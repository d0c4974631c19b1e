"""Pooling of Tensors: values, gradients, gradients of gradients, errors."""

from itertools import chain

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn._errors import DTypeError, ShapeError
from tests.cases import generated
from tests.cases import pool as cases
from tests.harness import check_gradients, check_op, check_raises
from tests.reference import pool as reference

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
LP = {1: F.lp_pool1d, 2: F.lp_pool2d, 3: F.lp_pool3d}
ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def family(ops, rows_by_rank):
    """One parameter per case: the op of its rank, and the case."""
    return pytest.mark.parametrize(
        ("op", "case"),
        [pytest.param(ops[n], c, id=f"{n}d-{c}") for n, rows in rows_by_rank.items() for c in rows],
    )


MAX_CASES = {1: cases.MAX1D, 2: cases.MAX2D, 3: cases.MAX3D}
AVG_CASES = {1: cases.AVG1D, 2: cases.AVG2D, 3: cases.AVG3D}
ADAPTIVE_ROWS = {1: cases.ADAPTIVE1D, 2: cases.ADAPTIVE2D, 3: cases.ADAPTIVE3D}
LP_CASES = {1: cases.LP1D, 2: cases.LP2D, 3: cases.LP3D}


@family(MAX, MAX_CASES)
def test_max_pool(op, case):
    check_op(op, reference.max_pool_forward, reference.max_pool_backward, case, ceilings="max_pool")


@family(MAX, {n: rows[:3] for n, rows in MAX_CASES.items()})
def test_max_pool_with_indices(op, case):
    def both(x, **options):
        return op(x, return_indices=True, **options)

    def expected(x, **options):
        return reference.max_pool_forward(x, return_indices=True, **options)

    check_op(both, expected, reference.max_pool_backward, case, ceilings="max_pool")


@family(AVG, AVG_CASES)
def test_avg_pool(op, case):
    check_op(op, reference.avg_pool_forward, reference.avg_pool_backward, case, ceilings="avg_pool")


@family(ADAPTIVE_MAX, {n: cases.adaptive(r, cases.distinct) for n, r in ADAPTIVE_ROWS.items()})
def test_adaptive_max_pool(op, case):
    check_op(
        op, reference.adaptive_max_pool_forward, reference.adaptive_max_pool_backward, case,
        ceilings="max_pool",
    )  # fmt: skip


@family(ADAPTIVE_AVG, {n: cases.adaptive(r) for n, r in ADAPTIVE_ROWS.items()})
def test_adaptive_avg_pool(op, case):
    check_op(
        op, reference.adaptive_avg_pool_forward, reference.adaptive_avg_pool_backward, case,
        ceilings="avg_pool",
    )  # fmt: skip


@family(LP, LP_CASES)
def test_lp_pool_gradients(op, case):
    check_gradients(op, case)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_random_windows(n):
    for case in chain(generated.max_pool(n, 12), generated.avg_pool(n, 12)):
        kind = "max_pool" if "dilation" in case.kwargs else "avg_pool"
        op = (MAX if kind == "max_pool" else AVG)[n]
        forward = getattr(reference, f"{kind}_forward")
        backward = getattr(reference, f"{kind}_backward")
        check_op(op, forward, backward, case, ceilings=kind)


@family(MAX, {n: [rows[0], rows[1]] for n, rows in MAX_CASES.items()})
def test_max_pool_second_gradients(op, case):
    check_gradients(op, case)
    check_gradients(lambda x, **options: op(x, return_indices=True, **options), case)


@family(AVG, {n: [rows[0], rows[1]] for n, rows in AVG_CASES.items()})
def test_avg_pool_second_gradients(op, case):
    check_gradients(op, case)


@family(ADAPTIVE_AVG, {n: cases.adaptive(r[:2]) for n, r in ADAPTIVE_ROWS.items()})
def test_adaptive_second_gradients(op, case):
    check_gradients(op, case)


def test_adaptive_max_second_gradients():
    for case in cases.adaptive(cases.ADAPTIVE2D[:2], cases.distinct):
        check_gradients(F.adaptive_max_pool2d, case)


def test_unbatched_is_a_batch_of_one():
    x = fastnn.randn(3, 9, 8, requires_grad=True)
    for op in (
        lambda t: F.max_pool2d(t, 3, 2, 1),
        lambda t: F.avg_pool2d(t, 3, 2, 1),
        lambda t: F.adaptive_avg_pool2d(t, 2),
        lambda t: F.adaptive_max_pool2d(t, 2),
        lambda t: F.lp_pool2d(t, 2.0, 2),
    ):
        y, batched = op(x), op(x.unsqueeze(0))
        assert np.array_equal(y.detach().numpy(), batched[0].detach().numpy())
        y.sum().backward()


def test_unpool_inverts_max_pool():
    x = fastnn.randn(2, 3, 9, 8, requires_grad=True)
    y, indices = F.max_pool2d(x, 2, 2, return_indices=True)
    back = F.max_unpool2d(y, indices, 2, 2, output_size=(9, 8))
    again, places = F.max_pool2d(back, 2, 2, return_indices=True)
    positive = (y > 0).numpy()
    assert np.array_equal(again.detach().numpy()[positive], y.detach().numpy()[positive])
    assert np.array_equal(places.numpy()[positive], indices.numpy()[positive])
    back.sum().backward()
    assert np.array_equal(x.grad.numpy() != 0, back.detach().numpy() != 0)


def test_unpool_gradients():
    rng = np.random.default_rng(0)
    indices = fastnn.from_numpy(
        np.stack([rng.permutation(25)[:4].reshape(2, 2) for _ in range(6)]).reshape(2, 3, 2, 2)
    )

    def op(x):
        return F.max_unpool2d(x, indices, 2, 2, output_size=(5, 5))

    x = fastnn.randn(2, 3, 2, 2, dtype=fastnn.float64, requires_grad=True)
    assert fastnn.autograd.gradcheck(op, (x,))
    assert fastnn.autograd.gradgradcheck(op, (x,))


def test_unpool_refuses():
    x, indices = fastnn.randn(1, 1, 2, 2), fastnn.zeros(1, 1, 2, 2, dtype=fastnn.int64)
    indices[0, 0, 1, 1] = 16
    check_raises(lambda: F.max_unpool2d(x, indices, 2), IndexError, "max_unpool2d", "16")
    check_raises(lambda: F.max_unpool2d(x, indices.float(), 2), DTypeError, "indices")
    check_raises(
        lambda: F.max_unpool2d(x, indices[:, :, :1], 2), ShapeError, "indices", "(1, 1, 1, 2)"
    )
    check_raises(
        lambda: F.max_unpool2d(x, indices, 2, output_size=(9, 4)), ValueError, "output_size"
    )


def test_changing_returned_indices_is_noticed():
    x = fastnn.randn(1, 1, 4, 4, requires_grad=True)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    indices.zero_()
    check_raises(lambda: y.sum().backward(), RuntimeError, "modified by an inplace")


def test_fractional_max_pool():
    x = fastnn.randn(2, 3, 12, 17, requires_grad=True)
    samples = fastnn.rand(2, 3, 2)
    y = F.fractional_max_pool2d(x, 3, output_size=(5, 6), _random_samples=samples)
    ratio = F.fractional_max_pool2d(x, 3, output_ratio=(0.42, 0.36), _random_samples=samples)
    assert tuple(y.shape) == (2, 3, 5, 6)
    assert np.array_equal(y.detach().numpy(), ratio.detach().numpy())
    y.sum().backward()
    assert float(x.grad.sum()) == 2 * 3 * 5 * 6
    volume = F.fractional_max_pool3d(fastnn.randn(1, 2, 7, 8, 9), 2, output_size=3)
    assert tuple(volume.shape) == (1, 2, 3, 3, 3)
    check_raises(lambda: F.fractional_max_pool2d(x, 3), ValueError, "output_size")


def test_lp_pool_of_zeros_has_zero_gradient():
    x = fastnn.zeros(1, 1, 4, requires_grad=True)
    F.lp_pool1d(x, 2.0, 2).sum().backward()
    assert np.array_equal(x.grad.numpy(), np.zeros((1, 1, 4), np.float32))


@pytest.mark.parametrize("op", [F.max_pool2d, F.avg_pool2d])
def test_integers_are_refused(op):
    x = fastnn.zeros(1, 1, 4, 4, dtype=fastnn.int64)
    check_raises(lambda: op(x, 2), DTypeError, "pool2d", "int64")


def test_divisor_zero_is_refused():
    x = fastnn.zeros(1, 1, 4, 4)
    check_raises(lambda: F.avg_pool2d(x, 2, divisor_override=0), ValueError, "divisor_override")
