"""Every function with a reference, on Tensors: values, gradients, second gradients."""

from functools import partial

import pytest

import fastnn
from tests.cases import generated, special
from tests.catalog import OPERATORS, differentiable
from tests.harness import check_gradients, check_op, wanted_arguments

BY_NAME = {op.name: op for op in OPERATORS}
CALLS = [pytest.param(op, case, id=f"{op.name}-{case}") for op in OPERATORS for case in op.cases]
GENERATED = {
    name: getattr(generated, name)
    for name in ("matmul", "linear", "softmax", "layer_norm", "batch_norm")
} | {
    f"{family}{n}d": partial(getattr(generated, family), n)
    for family in ("conv", "conv_transpose", "max_pool", "avg_pool")
    for n in (1, 2, 3)
}
ONCE_DIFFERENTIABLE = {"grid_sample"}  # as in PyTorch
# Where NaN and infinities must come out exactly where the formula has them.
SPECIAL = [
    ("matmul", "primes"),
    ("linear", "batch"),
    ("conv1d", "plain"),
    ("conv2d", "3x3"),
    ("conv2d", "3x3-many-channels"),
    ("conv2d", "groups"),
    ("conv2d", "7x7-stride2"),
    ("conv2d", "depthwise"),
    ("conv3d", "plain"),
    ("max_pool2d", "3x3-stride2"),
    ("max_pool2d", "2x2"),
    ("avg_pool2d", "exclude-pad"),
    ("softmax", "rows"),
    ("log_softmax", "rows"),
    ("batch_norm", "train-2d"),
    ("batch_norm", "eval-2d"),
    ("layer_norm", "last"),
    ("group_norm", "2d"),
    ("interpolate", "nearest-2d"),
]


def function_of(op):
    function = op.of(fastnn)
    assert function is not None, f"fastnn has no {op.name}"
    return function


@pytest.mark.parametrize("op, case", CALLS)
def test_values_and_gradients(op, case):
    check_op(function_of(op), op.forward, op.backward, case, ceilings=op.ceilings)


@pytest.mark.parametrize("op, case", [call for call in CALLS if differentiable(call.values[1])])
def test_first_and_second_gradients(op, case):
    function, wanted = function_of(op), wanted_arguments(op.forward, op.backward, case)
    check_gradients(function, case, wanted=wanted, double=op.name not in ONCE_DIFFERENTIABLE)


@pytest.mark.parametrize("name", GENERATED)
def test_random_shapes(name):
    op = BY_NAME[name]
    function = function_of(op)
    for case in GENERATED[name](count=100):
        check_op(function, op.forward, op.backward, case, ceilings=op.ceilings)


@pytest.mark.parametrize("name, id", SPECIAL)
def test_nan_and_infinities(name, id):
    op = BY_NAME[name]
    case = special(next(c for c in op.cases if c.id == id))
    check_op(function_of(op), op.forward, op.backward, case, ceilings=op.ceilings)
