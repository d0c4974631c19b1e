"""Which layers run_layers() may run without their forward(), and what they are to it."""

from __future__ import annotations

from .._core import register_layer, set_module_class
from . import activation, batchnorm, container, conv, dropout, flatten, linear, pooling
from .module import Module
from .utils.inference import Activated

set_module_class(Module)
for dims, convolution in enumerate((conv.Conv1d, conv.Conv2d, conv.Conv3d), 1):
    register_layer(convolution, "conv", dims)
for dims, pool in enumerate((pooling.MaxPool1d, pooling.MaxPool2d, pooling.MaxPool3d), 1):
    register_layer(pool, "max_pool", dims)
register_layer(pooling.AdaptiveAvgPool1d, "adaptive_avg_pool", 1)
register_layer(pooling.AdaptiveAvgPool2d, "adaptive_avg_pool", 2)
register_layer(pooling.AdaptiveAvgPool3d, "adaptive_avg_pool", 3)
for dims, norm in enumerate(
    (batchnorm.BatchNorm1d, batchnorm.BatchNorm2d, batchnorm.BatchNorm3d), 1
):
    register_layer(norm, "batch_norm", dims)
register_layer(linear.Linear, "linear")
register_layer(linear.Identity, "identity")
register_layer(dropout.Dropout, "dropout")
register_layer(activation.ReLU, "relu")
register_layer(activation.ReLU6, "relu6")
register_layer(flatten.Flatten, "flatten")
register_layer(Activated, "activated")
register_layer(container.Sequential, "sequence")
