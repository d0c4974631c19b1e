"""Batch normalisation folded into the layer before it, for networks that no longer train."""

from __future__ import annotations

import copy
from typing import Any

from ...ops.creation import zeros_like
from ..batchnorm import _Norm
from ..parameter import Parameter


def _factor(rv: Any, eps: float, weight: Any) -> Any:
    """What the normalisation multiplies each channel with."""
    factor = (rv + eps).rsqrt()
    return factor if weight is None else weight.detach() * factor


def _fold(
    w: Any, b: Any, rm: Any, rv: Any, eps: float, bn_w: Any, bn_b: Any, channel_axis: int
) -> tuple[Parameter, Parameter]:
    """w and b so that the layer gives what the normalisation made of its output."""
    factor = _factor(rv, eps, bn_w)
    shape = [1] * w.ndim
    shape[channel_axis] = -1
    weight = (w.detach() * factor.reshape(shape)).to(w.dtype)
    start = zeros_like(rm) if b is None else b.detach()
    bias = (start - rm) * factor
    if bn_b is not None:
        bias = bias + bn_b.detach()
    bias_grad = w.requires_grad if b is None else b.requires_grad
    return Parameter(weight, w.requires_grad), Parameter(bias.to(w.dtype), bias_grad)


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a convolution that does what this one and a batch normalisation after
    it do, with the statistics bn_rm and bn_rv. `transpose`: of a transposed convolution."""
    return _fold(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """The same for a linear layer."""
    return _fold(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fused(layer: Any, bn: _Norm, fold: Any, **options: Any) -> Any:
    if layer.training or bn.training:
        raise ValueError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("fusion needs a batch normalisation with running statistics")
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = fold(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        **options,
    )
    return fused


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of `conv` that also does the work of `bn`; both must be in evaluation mode."""
    return _fused(conv, bn, fuse_conv_bn_weights, transpose=transpose)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of `linear` that also does the work of `bn`; both must be in evaluation mode."""
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise ValueError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    return _fused(linear, bn, fuse_linear_bn_weights)
