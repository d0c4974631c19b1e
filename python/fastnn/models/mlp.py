"""The multilayer perceptron (Rumelhart, Hinton and Williams, 1986)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn


class MLP(nn.Sequential):
    """Linear layers with an activation between them: in_features, hidden…, num_classes. Images are flattened.

    hidden: sizes of the hidden layers. dropout: share of hidden units dropped in training.
    """

    def __init__(
        self,
        in_features: int = 784,
        hidden: Sequence[int] = (512, 512),
        num_classes: int = 10,
        activation: Callable[[], Any] = nn.ReLU,
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for size in hidden:
            layers += [nn.Linear(in_features, size), activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            in_features = size
        super().__init__(*layers, nn.Linear(in_features, num_classes))
