"""Convolutions of (N, C, spatial…) arrays in one to three dimensions; the weight's rank says how many.

Channels-last arrays (the NCHW view of an NHWC array) are taken as they are, and the result keeps the input's layout.
stride, padding, dilation: a number, or one for each axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core

Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


def conv(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str = "none",
) -> np.ndarray:
    """``activation(x ⋆ weight + bias)``: x (N, C, …), weight (K, C / groups, …), bias (K,); result (N, K, …)."""
    return _core.conv_forward(
        x, weight, bias, stride, padding, dilation, groups, activation=activation
    )


def conv_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Gradients:
    """(dx, dweight, dbias) of ``conv`` without an activation."""
    how = (stride, padding, dilation, groups)
    return _backward(dy, x, weight, how, transposed=False)


def conv_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str = "none",
) -> np.ndarray:
    """The gradient of a convolution as a layer: x (N, C, …), weight (C, K / groups, …), bias (K,); result (N, K, …)."""
    how = (stride, padding, dilation, groups, True, output_padding)
    return _core.conv_forward(x, weight, bias, *how, activation=activation)


def conv_transpose_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Gradients:
    """(dx, dweight, dbias) of ``conv_transpose`` without an activation."""
    how = (stride, padding, dilation, groups)
    return _backward(dy, x, weight, how, transposed=True)


def _backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, how: tuple, transposed: bool
) -> Gradients:
    return (
        _core.conv_backward_input(dy, weight, x.shape, *how, transposed),
        _core.conv_backward_weight(dy, x, weight.shape, *how, transposed),
        _core.conv_backward_bias(dy, weight.ndim - 2),
    )
