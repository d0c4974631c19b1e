"""Integers at their edges: numbers beside narrow dtypes, nothing divided by zero, ops of integers that floats have."""

import operator

import numpy as np
import pytest

import fastnn
from fastnn import tensor

BYTE = fastnn.uint8


def check(got, values, dtype):
    assert got.dtype is dtype
    assert got.tolist() == values


def byte(*values):
    return tensor(values, dtype=BYTE)


# ---- a number is wrapped into the tensor's dtype first -----------------------------------------------------------


@pytest.mark.parametrize("number", [-1, -253, 0, 3, 255, 256, 259, 300, 2**40 + 3])
@pytest.mark.parametrize("name", "eq ne lt le gt ge floordiv mod".split())
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
@pytest.mark.parametrize("zero_dim", [False, True])
def test_a_number_beside_narrow_integers(name, number, dtype, zero_dim):
    values = np.array([0, 1, 3, 100, 127], dtype)
    alone = np.array(number).astype(dtype)  # wraps
    op = getattr(operator, name)
    x = fastnn.from_numpy(values)
    other = tensor(number) if zero_dim else number
    if name in ("floordiv", "mod") and alone == 0:
        with pytest.raises(RuntimeError, match="by zero"):
            op(x, other)
        return
    np.testing.assert_array_equal(op(x, other).numpy(), op(values, alone))
    assert op(x, other).numpy().dtype == op(values, alone).dtype
    mirrored = op(alone, values[1:])
    np.testing.assert_array_equal(op(other, x[1:]).numpy(), mirrored)


def test_the_larger_and_the_smaller_of_a_byte_and_a_negative():
    minus = tensor(-1)
    check(fastnn.maximum(minus, byte(3)), [255], BYTE)
    check(fastnn.minimum(byte(3), minus), [3], BYTE)
    check(fastnn.fmod(byte(7), -3), [7], BYTE)
    assert fastnn.logical_and(byte(3), tensor(256)).tolist() == [False]
    check(fastnn.maximum(byte(3), tensor([-1])), [3], fastnn.int64)  # with dimensions it counts
    check(fastnn.maximum(tensor(3, dtype=BYTE), tensor(-1)), 3, fastnn.int64)
    check(byte(3) < 3.5, [True], fastnn.bool)


def test_bounds_of_bytes():
    x = byte(3, 250)
    check(fastnn.clamp(x, -1, 1), [1, 1], BYTE)
    check(fastnn.clamp(x, -10), [246, 250], BYTE)
    check(fastnn.clamp(x, tensor(-1), tensor(300)), [44, 44], BYTE)
    for bounds in [(None, 300), (-256, None)]:
        with pytest.raises(RuntimeError, match=r"clamp: .* to uint8 without overflow"):
            fastnn.clamp(x, *bounds)


@pytest.mark.parametrize("number, kept", [(-1, 255), (255, 255), (256, None), (-256, None)])
def test_a_number_put_into_bytes(number, kept):
    mask, x = tensor([True, False]), byte(1, 2)

    def assigned(index):
        y = x.clone()
        y[index] = number
        return y

    for put in (
        lambda: x.masked_fill(mask, number),
        lambda: fastnn.where(mask, number, x),
        lambda: assigned(0),
        lambda: assigned([0]),
        lambda: assigned(mask),
        lambda: x.index_fill(0, tensor([0]), number),
    ):
        if kept is not None:
            check(put(), [kept, 2], BYTE)
        else:
            with pytest.raises(RuntimeError, match=f"{number} cannot be converted to uint8"):
                put()


def test_a_byte_filled_with_a_negative():
    check(byte(3).fill_(-1), [255], BYTE)
    check(fastnn.full((1,), -255, dtype=BYTE), [1], BYTE)
    x = byte(3)
    for fill in (lambda: x.fill_(256), lambda: fastnn.full((1,), -129, dtype=fastnn.int8)):
        with pytest.raises(RuntimeError, match="without overflow"):
            fill()
    assert x.tolist() == [3]
    with pytest.raises(RuntimeError, match="pow: 257"):
        x.pow(257)


# ---- division ----------------------------------------------------------------------------------------------------

PLACES = {
    "tensor": lambda v, d: fastnn.tensor([v, 0], dtype=d),
    "full": lambda v, d: fastnn.full((2,), v, dtype=d),
    "fill_": lambda v, d: fastnn.zeros(2, dtype=d).fill_(v),
    "masked_fill": lambda v, d: fastnn.zeros(2, dtype=d).masked_fill(fastnn.tensor([True, False]), v),
    "pad": lambda v, d: fastnn.nn.functional.pad(fastnn.zeros(2, dtype=d), (1, 0), value=v),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("dtype", "fits", "too_much"),
    [
        (fastnn.uint8, [(255, 255), (1.9, 1)], [256, 300, -0.5, 1e10, float("nan"), float("inf")]),
        (fastnn.int8, [(-128, -128), (-1.9, -1)], [128, -129, 128.0, float("nan"), -float("inf")]),
        (fastnn.int32, [(-(2**31), -(2**31)), (2.0**30, 2**30)], [2**31, 1e10, float("nan")]),
        (fastnn.int64, [(2**62, 2**62)], [1e30, float("nan"), float("inf")]),
    ],
)
def test_a_number_that_does_not_fit_is_refused(place, dtype, fits, too_much):
    for value, kept in fits:
        assert PLACES[place](value, dtype)[0].item() == kept
    for value in too_much:
        with pytest.raises(RuntimeError, match="without overflow"):
            PLACES[place](value, dtype)


def test_a_number_that_does_not_fit_changes_nothing():
    x = fastnn.zeros(2, dtype=fastnn.uint8)
    for index in (0, slice(None), fastnn.tensor([1])):
        with pytest.raises(RuntimeError, match="without overflow"):
            x[index] = float("nan")
    assert x.tolist() == [0, 0]


DIVISIONS = [
    fastnn.floor_divide, fastnn.remainder, fastnn.fmod,
    lambda a, b: fastnn.div(a, b, rounding_mode="floor"),
    lambda a, b: fastnn.div(a, b, rounding_mode="trunc"),
]  # fmt: skip


@pytest.mark.parametrize("division", DIVISIONS)
def test_nothing_is_divided_by_zero(division):
    empty = fastnn.zeros(0, dtype=fastnn.int64)
    for zero in (0, False, tensor(0), fastnn.zeros(1, dtype=fastnn.int64), empty):
        check(division(empty, zero), [], fastnn.int64)
    check(division(tensor(7), empty), [], fastnn.int64)
    assert division(empty, 0.0).dtype is fastnn.float32
    with pytest.raises(RuntimeError, match="by zero"):
        division(tensor([7]), 0)
    with pytest.raises(fastnn.ShapeError):
        division(empty, fastnn.zeros(2, dtype=fastnn.int64))


def test_truncated_division_of_integers_is_exact():
    big = 2**60 + 1
    check(fastnn.div(tensor([big, -7, 7]), tensor([1, 2, -2]), rounding_mode="trunc"),
          [big, -3, -3], fastnn.int64)  # fmt: skip
    check(fastnn.div(byte(7), -2, rounding_mode="trunc"), [0], BYTE)
    check(fastnn.div(tensor([-7.0]), 2, rounding_mode="trunc"), [-3.0], fastnn.float32)


# ---- ops that PyTorch lets integers have -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [fastnn.int8, fastnn.uint8, fastnn.int32, fastnn.int64])
def test_relu_of_integers(dtype):
    values = [0, 2, 100] if dtype is BYTE else [-3, 2, 100]
    x = tensor(values, dtype=dtype)
    check(fastnn.relu(x), [0, 2, 100], dtype)
    check(fastnn.nn.ReLU()(x), [0, 2, 100], dtype)
    check(fastnn.nn.functional.relu6(x), [0, 2, 6], dtype)
    check(x.relu_(), [0, 2, 100], dtype)
    for relu in (fastnn.relu, fastnn.nn.functional.relu6):
        with pytest.raises(RuntimeError, match="Boolean inputs not supported"):
            relu(tensor([True]))


def test_logit_of_bools_and_integers():
    assert fastnn.logit(tensor([True, False])).tolist() == [np.inf, -np.inf]
    assert fastnn.logit(tensor([1, 0])).tolist() == [np.inf, -np.inf]
    np.testing.assert_allclose(fastnn.logit(tensor([True]), 1e-3).numpy(), np.log(999), rtol=1e-4)


def test_the_median_of_nothing():
    x = fastnn.zeros(0, 3, requires_grad=True)
    y = x.median()
    assert np.isnan(y.item()) and y.shape == ()
    y.backward()
    assert x.grad.shape == (0, 3)
    assert fastnn.zeros(0, dtype=fastnn.bfloat16).median().dtype is fastnn.bfloat16
    assert x.median(1).values.shape == (0,)
    for none in (lambda: x.median(0), lambda: fastnn.zeros(0, dtype=fastnn.int64).median()):
        with pytest.raises(IndexError, match="non-zero size"):
            none()


@pytest.mark.parametrize("op", [fastnn.cummax, fastnn.cummin])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.int64, fastnn.bool])
def test_running_extremes_of_nothing(op, shape, dtype):
    x = fastnn.zeros(shape, dtype=dtype)
    for dim in range(-len(shape), len(shape)):
        values, indices = op(x, dim)
        assert values.shape == indices.shape == shape
        assert (values.dtype, indices.dtype) == (dtype, fastnn.int64)


# ---- numbers where tensors belong --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", "dot outer mv cdist bincount hypot tensordot".split())
def test_a_number_in_the_place_of_a_tensor(name):
    op = getattr(fastnn, name)
    x = tensor([1, 2])
    for arguments in ((3, x), (x, 3)):
        with pytest.raises(
            TypeError, match=rf"{name}\(\): argument '\w+' must be a Tensor, not int"
        ):
            op(*arguments)
    with pytest.raises(TypeError, match="stack"):
        fastnn.stack([x, 3])
    with pytest.raises(TypeError, match="trace"):
        fastnn.trace(3)


def test_weights_of_bincount():
    x = tensor([1, 2, 1])
    check(fastnn.bincount(x, tensor([0.5, 1, 2])), [0, 2.5, 1], fastnn.float32)
    check(fastnn.bincount(x, tensor([1, 2, 3])), [0, 4, 2], fastnn.float64)
    with pytest.raises(fastnn.ShapeError, match="same length"):
        fastnn.bincount(x, tensor([1.0]))


@pytest.mark.parametrize("dtype", [fastnn.int8, fastnn.uint8, fastnn.int32, fastnn.int64])
@pytest.mark.parametrize(
    "reduce, alone, with_self",
    [
        ("sum", [6, 7, 1], [11, 10, 1]),
        ("prod", [8, 7, 1], [40, 21, 1]),
        ("mean", [3, 7, 1], [3, 5, 1]),
        ("amax", [4, 7, 1], [5, 7, 1]),
        ("amin", [2, 7, 1], [2, 3, 1]),
    ],
)
def test_scattered_integers(reduce, alone, with_self, dtype):
    x, src = tensor([5, 3, 1], dtype=dtype), tensor([2, 4, 7], dtype=dtype)
    index = tensor([0, 0, 1])
    check(x.scatter_reduce(0, index, src, reduce, include_self=False), alone, dtype)
    check(x.scatter_reduce(0, index, src, reduce), with_self, dtype)
