"""A recipe: how a model is made and trained by default. Flags of ``fastnn train`` override its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import models, nn, optim

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": optim.SGD,
    "momentum": lambda p, lr, **kw: optim.SGD(p, lr, momentum=0.9, **kw),
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
}
SCHEDULES = ("constant", "cosine", "onecycle")


@dataclass(frozen=True)
class Recipe:
    """Defaults of one model. make(features, classes) builds it; prepare(model, images) runs before training."""

    make: Callable[[tuple[int, ...], int], Any]
    loss: Callable[[Any, Any], Any] = nn.functional.cross_entropy
    scores: Callable[[Any, Any], Any] = lambda model, x: model(x)
    prepare: Callable[[Any, Any], None] | None = None
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "constant"
    epochs: int = 5
    batch_size: int = 64
    about: str = ""


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def _lenet(shape: tuple[int, ...], classes: int) -> Any:
    if shape[-2:] != (28, 28):
        raise ValueError(f"lenet5 takes 28x28 images, this data has shape {shape}; try mlp")
    return models.LeNet5(classes)


RECIPES: dict[str, Recipe] = {
    "perceptron": Recipe(
        make=lambda shape, classes: models.Perceptron(_size(shape), classes),
        loss=models.perceptron_loss,
        scores=lambda model, x: model.scores(x),
        optimizer="sgd",
        lr=0.05,
        schedule="cosine",
        epochs=10,
        batch_size=16,
        about="threshold units and Rosenblatt's rule",
    ),
    "mlp": Recipe(
        make=lambda shape, classes: models.MLP(_size(shape), (512, 512), classes, dropout=0.2),
        schedule="onecycle",
        lr=2e-3,
        about="784-512-512-10 with ReLU and dropout",
    ),
    "rbf": Recipe(
        make=lambda shape, classes: models.RBFNetwork(
            _size(shape), 500, classes, train_centres=True
        ),
        prepare=lambda model, images: model.fit_centres(images, iterations=10),
        schedule="onecycle",
        lr=5e-2,
        about="500 Gaussian units, centres by k-means, then trained with the rest",
    ),
    "lenet5": Recipe(
        make=_lenet,
        schedule="onecycle",
        lr=4e-3,
        about="LeCun's convolutional network of 1998",
    ),
}
