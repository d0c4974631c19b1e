"""Gradients of strided convolutions, and transposed ones, with weights that no near cache holds (of up to some MB)."""

import numpy as np
import pytest

from fastnn import _core
from fastnn.ops import conv as ops
from tests.backends import isa
from tests.cases import Case, normal_with_weight
from tests.harness import check_op
from tests.reference import conv as reference


def large(id, x, weight, **kwargs):
    groups = kwargs.get("groups", 1)
    return Case(id, (x, weight, (weight[1] * groups,)), kwargs, make=normal_with_weight)


# Weights that no near cache holds are laid out for all parts of the gradient at once.
LARGE_WEIGHTS = [
    large("4x4", (2, 160, 4, 5), (160, 96, 4, 4), stride=2, padding=1),
    large("one-tap-parts", (1, 300, 5, 5), (300, 64, 3, 3), stride=2, padding=1),
    large("taps-of-no-part", (2, 50, 1, 4), (50, 128, 7, 7), stride=4, padding=3),
    large("stride3", (2, 128, 4, 3), (128, 128, 5, 5), stride=3, padding=2),
    large("groups", (2, 256, 3, 3), (256, 96, 3, 3), stride=2, groups=2),
    large("narrow-panel", (1, 160, 4, 4), (160, 100, 4, 4), stride=2, padding=1),
    large("gaps", (1, 300, 3, 3), (300, 64, 3, 3), stride=4),
    large("side-by-side", (3, 260, 4, 5), (260, 150, 2, 2), stride=2),
    large("side-by-side-products", (5, 130, 12, 16), (130, 1000, 2, 2), stride=2),
    large("side-by-side-3", (2, 130, 3, 4), (130, 128, 3, 3), stride=3),
    large("side-by-side-columns", (1, 300, 5, 4), (300, 256, 1, 2), stride=(1, 2)),
    large("one-pixel-bias", (3, 20, 1, 1), (20, 9, 4, 5), stride=2),
    large("one-pixel-groups", (3, 20, 1, 1), (20, 9, 4, 5), groups=2),
    large("one-pixel-one-tap", (3, 20, 1, 1), (20, 9, 1, 1)),
    Case("one-pixel", ((3, 20, 1, 1), (20, 9, 4, 5), None), {"stride": 2}, make=normal_with_weight),
]


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("case", LARGE_WEIGHTS, ids=str)
def test_large_weights_of_strided_gradients(case, level):
    with isa(level):
        check_op(ops.conv_transpose2d, reference.conv_transpose_forward,
                 reference.conv_transpose_backward, case, ceilings="conv", dtypes=("float32",))  # fmt: skip


@pytest.mark.parametrize("level", _core.isa_levels())
def test_windows_side_by_side_of_no_pixels(level):
    y, w = np.zeros((1, 300, 0, 4), np.float32), np.zeros((300, 256, 2, 2), np.float32)
    with isa(level):
        assert _core.conv_backward_input(y, w, (1, 256, 0, 8), 2, 0, 1, 1).shape == (1, 256, 0, 8)
