"""The perceptron: one layer of threshold units and its error-correcting rule (Rosenblatt, 1958)."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..ops.creation import one_hot
from ..ops.pointwise import where


class Perceptron(nn.Module):
    """Threshold units: ``step(x @ weight.T + bias)``, 0 or 1 for each class. Images are flattened.

    The step has no useful gradient; training goes by ``perceptron_loss`` on ``scores(x)``, whose gradient is Rosenblatt's
    rule. Weights start at zero, as the rule is told.
    """

    def __init__(self, in_features: int = 784, num_classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def scores(self, x: Any) -> Any:
        """What the units compare with 0: (N, num_classes)."""
        return self.linear(x.flatten(1))

    def forward(self, x: Any) -> Any:
        return (self.scores(x) > 0).to(self.linear.weight.dtype)


def perceptron_loss(scores: Any, target: Any) -> Any:
    """The perceptron criterion: the mean over samples of ``sum_k max(0, -s_k a_k)``, s_k = 1 for the target class, else -1.

    SGD on it with rate lr and one sample at a time is the perceptron rule: a unit that fires wrongly moves by ``-lr x``,
    one that fails to fire by ``+lr x``, one that is right stays. A score of exactly 0 counts as not firing.
    """
    wanted = one_hot(target, scores.shape[1]) == 1
    fires = scores > 0
    wrong = wanted != fires
    sign = where(wanted, -1.0, 1.0)
    return where(wrong, scores * sign, 0.0).sum() / scores.shape[0]
