"""Something that is no tensor in the place of each argument: a TypeError or ValueError, never more."""

import numpy as np
import pytest

import fastnn
from tests.catalog import OPERATORS

STRANGE = {
    "number": 2.5, "text": "x", "list": [1.0, 2.0], "object": object(), "array": np.ones((2, 3)),
    "None": None,
}  # fmt: skip
DEEP = ("attribute", "unsupported operand", "_data")  # the words of an error from too deep inside


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_arguments_that_are_no_tensors(op):
    cases = [c for c in op.cases if c.kwargs.get("padding_mode", "zeros") == "zeros"]
    for case in cases[:3]:
        tensors = [None if a is None else fastnn.from_numpy(a) for a in case.inputs()]
        for i, _ in enumerate(tensors):
            for kind, value in STRANGE.items():
                given = [*tensors[:i], value, *tensors[i + 1 :]]
                split = len(given) - len(case.names)
                named = dict(zip(case.names, given[split:], strict=True)) | case.kwargs
                try:
                    op.of(fastnn)(*given[:split], **named)  # some take a number, or None
                except (TypeError, ValueError, RuntimeError) as error:
                    assert not any(w in str(error) for w in DEEP), f"argument {i} = {kind}: {error}"


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin", "var", "logsumexp"])
def test_a_flag_without_a_truth_value(name):
    x = fastnn.ones(2, 3)
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        getattr(x, name)(0, keepdim=fastnn.ones(3))


def test_weights_of_another_size_are_refused():
    x, t = fastnn.ones(3, 4), fastnn.zeros(3, 4)
    for loss in ("mse_loss", "l1_loss", "huber_loss"):
        with pytest.raises(fastnn.ShapeError, match="same size"):
            getattr(fastnn.nn.functional, loss)(x, t, weight=fastnn.ones(4))


def test_nothing_to_normalize_has_gradients_of_zero():
    weight = fastnn.ones(3, requires_grad=True)
    fastnn.nn.functional.group_norm(fastnn.ones(2, 3, 0), 3, weight).sum().backward()
    fastnn.nn.functional.instance_norm(fastnn.ones(2, 3, 4, 0), weight=weight).sum().backward()
    assert weight.grad.tolist() == [0, 0, 0]


def test_no_classes():
    x, t = (fastnn.ones(2, 0, requires_grad=True) for _ in range(2))
    fastnn.nn.functional.cross_entropy(x, t).backward()
    assert x.grad.shape == t.grad.shape == (2, 0)
