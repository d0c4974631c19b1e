"""The cross-entropy kernels on arrays."""

import numpy as np
import pytest

from fastnn import _core
from tests.cases import losses as cases
from tests.harness import check_op, check_raises
from tests.reference import loss_class as reference

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def forward(x, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    code = REDUCTIONS[reduction]
    return _core.cross_entropy(x, target, weight, ignore_index, label_smoothing, code)[0]


def backward(
    dy, x, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    options = (ignore_index, label_smoothing, REDUCTIONS[reduction])
    _, saved = _core.cross_entropy(x, target, weight, *options)
    return (_core.cross_entropy_backward(dy, x, target, weight, saved, *options),)


def reference_backward(*args, **kwargs):
    return reference.cross_entropy_backward(*args, **kwargs)[:1]


@pytest.mark.parametrize("case", cases.CROSS_ENTROPY, ids=str)
def test_kernels(case):
    check_op(
        (forward, backward), reference.cross_entropy_forward, reference_backward, case,
        ceilings="loss",
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(6, 40), (2, 19, 150)], ids=["rows", "tiles"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_huge_and_infinite_logits(shape, smoothing):
    x = np.zeros(shape, np.float32)
    x[:, 0] = 1e30
    x[:, 1] = -np.inf
    target = np.zeros(shape[:1] + shape[2:], np.int64)
    loss, saved = _core.cross_entropy(x, target, None, -100, 0.0, 0)
    assert not loss.any()
    dx = _core.cross_entropy_backward(np.ones_like(loss), x, target, None, saved, -100, 0.0, 0)
    assert not dx.any()
    x[0, 2] = np.nan
    loss = _core.cross_entropy(x, target, None, -100, smoothing, 0)[0]
    assert np.isnan(loss[0]).all()


def test_ignored_positions_have_no_gradient_whatever_their_logits(rng):
    for shape in [(4, 33), (2, 5, 20)]:
        x = rng.standard_normal(shape).astype(np.float32)
        x[1] = np.nan
        target = np.zeros(shape[:1] + shape[2:], np.int64)
        target[1] = -7
        loss, saved = _core.cross_entropy(x, target, None, -7, 0.1, 1)
        one = np.ones((), np.float32)
        dx = _core.cross_entropy_backward(one, x, target, None, saved, -7, 0.1, 1)
        assert np.isfinite(loss) and not dx[1].any() and np.isfinite(dx).all()


def test_mean_over_nothing_is_nan():
    x = np.zeros((3, 4))
    assert np.isnan(_core.cross_entropy(x, np.full(3, -100), None, -100, 0.0, 1)[0])
    assert np.isnan(_core.cross_entropy(x[:0], np.zeros(0, int), None, -100, 0.0, 1)[0])


def test_channels_last_gradient_keeps_its_layout(rng):
    x = np.moveaxis(rng.standard_normal((2, 3, 4, 5)), -1, 1)
    target = rng.integers(0, 5, (2, 3, 4))
    dx = backward(np.ones(()), x, target)[0]
    assert dx.strides == x.strides
    want = backward(np.ones(()), x.copy(order="C"), target)[0]
    np.testing.assert_allclose(dx, want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("bad", [5, -1, 2**40])
def test_label_out_of_range(bad):
    target = np.array([0, bad, 4])
    check_raises(
        lambda: forward(np.zeros((3, 5)), target), IndexError,
        "cross_entropy", f"target {bad}", "flat index 1", "5 classes", "0 to 4",
    )  # fmt: skip


def test_bad_arguments():
    x, y = np.zeros((3, 5)), np.zeros(3, int)
    check_raises(lambda: forward(x, y[:2]), ValueError, "target has shape (2,)", "(3, 5)")
    check_raises(lambda: forward(x, np.zeros((3, 4))), ValueError, "probabilities", "(3, 4)")
    check_raises(lambda: forward(x, y, np.ones(4)), ValueError, "weight", "5 classes", "(4,)")
    check_raises(
        lambda: forward(x, y, np.ones(5, "f4")), ValueError, "weight", "float64", "float32"
    )
    check_raises(lambda: forward(x, y, label_smoothing=1.5), ValueError, "label_smoothing", "1.5")
    check_raises(lambda: forward(x, y, label_smoothing=np.nan), ValueError, "label_smoothing")
    check_raises(lambda: forward(y, np.array(0)), TypeError, "input", "int64")
    check_raises(lambda: forward(x, y > 0), TypeError, "target", "bool")
    check_raises(lambda: forward(np.zeros(()), y), ValueError, "dimension")
