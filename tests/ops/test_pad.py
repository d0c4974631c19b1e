"""Padding, unfold and fold: values, gradients, errors."""

import math

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn._errors import ShapeError
from tests.cases import rearrange as cases
from tests.harness import check_gradients, check_op, check_raises
from tests.reference import pad as reference
from tests.reference import rearrange


def by(rows):
    return pytest.mark.parametrize("case", rows, ids=str)


@by(cases.PAD)
def test_pad(case):
    check_op(
        F.pad, reference.pad_forward, reference.pad_backward, case, ceilings=(0.0, 5e-7),
        dtypes=("float32", "float64", "bfloat16", "float16"),
    )  # fmt: skip


@by([c for c in cases.PAD if c.full])
def test_pad_gradients(case):
    check_gradients(F.pad, case)


@by(cases.UNFOLD)
def test_unfold(case):
    check_op(
        F.unfold, rearrange.unfold_forward, rearrange.unfold_backward, case, ceilings=(0.0, 1e-6)
    )


@by(cases.FOLD)
def test_fold(case):
    check_op(F.fold, rearrange.fold_forward, rearrange.fold_backward, case, ceilings=(1e-6, 0.0))


@pytest.mark.parametrize("op_and_case", [(F.unfold, cases.UNFOLD[1]), (F.fold, cases.FOLD[1])])
def test_fold_gradients(op_and_case):
    check_gradients(*op_and_case)


@pytest.mark.parametrize("dtype", [fastnn.int64, fastnn.int32, fastnn.uint8, fastnn.bool])
def test_every_dtype_is_padded(dtype):
    x = fastnn.ones(2, 3, dtype=dtype)
    y = F.pad(x, (1, 0, 0, 2), value=1)
    assert y.dtype == dtype and bool((y == 1).all())
    assert tuple(y.shape) == (4, 4)


def test_circular_wraps_around_what_cropping_leaves():
    x = fastnn.arange(5.0).reshape(1, 1, 5)
    assert F.pad(x, (-1, 2), "circular").flatten().tolist() == [1, 2, 3, 4, 1, 2]


X = fastnn.zeros(1, 2, 4, 5)


@pytest.mark.parametrize(
    ("pad", "mode", "error", "fragments"),
    [
        ((1,), "constant", ValueError, ("two sizes",)),
        ((1,) * 10, "constant", ValueError, ("at most 8",)),
        ((-3, -3), "constant", ShapeError, ("(-3, -3)",)),
        ((2**62, 2**62), "constant", ValueError, ("overflow",)),
        ((5, 0, 0, 0), "reflect", ShapeError, ("reflect", "at most 4")),
        ((6, 0, 0, 0), "circular", ShapeError, ("circular", "at most 5")),
        ((1, 1, 1, 1, 1, 1, 1, 1), "reflect", NotImplementedError, ("8 sizes",)),
        ((1, 1), "mirror", ValueError, ("mirror",)),
        ((1.5, 1), "constant", TypeError, ("ints",)),
    ],
)
def test_pad_refuses(pad, mode, error, fragments):
    check_raises(lambda: F.pad(X, pad, mode), error, "pad", *fragments)


def test_value_is_for_constant_padding_only():
    check_raises(lambda: F.pad(X, (1, 1), "reflect", 2.0), ValueError, "value")


def test_value_that_integers_cannot_hold():
    whole = fastnn.zeros(1, dtype=fastnn.int64)
    assert F.pad(whole, (1, 1), value=2.5).tolist() == [2, 0, 2]  # the fraction is cut off
    check_raises(lambda: F.pad(whole, (1, 1), value=math.inf), RuntimeError, "pad", "overflow")


@pytest.mark.parametrize(
    ("call", "error", "fragments"),
    [
        (lambda: F.unfold(X, 6), ShapeError, ("unfold", "do not fit")),
        (lambda: F.unfold(X, 0), ValueError, ("kernel_size",)),
        (lambda: F.unfold(X, 2, stride=0), ValueError, ("stride",)),
        (lambda: F.unfold(X, 2, padding=-1), ValueError, ("padding",)),
        (lambda: F.unfold(X, (2, 2, 2)), ValueError, ("kernel_size",)),
        (lambda: F.fold(X[0], (4, 5), 2), ShapeError, ("columns",)),
        (lambda: F.fold(X[0, :, :3], (4, 5), 2), ShapeError, ("divisible",)),
        (lambda: F.fold(X, (4, 5), 2), ShapeError, ("fold",)),
    ],
)
def test_fold_refuses(call, error, fragments):
    check_raises(call, error, *fragments)


def test_fold_of_unfold_counts_overlaps():
    x = fastnn.ones(1, 1, 3, 3)
    y = F.fold(F.unfold(x, 2), (3, 3), 2)
    assert np.array_equal(y.numpy()[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
