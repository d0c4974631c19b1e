"""What an operation saves for backward: no more than PyTorch does, so that the rest may be written."""

import numpy as np
import pytest

import fastnn

C = fastnn.tensor(np.random.default_rng(1).random((4, 4)) + 0.2)
FREE = {  # the gradient does not need the operand
    "add": lambda t: t + C,
    "mul constant": lambda t: t * C,
    "constant mul": lambda t: C * t,
    "mul number": lambda t: t * 0.5,
    "div constant": lambda t: t / C,
    "div number": lambda t: t / 3,
    "remainder": lambda t: t % 0.3,
    "fmod": lambda t: fastnn.fmod(t, 0.3),
    "addcmul": lambda t: fastnn.addcmul(C, t, C),
    "lerp": lambda t: fastnn.lerp(t, C, 0.3),
    "sum": lambda t: t.sum(0),
    "mean": lambda t: t.mean(),
    "exp": lambda t: t.exp(),  # saves its result
    "softmax": lambda t: t.softmax(1),
    "relu": lambda t: t.relu(),
    "cat": lambda t: fastnn.cat([t, C]),
    "index": lambda t: t[[0, 1]],
    "masked_fill": lambda t: t.masked_fill(C > 0.5, 1.0),
}
NEEDED = {
    "square": lambda t: t * t,
    "constant div": lambda t: C / t,
    "pow": lambda t: t**3,
    "log": lambda t: t.log(),
    "atan2": lambda t: fastnn.atan2(t, C),
    "remainder": lambda t: C % t,
}


def gradient(function, written=False):
    leaf = fastnn.tensor(np.random.default_rng(0).random((4, 4)) + 0.2, requires_grad=True)
    t = leaf * 1.0
    y = function(t)
    if written:
        t.mul_(2.0)
    y.sum().backward()
    return leaf.grad.tolist()


@pytest.mark.parametrize("name", FREE)
def test_an_operand_that_is_not_needed_may_be_written(name):
    assert gradient(FREE[name], written=True) == gradient(FREE[name])


@pytest.mark.parametrize("name", NEEDED)
def test_one_that_is_needed_may_not(name):
    gradient(NEEDED[name])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradient(NEEDED[name], written=True)


def test_scaling_in_place_through_a_view_trains():
    leaf = fastnn.ones(3, requires_grad=True)
    t = leaf * 1.0
    t[1:] = t[1:] * 0.5 + 2.0
    t.sum().backward()
    assert leaf.grad.tolist() == [1.0, 0.5, 0.5]
