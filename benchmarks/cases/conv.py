"""Every convolution of `conv_layers.py` at batch 1, 8 and 32: forward, and the full training step."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Step, forward_backward, tensor
from benchmarks.cases.conv_layers import NETWORKS, Layer

# Beyond this a case takes too long for a small machine.
MOST_FLOPS = 1.2e12


def _build(layer: Layer, batch: int, training: bool, t: Any) -> Step:
    f = getattr(t.nn.functional, f"conv{'_transpose' * layer.transposed}{layer.dims}d")
    size = (layer.size,) * layer.dims
    window = (layer.kernel,) * layer.dims
    channels = (layer.outputs, layer.inputs // layer.groups)
    if layer.transposed:
        channels = (layer.inputs, layer.outputs)
    x = tensor(t, batch, layer.inputs, *size, grad=training and layer.inputs > 3)
    w = tensor(t, *channels, *window, seed=1, grad=training)
    b = tensor(t, layer.outputs, seed=2, grad=training)
    extra: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding}
    if not layer.transposed:
        extra |= {"groups": layer.groups, "dilation": layer.dilation}

    def forward() -> Any:
        return f(x, w, b, **extra)

    return forward_backward(forward, [x, w, b], t) if training else forward


def _name(network: str, layer: Layer) -> str:
    kind = "depthwise" if layer.depthwise else f"to {layer.outputs}"
    name = f"{network} {layer.inputs}@{layer.size} {kind} k{layer.kernel}"
    for key, value, usual in (
        ("s", layer.stride, 1), ("d", layer.dilation, 1), ("g", layer.groups, 1), ("dims ", layer.dims, 2)
    ):  # fmt: skip
        if value != usual and not (key == "g" and layer.depthwise):
            name += f" {key}{value}"
    return name + " transposed" * layer.transposed


def _case(network: str, layer: Layer, batch: int, training: bool) -> Case:
    # Training needs three products of the same size; the first layer's input has no gradient.
    factor = (3 if layer.inputs > 3 else 2) if training else 1
    how = "training" if training else "forward"
    return Case(
        f"{_name(network, layer)}, b{batch} {how}",
        lambda t: _build(layer, batch, training, t),
        layer.flops(batch) * factor,
        layer.bytes(batch) * factor,
        layer.kind(training),
        quick=(batch, training) in ((1, False), (8, True)) and layer.flops(batch) < MOST_FLOPS / 30,
    )


CASES = [
    case
    for network, layers in NETWORKS.items()
    for layer in layers
    for batch in (1, 8, 32)
    for training in (False, True)
    if (case := _case(network, layer, batch, training)).flops <= MOST_FLOPS
]
