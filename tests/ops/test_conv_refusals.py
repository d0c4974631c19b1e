"""What convolutions refuse, and how they say it."""

import functools

import numpy as np
import pytest

import fastnn
from fastnn import _core
from fastnn._errors import DTypeError, ShapeError
from fastnn.ops import conv as ops
from tests.harness import check_raises


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def conv(x=(1, 4, 5, 5), w=(6, 4, 3, 3), b=None, stride=1, padding=0, dilation=1, groups=1,
         transposed=False, output_padding=0):  # fmt: skip
    x, w = (a if isinstance(a, np.ndarray) else zeros(*a) for a in (x, w))
    return _core.conv_forward(x, w, b, stride, padding, dilation, groups, transposed,
                              output_padding)  # fmt: skip


transpose = functools.partial(conv, w=(4, 6, 3, 3), transposed=True)
BIG = 2**31


@pytest.mark.parametrize(
    "error, texts, call",
    [
        (ValueError, ["conv2d: stride", "(0, 0)"], lambda: conv(stride=0)),
        (ValueError, ["stride", "(1, -2)"], lambda: conv(stride=(1, -2))),
        (ValueError, ["stride"], lambda: conv(stride=BIG)),
        (ValueError, ["stride", "does not fit in 64 bits"], lambda: conv(stride=2**70)),
        (ValueError, ["stride", "2 of them", "got 3"], lambda: conv(stride=(1, 1, 1))),
        (TypeError, ["stride"], lambda: conv(stride=1.5)),
        (ValueError, ["dilation", "(0, 0)"], lambda: conv(dilation=0)),
        (ValueError, ["padding", "(-1, -1)"], lambda: conv(padding=-1)),
        (ValueError, ["padding"], lambda: conv(padding=2**62)),
        (ValueError, ["groups", "(0,)"], lambda: conv(groups=0)),
        (ShapeError, ["groups=4", "(6, 1, 3, 3)"], lambda: conv(w=(6, 1, 3, 3), groups=4)),
        (ShapeError, ["groups=2", "8 channels", "got 4"], lambda: conv(groups=2)),
        (ShapeError, ["4 channels", "got 3", "(1, 3, 5, 5)"], lambda: conv(x=(1, 3, 5, 5))),
        (ShapeError, ["kernel of 7", "padded input has (5)"], lambda: conv(w=(6, 4, 7, 7))),
        (ShapeError, ["spans 9"], lambda: conv(dilation=4)),
        (ShapeError, ["kernel sizes", "(6, 4, 0, 3)"], lambda: conv(w=(6, 4, 0, 3))),
        (ShapeError, ["weight must have 3 to 5"], lambda: conv(w=(6, 4))),
        (ShapeError, ["input must have 3 or 4"], lambda: conv(x=(5, 5))),
        (ShapeError, ["input must have 3 or 4"], lambda: conv(x=(1, 1, 4, 5, 5))),
        (ShapeError, ["bias", "(6,)", "(5,)"], lambda: conv(b=zeros(5))),
        (ShapeError, ["bias", "(6, 1)"], lambda: conv(b=zeros(6, 1))),
        (DTypeError, ["float32", "float64"], lambda: conv(w=zeros(6, 4, 3, 3, dtype="f8"))),
        (DTypeError, ["bias float64"], lambda: conv(b=zeros(6, dtype="f8"))),
        (DTypeError, ["int64"], lambda: conv(x=zeros(1, 4, 5, 5, dtype="i8"))),
        (TypeError, ["numpy.ndarray"], lambda: _core.conv_forward([], [], None, 1, 0, 1, 1)),
        (ValueError, ["activation 'swoosh'"],
         lambda: _core.conv_forward(zeros(1, 4, 5, 5), zeros(6, 4, 3, 3), None, 1, 0, 1, 1,
                                    activation="swoosh")),
        (ValueError, ["conv_transpose2d: stride"], lambda: transpose(stride=0)),
        (ValueError, ["output_padding", "got 1"], lambda: transpose(output_padding=1)),
        (ValueError, ["output_padding"], lambda: transpose(output_padding=-1)),
        (ShapeError, ["output size -13"], lambda: transpose(padding=10)),
        (ShapeError, ["output size"], lambda: transpose(x=(1, 4, 0, 5))),
        (ShapeError, ["output size"], lambda: transpose(stride=BIG - 1)),
        (ShapeError, ["4 channels", "got 3"], lambda: transpose(x=(1, 3, 5, 5))),
        (ShapeError, ["does not fit"], lambda: _core.conv_backward_input(
            zeros(1, 6, 3, 3), zeros(6, 4, 3, 3), (2, 4, 5, 5), 1, 0, 1, 1)),
        (ShapeError, ["does not fit"], lambda: _core.conv_backward_input(
            zeros(1, 5, 3, 3), zeros(6, 4, 3, 3), (1, 4, 5, 5), 1, 0, 1, 1)),
        (ShapeError, ["does not fit"], lambda: _core.conv_backward_input(
            zeros(1, 6, 3, 3), zeros(6, 4, 3, 3), (1, 4, -5, 5), 1, 0, 1, 1)),
        (ShapeError, ["channels"], lambda: _core.conv_backward_weight(
            zeros(1, 6, 3, 3), zeros(1, 4, 5, 5), (6, 5, 3, 3), 1, 0, 1, 1)),
        (ShapeError, ["does not fit"], lambda: _core.conv_backward_weight(
            zeros(2, 6, 3, 3), zeros(1, 4, 5, 5), (6, 4, 3, 3), 1, 0, 1, 1)),
    ],
)  # fmt: skip
def test_refusals(error, texts, call):
    check_raises(call, error, *texts)


def test_refusals_of_the_functions():
    x, w = fastnn.ones(1, 4, 5, 5), fastnn.ones(6, 4, 3, 3)
    check_raises(lambda: ops.conv2d(x, w, padding="some"), ValueError, "'valid', 'same'", "'some'")
    check_raises(lambda: ops.conv2d(x, w, padding="same", stride=2), RuntimeError, "strided")
    check_raises(lambda: ops.conv2d(x, w, padding=(1, 1, 1, 1)), ValueError, "padding", "2 of them")
    check_raises(lambda: ops.conv1d(x, w), ShapeError, "conv1d", "weight must have 3")
    check_raises(lambda: ops.conv2d(x._data, w), TypeError, "must be a Tensor")
    check_raises(lambda: ops.conv2d(x, w, 1.0), TypeError, "bias")
