"""Whole networks in the API that fastnn and PyTorch share: `network(t, name)` builds one with backend module t."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def mlp(t: Any) -> Any:
    nn = t.nn
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


def lenet5(t: Any) -> Any:
    nn = t.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def small_cnn(t: Any) -> Any:
    """A small VGG-like network for 32x32 images."""
    nn = t.nn
    layers: list[Any] = []
    for i, o in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))


def _unit(t: Any, i: int, o: int, k: int, stride: int = 1, groups: int = 1) -> list[Any]:
    nn = t.nn
    return [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]


def _residual(t: Any) -> Any:
    class Residual(t.nn.Module):  # type: ignore[misc, name-defined]
        """last(body(x) + shortcut(x))."""

        def __init__(self, body: Any, shortcut: Any, last: Any) -> None:
            super().__init__()
            self.body, self.shortcut, self.last = body, shortcut, last

        def forward(self, x: Any) -> Any:
            return self.last(self.body(x) + self.shortcut(x))

    return Residual


def resnet18(t: Any) -> Any:
    nn, block = t.nn, _residual(t)
    layers = [*_unit(t, 3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    i = 64
    for o, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        body = nn.Sequential(*_unit(t, i, o, 3, stride), nn.ReLU(), *_unit(t, o, o, 3))
        plain = stride == 1 and i == o
        shortcut = nn.Identity() if plain else nn.Sequential(*_unit(t, i, o, 1, stride))
        layers.append(block(body, shortcut, nn.ReLU()))
        i = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def mobilenet_v2(t: Any) -> Any:
    nn, block = t.nn, _residual(t)
    layers = [*_unit(t, 3, 32, 3, 2), nn.ReLU6()]
    i = 32
    for expand, o, repeats, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            stride, wide = (first_stride if repeat == 0 else 1), i * expand
            body = [*_unit(t, i, wide, 1), nn.ReLU6()] if expand > 1 else []
            body += [*_unit(t, wide, wide, 3, stride, wide), nn.ReLU6(), *_unit(t, wide, o, 1)]
            inner = nn.Sequential(*body)
            same = stride == 1 and i == o
            layers.append(block(inner, nn.Identity(), nn.Identity()) if same else inner)
            i = o
    layers += [*_unit(t, i, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


def folded(t: Any, model: Any) -> Any:
    """The model, which must be in evaluation mode, with its normalisations folded into the convolutions before them; ours
    also with activations applied by the layers before them."""
    if hasattr(t.nn.utils, "fuse_for_inference"):
        return t.nn.utils.fuse_for_inference(model)
    for child in model.children():
        folded(t, child)
    if isinstance(model, t.nn.Sequential):
        for i in range(len(model) - 1):
            if isinstance(model[i], t.nn.Conv2d) and isinstance(model[i + 1], t.nn.BatchNorm2d):
                model[i] = t.nn.utils.fuse_conv_bn_eval(model[i], model[i + 1])
                model[i + 1] = t.nn.Identity()
    return model


@dataclass(frozen=True)
class Network:
    """`products`: multiply-adds of the convolutions and linear layers for one input; `first`: those of the first layer,
    whose input wants no gradient."""

    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    products: int
    first: int

    def flops(self, batch: int, training: bool = False) -> float:
        """Of a forward pass, or of a whole step: each layer's result and the gradients of its weight and input."""
        return 2.0 * batch * (3 * self.products - self.first if training else self.products)


NETWORKS = {
    "MLP 784-512-512-10": Network(mlp, (784,), 668_672, 401_408),
    "LeNet-5": Network(lenet5, (1, 28, 28), 416_520, 117_600),
    "small CNN 32x32": Network(small_cnn, (3, 32, 32), 10_342_400, 884_736),
    "ResNet-18": Network(resnet18, (3, 224, 224), 1_814_073_344, 118_013_952),
    "MobileNetV2": Network(mobilenet_v2, (3, 224, 224), 300_774_272, 10_838_016),
}
