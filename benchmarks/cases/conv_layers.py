"""The convolutions of well-known networks: channels in, size, channels out, kernel, stride, padding, groups."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    inputs: int
    size: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False
    dilation: int = 1
    dims: int = 2

    @property
    def out_size(self) -> int:
        if self.transposed:
            return (self.size - 1) * self.stride - 2 * self.padding + self.kernel
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.size + 2 * self.padding - reach) // self.stride + 1

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs // self.groups * self.kernel**self.dims

    @property
    def depthwise(self) -> bool:
        return self.groups == self.inputs > 1

    def flops(self, batch: int) -> float:
        positions = self.size if self.transposed else self.out_size
        return 2.0 * batch * self.weights * positions**self.dims

    def bytes(self, batch: int) -> float:
        x = self.inputs * self.size**self.dims
        y = self.outputs * self.out_size**self.dims
        return 4.0 * (batch * (x + y) + self.weights)

    def kind(self, training: bool) -> str:
        if self.transposed:
            return "transposed"
        if self.depthwise:
            return "depthwise"
        plain = (self.kernel, self.stride, self.dilation, self.dims, self.groups) == (3, 1, 1, 2, 1)
        how = "training" if training else "forward"
        return f"conv 3x3 {how}" if plain and self.inputs >= 64 else f"conv {how}"


def _pointwise(inputs: int, size: int, outputs: int, stride: int = 1) -> Layer:
    return Layer(inputs, size, outputs, 1, stride)


def _depthwise(channels: int, size: int, stride: int = 1) -> Layer:
    return Layer(channels, size, channels, 3, stride, 1, channels)


def _same(inputs: int, size: int, outputs: int, kernel: int = 3, stride: int = 1) -> Layer:
    return Layer(inputs, size, outputs, kernel, stride, kernel // 2)


NETWORKS: dict[str, list[Layer]] = {
    "LeNet": [_same(1, 28, 6, 5), Layer(6, 14, 16, 5)],
    "AlexNet": [
        Layer(3, 224, 64, 11, 4, 2), _same(64, 27, 192, 5),
        _same(192, 13, 384), _same(384, 13, 256), _same(256, 13, 256),
    ],
    "VGG-16": [
        _same(3, 224, 64), _same(64, 224, 64), _same(64, 112, 128), _same(128, 112, 128), _same(128, 56, 256),
        _same(256, 56, 256), _same(256, 28, 512), _same(512, 28, 512), _same(512, 14, 512),
    ],
    "ResNet-18": [
        Layer(3, 224, 64, 7, 2, 3), _same(64, 56, 64), _same(64, 56, 128, 3, 2), _pointwise(64, 56, 128, 2),
        _same(128, 28, 128), _same(128, 28, 256, 3, 2), _pointwise(128, 28, 256, 2), _same(256, 14, 256),
        _same(256, 14, 512, 3, 2), _pointwise(256, 14, 512, 2), _same(512, 7, 512),
    ],
    "ResNet-50": [
        _pointwise(64, 56, 64), _pointwise(64, 56, 256), _pointwise(256, 56, 64), _pointwise(256, 56, 128),
        _same(128, 56, 128, 3, 2), _pointwise(128, 28, 512), _pointwise(256, 56, 512, 2), _pointwise(512, 28, 128),
        _pointwise(512, 28, 256), _same(256, 28, 256, 3, 2), _pointwise(256, 14, 1024), _pointwise(512, 28, 1024, 2),
        _pointwise(1024, 14, 256), _pointwise(1024, 14, 512), _same(512, 14, 512, 3, 2), _pointwise(512, 7, 2048),
        _pointwise(1024, 14, 2048, 2), _pointwise(2048, 7, 512),
    ],
    "MobileNetV2": [
        _same(3, 224, 32, 3, 2), _depthwise(32, 112), _pointwise(32, 112, 16), _pointwise(16, 112, 96),
        _depthwise(96, 112, 2), _pointwise(96, 56, 24), _pointwise(24, 56, 144), _depthwise(144, 56),
        _depthwise(144, 56, 2), _pointwise(144, 28, 32), _pointwise(32, 28, 192), _depthwise(192, 28),
        _depthwise(192, 28, 2), _pointwise(192, 14, 64), _pointwise(64, 14, 384), _depthwise(384, 14),
        _pointwise(384, 14, 96), _pointwise(96, 14, 576), _depthwise(576, 14), _depthwise(576, 14, 2),
        _pointwise(576, 7, 160), _pointwise(160, 7, 960), _depthwise(960, 7), _pointwise(960, 7, 320),
        _pointwise(320, 7, 1280),
    ],
    "GoogLeNet": [
        _same(64, 56, 192), _pointwise(192, 28, 96), _same(96, 28, 128), _pointwise(192, 28, 16), _same(16, 28, 32, 5),
        _pointwise(480, 14, 192), _same(96, 14, 208), _same(16, 14, 48, 5), _pointwise(832, 7, 256), _same(160, 7, 320),
    ],
    "U-Net": [
        _same(1, 256, 64), _same(64, 256, 64), _same(128, 128, 128), _same(512, 32, 512),
        Layer(1024, 16, 512, 2, 2, transposed=True), Layer(128, 128, 64, 2, 2, transposed=True),
    ],
    "DCGAN": [
        Layer(100, 1, 512, 4, transposed=True), Layer(512, 4, 256, 4, 2, 1, transposed=True),
        Layer(256, 8, 128, 4, 2, 1, transposed=True), Layer(128, 16, 64, 4, 2, 1, transposed=True),
        Layer(64, 32, 3, 4, 2, 1, transposed=True), Layer(3, 64, 64, 4, 2, 1), Layer(64, 32, 128, 4, 2, 1),
    ],
    "other": [
        Layer(256, 28, 256, 3, 1, 2, dilation=2), Layer(64, 1024, 128, 9, 1, 4, dims=1),
        Layer(32, 16, 64, 3, 1, 1, dims=3), Layer(128, 28, 128, 3, 1, 1, 32),
    ],
}  # fmt: skip
