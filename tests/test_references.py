"""The gradients of every reference, by finite differences (no PyTorch needed)."""

import pytest

from tests.backends import ArrayBackend
from tests.catalog import OPERATORS, differentiable
from tests.harness import check_gradients, wanted_arguments


@pytest.mark.parametrize(
    "op, case",
    [
        pytest.param(op, case, id=f"{op.name}-{case}")
        for op in OPERATORS
        for case in op.cases
        if differentiable(case)
    ],
)
def test_gradient(op, case):
    both = (op.forward, op.backward)
    wanted = wanted_arguments(*both, case)
    check_gradients(both, case, wanted=wanted, double=False, backend=ArrayBackend())
