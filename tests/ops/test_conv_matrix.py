"""Convolutions whose windows are the image, which are products of matrices (the plain cases are among test_conv.py's)."""

import numpy as np
import pytest

from fastnn import _core
from fastnn.ops import conv as ops
from tests.backends import isa
from tests.harness import check_op
from tests.ops.test_conv import HALVES, PATHS
from tests.reference import conv as reference

MATRICES = [c for c in PATHS if c.id.startswith("window") or c.id == "one-pixel-each"]


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
@pytest.mark.parametrize("case", MATRICES, ids=str)
def test_windows_of_the_image_in_other_types(case, level):
    with isa(level):
        check_op(ops.conv2d, reference.conv_forward, reference.conv_backward, case,
                 ceilings="conv", dtypes=("float64",))  # fmt: skip
        check_op(ops.conv2d, reference.conv_forward, reference.conv_backward, case, dtypes=HALVES)


@pytest.mark.parametrize("level", _core.isa_levels()[1:])
def test_windows_of_turned_images(level):
    """Reversed and transposed views, whose channels and taps are one axis or not, as their copies."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 6, 4, 4)).astype(np.float32)
    w = rng.standard_normal((5, 6, 4, 4)).astype(np.float32)
    dy = rng.standard_normal((3, 5, 1, 1)).astype(np.float32)
    turns = [
        lambda a: a[:, ::-1, ::-1, ::-1], lambda a: a.swapaxes(2, 3), lambda a: a[:, :, ::-1],
        lambda a: np.broadcast_to(a[:, :1], a.shape),
    ]  # fmt: skip
    with isa(level):
        for turn_x in turns:
            for turn_w in turns:
                a, b = turn_x(x), turn_w(w)
                for got, want in (
                    (_core.conv_forward(a, b, None, 1, 0, 1, 1),
                     _core.conv_forward(a.copy(), b.copy(), None, 1, 0, 1, 1)),
                    (_core.conv_backward_input(dy, b, x.shape, 1, 0, 1, 1),
                     _core.conv_backward_input(dy, b.copy(), x.shape, 1, 0, 1, 1)),
                    (_core.conv_backward_weight(dy, a, w.shape, 1, 0, 1, 1),
                     _core.conv_backward_weight(dy, a.copy(), w.shape, 1, 0, 1, 1)),
                ):  # fmt: skip
                    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
