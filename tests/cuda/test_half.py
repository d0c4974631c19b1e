"""bfloat16 and float16 through the op harness: the sums are float32, one rounding at the end."""

import pytest

import fastnn
from tests.catalog import OPERATORS
from tests.harness import check_op

NAMES = (
    "matmul linear addmm baddbmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d softmax log_softmax cross_entropy relu gelu "
    "silu tanh sigmoid"
).split()
SAVES_ITS_RESULT = ("softmax", "log_softmax", "sigmoid", "tanh")  # rounded, for backward
CALLS = [
    pytest.param(op, case, id=f"{op.name}-{case}")
    for op in OPERATORS
    if op.name in NAMES
    for case in op.cases
    if "padding_mode" not in case.kwargs
]


@pytest.mark.parametrize("op, case", CALLS)
def test_values_and_gradients(op, case):
    dtypes, half_eps = ("bfloat16", "float16"), 1.5 if op.name in SAVES_ITS_RESULT else 1.0
    check_op(op.of(fastnn), op.forward, op.backward, case, dtypes=dtypes, half_eps=half_eps)
