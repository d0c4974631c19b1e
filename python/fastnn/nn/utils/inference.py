"""Networks made ready for inference: layers that do the work of what follows them."""

from __future__ import annotations

import copy
from typing import Any

from ..._core import PreparedWeights
from ...autograd.node import wants_grad
from ...ops._util import require_tensor
from ...ops.conv import conv_activated
from ...ops.linalg import linear_activated
from .. import activation, batchnorm, conv, dropout
from ..container import Sequential
from ..linear import Identity, Linear
from ..module import Module
from .fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (conv.Conv1d, conv.Conv2d, conv.Conv3d)
_TRANSPOSED = (conv.ConvTranspose1d, conv.ConvTranspose2d, conv.ConvTranspose3d)
_NORMS = (batchnorm.BatchNorm1d, batchnorm.BatchNorm2d, batchnorm.BatchNorm3d)
_IDLE = (Identity, dropout.Dropout, dropout.Dropout1d, dropout.Dropout2d, dropout.Dropout3d)
_NAMES = {
    activation.ReLU: "relu",
    activation.ReLU6: "relu6",
    activation.Sigmoid: "sigmoid",
    activation.Tanh: "tanh",
    activation.SiLU: "silu",
}


class Activated(Module):
    """activation(layer(input)), the activation applied as the layer's kernel writes its output.

    layer: Linear or Conv1d, Conv2d, Conv3d; activation: ReLU, ReLU6, Sigmoid, Tanh, GELU or SiLU.
    Where a gradient is wanted the two run one after the other.
    """

    def __init__(self, layer: Any, activation: Module) -> None:
        super().__init__()
        self.layer, self.activation = layer, activation
        name = _name_of(activation)
        if name is None or type(layer) not in (*_CONVOLUTIONS, Linear):
            raise TypeError(
                "Activated: expected a linear layer or a convolution and an activation that its "
                f"kernel knows, got {type(layer).__name__} and {type(activation).__name__}"
            )
        self._name = name

    def forward(self, input: Any) -> Any:
        layer, activation = self._modules["layer"], self._modules["activation"]
        weight, bias = layer._parameters["weight"], layer._parameters["bias"]
        require_tensor(input, "linear" if isinstance(layer, Linear) else f"conv{layer.dims}d")
        if wants_grad(input, weight, bias) or _is_watched(layer) or _is_watched(activation):
            return activation(layer(input))
        if isinstance(layer, Linear):
            return linear_activated(input, weight, bias, self._name)
        x, padding = layer._padded(input)
        return conv_activated(
            layer.dims, x, weight, bias, layer.stride, padding, layer.dilation, layer.groups, self._name
        )  # fmt: skip


def fuse_for_inference(model: Module) -> Any:
    """A copy of `model` for inference only: in evaluation mode, its parameters without gradients.

    In every Sequential of it (classes made from it count, if they keep its forward()), a batch
    normalisation is folded into the convolution before it, and an activation is applied by the kernel of
    the layer before it (see Activated). What became superfluous is replaced by Identity, so that
    positions stay. Modules with hooks, and all that other modules' forward() puts together, stay as they
    are. The outputs are those of `model.eval()` but for rounding, if nobody takes outputs from the
    middle of a Sequential.

    Convolutions of a Sequential keep a second copy of their weights, laid out for their kernels at the
    first call and again once the weights were changed; where it pays, bands of rows go through
    several at a time.
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(fused.modules()):
        if isinstance(module, Sequential) and type(module).forward is Sequential.forward:
            _fuse(module)
    for module in fused.modules():
        if type(module) in _CONVOLUTIONS:
            module.__dict__["_prepared"] = PreparedWeights()
    return fused.eval()  # the new modules too


def _fuse(sequence: Sequential) -> None:
    at = -1  # the layer that may take over what follows; none: -1
    for i, module in enumerate(list(sequence)):
        if type(module) in _IDLE and not _is_watched(module):
            continue
        layer = sequence[at] if at >= 0 else None
        if layer is None or _is_watched(layer) or _is_watched(module):
            merged = None
        else:
            merged = _merged(layer, module)
        if merged is None:
            at = i
        else:
            sequence[at], sequence[i] = merged, Identity()


def _merged(layer: Any, module: Any) -> Module | None:
    """One module that does what both do, or None."""
    kind = type(layer)
    if type(module) in _NORMS:
        # Not into a linear layer: with an input of three axes BatchNorm1d normalises the second. And
        # with groups, the output channels of a transposed weight lie along two axes.
        folds = kind in _CONVOLUTIONS or (kind in _TRANSPOSED and layer.groups == 1)
        if folds and module.running_mean is not None:
            return fuse_conv_bn_eval(layer, module, kind in _TRANSPOSED)
        return None
    if _name_of(module) is not None and kind in (*_CONVOLUTIONS, Linear):
        return Activated(layer, module)
    return None


def _name_of(module: Any) -> str | None:
    """What the kernels call an activation."""
    if type(module) is activation.GELU:
        return "gelu" if module.approximate == "none" else "gelu_tanh"
    return _NAMES.get(type(module))


def _is_watched(module: Module) -> bool:
    return bool(module._call_hooks)
