"""Whole training steps: forward, loss, backward, optimizer."""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.case import Case, Step, array, labels
from benchmarks.networks import NETWORKS


def _case(name: str, batch: int, rule: str, kind: str = "step", quick: bool = True) -> Case:
    source = NETWORKS[name]

    def build(t: Any) -> Step:
        network = source.build(t)
        model, loss_of = peers.prepare(network), t.nn.CrossEntropyLoss()
        x = t.from_numpy(array(batch, *source.shape))
        classes = list(network.parameters())[-1].shape[0]
        y = labels(t, batch, classes)
        rate: dict[str, Any] = {"lr": 1e-2, "momentum": 0.9} if rule == "SGD" else {"lr": 1e-3}
        optimizer = getattr(t.optim, rule)(network.parameters(), **rate)

        def step() -> None:
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()

        return step

    return Case(
        f"{name}, batch {batch}, {rule}",
        build,
        source.flops(batch, training=True),
        0.0,
        kind,
        quick,
    )


CASES = [
    _case("LeNet-5", 64, "Adam", "step LeNet"),
    _case("LeNet-5", 256, "Adam", "step LeNet", quick=False),
    _case("MLP 784-512-512-10", 64, "SGD"),
    _case("MLP 784-512-512-10", 256, "SGD"),
    _case("MLP 784-512-512-10", 64, "Adam", quick=False),
    _case("small CNN 32x32", 32, "Adam"),
    _case("ResNet-18", 4, "SGD"),
    _case("MobileNetV2", 4, "SGD"),
]
