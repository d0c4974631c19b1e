"""cross_entropy and nll_loss on Tensors."""

import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F
from tests.cases import losses as cases
from tests.harness import check_gradients, check_op, check_raises
from tests.reference import loss_class as reference


@pytest.mark.parametrize("case", cases.CROSS_ENTROPY, ids=str)
def test_cross_entropy(case):
    check_op(
        F.cross_entropy, reference.cross_entropy_forward, reference.cross_entropy_backward, case,
        ceilings="loss",
    )  # fmt: skip


@pytest.mark.parametrize("case", cases.NLL, ids=str)
def test_nll_loss(case):
    check_op(
        F.nll_loss, reference.nll_loss_forward, reference.nll_loss_backward, case, ceilings="loss"
    )


@pytest.mark.parametrize("case", cases.CROSS_ENTROPY, ids=str)
def test_gradients_of_cross_entropy(case):
    check_gradients(F.cross_entropy, case, wanted=_wanted(case))


@pytest.mark.parametrize("case", cases.NLL, ids=str)
def test_gradients_of_nll_loss(case):
    check_gradients(F.nll_loss, case, wanted=(0,))


def _wanted(case):
    return tuple(i for i, a in enumerate(case.inputs()[:2]) if a.dtype == np.float64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", [c for c in cases.CROSS_ENTROPY if c.full], ids=str)
def test_half_types(case, dtype):
    check_op(
        F.cross_entropy, reference.cross_entropy_forward, lambda *a, **k:
        reference.cross_entropy_backward(*a, **k)[:1], case, dtypes=(dtype,),
    )  # fmt: skip


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss])
def test_errors(f):
    x, y = fastnn.zeros(3, 5), fastnn.zeros(3, dtype=fastnn.int64)
    name = f.__name__
    check_raises(lambda: f(x, y + 5), IndexError, name, "target 5", "5 classes")
    check_raises(lambda: f(x, y[:2]), ValueError, name, "(2,)", "(3, 5)")
    check_raises(lambda: f(x, y, reduction="median"), ValueError, name, "'median'")
    check_raises(lambda: f(x.long(), y), TypeError, name, "int64")
    check_raises(lambda: f(x, y, fastnn.ones(4)), ValueError, "weight", "(4,)")
    with pytest.warns(UserWarning, match="reduction='sum'"):
        f(x, y, size_average=False)


def test_uint8_and_int32_labels_count_as_indices():
    x, y = fastnn.randn(6, 5), fastnn.tensor([0, 1, 2, 3, 4, 0])
    for dtype in (fastnn.uint8, fastnn.int32):
        assert fastnn.equal(F.cross_entropy(x, y.to(dtype)), F.cross_entropy(x, y))
        assert fastnn.equal(F.nll_loss(x, y.to(dtype)), F.nll_loss(x, y))


def test_labels_written_before_backward_are_noticed():
    x = fastnn.randn(4, 5, requires_grad=True)
    y = fastnn.tensor([0, 1, 2, 3])
    for f in (F.cross_entropy, F.nll_loss):
        loss = f(x, y)
        y.zero_()
        check_raises(loss.backward, RuntimeError, "modified by an inplace operation")
