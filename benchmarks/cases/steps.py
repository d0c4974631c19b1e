"""Whole training steps: forward, loss, backward, optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Case, array


def _labels(t: Any, n: int, classes: int) -> Any:
    return t.from_numpy(np.random.default_rng(0).integers(0, classes, n))


def _step(t: Any, model: Any, x: Any, y: Any, optimizer: Any) -> Any:
    loss_of = t.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()

    return step


def _lenet(t: Any) -> Any:
    nn = t.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    x = t.from_numpy(array(64, 1, 28, 28))
    return _step(t, model, x, _labels(t, 64, 10), t.optim.Adam(model.parameters(), 1e-3))


def _mlp(batch: int) -> Any:
    def build(t: Any) -> Any:
        nn = t.nn
        model = nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )
        x = t.from_numpy(array(batch, 784))
        return _step(
            t, model, x, _labels(t, batch, 10), t.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
        )

    return build


def _small_cnn(t: Any) -> Any:
    nn = t.nn
    layers: list[Any] = []
    for i, o in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))
    x = t.from_numpy(array(32, 3, 32, 32))
    return _step(t, model, x, _labels(t, 32, 10), t.optim.Adam(model.parameters(), 1e-3))


CASES = [
    Case("LeNet-5, batch 64, Adam", _lenet, bar=2.0),
    Case(
        "MLP 784-512-512-10, batch 64, SGD",
        _mlp(64),
        6.0 * 64 * (784 * 512 + 512 * 512 + 5120),
        bar=1.3,
    ),
    Case(
        "MLP 784-512-512-10, batch 256, SGD", _mlp(256), 6.0 * 256 * (784 * 512 + 512 * 512 + 5120)
    ),
    Case("small CNN 32x32, batch 32, Adam", _small_cnn),
]
