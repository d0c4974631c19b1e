"""Convolutions of known networks: forward, and forward + backward."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, tensor

# batch, in channels, size, out channels, kernel, stride, padding, groups
LAYERS = {
    "LeNet conv1": (64, 1, 28, 6, 5, 1, 2, 1),
    "LeNet conv2": (64, 6, 14, 16, 5, 1, 0, 1),
    "AlexNet conv1": (4, 3, 224, 64, 11, 4, 2, 1),
    "VGG 64x112": (1, 64, 112, 128, 3, 1, 1, 1),
    "VGG 256x28": (4, 256, 28, 256, 3, 1, 1, 1),
    "VGG 512x14": (4, 512, 14, 512, 3, 1, 1, 1),
    "ResNet stem": (4, 3, 224, 64, 7, 2, 3, 1),
    "ResNet 64x56": (8, 64, 56, 64, 3, 1, 1, 1),
    "ResNet 128x28": (8, 128, 28, 128, 3, 1, 1, 1),
    "ResNet strided": (8, 128, 56, 128, 3, 2, 1, 1),
    "ResNet 1x1": (8, 256, 28, 64, 1, 1, 0, 1),
    "MobileNet depthwise": (8, 96, 56, 96, 3, 1, 1, 96),
    "MobileNet depthwise s2": (8, 96, 56, 96, 3, 2, 1, 96),
}
FAST = ("VGG 64x112", "VGG 256x28", "VGG 512x14", "ResNet 64x56", "ResNet 128x28")


def _work(
    n: int, c: int, size: int, k: int, r: int, stride: int, pad: int, groups: int
) -> tuple[float, float]:
    out = (size + 2 * pad - r) // stride + 1
    flops = 2.0 * n * k * out * out * (c // groups) * r * r
    return flops, 4.0 * (n * c * size * size + k * c // groups * r * r + n * k * out * out)


def _case(name: str, training: bool) -> Case:
    n, c, size, k, r, stride, pad, groups = LAYERS[name]

    def build(t: Any) -> Any:
        f = t.nn.functional.conv2d
        x = tensor(t, n, c, size, size, grad=training and c > 3)
        w = tensor(t, k, c // groups, r, r, seed=1, grad=training)
        b = tensor(t, k, seed=2, grad=training)
        if not training:
            return lambda: f(x, w, b, stride, pad, 1, groups)
        g = t.ones_like(f(x, w, b, stride, pad, 1, groups).detach())

        def step() -> None:
            x.grad = w.grad = b.grad = None
            f(x, w, b, stride, pad, 1, groups).backward(g)

        return step

    flops, size_bytes = _work(*LAYERS[name])
    factor = (3 if c > 3 else 2) if training else 1
    return Case(
        f"{name}, {'training' if training else 'forward'}",
        build,
        flops * factor,
        size_bytes * factor,
        share=0.75 if name in FAST and not training else 0.0,
    )


CASES = [_case(name, training) for name in LAYERS for training in (False, True)]
