"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998)."""

from __future__ import annotations

from typing import Any

from .. import nn


class LeNet5(nn.Module):
    """Two 5x5 convolutions with pooling, then 120, 84 and 10 units: (N, 1, 28, 28) to (N, num_classes) logits.

    The layers' sizes are the paper's. By default with today's parts, ReLU and max pooling; ``classic=True`` takes the
    paper's tanh and average pooling.
    """

    def __init__(self, num_classes: int = 10, classic: bool = False) -> None:
        super().__init__()
        activation = nn.Tanh if classic else nn.ReLU
        pool = nn.AvgPool2d if classic else nn.MaxPool2d
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), activation(), pool(2),
            nn.Conv2d(6, 16, 5), activation(), pool(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120), activation(),
            nn.Linear(120, 84), activation(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x))
