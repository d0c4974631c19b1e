"""Pooling of (N, C, spatial…) arrays in one to three dimensions, row-major or channels-last."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core


def max_pool(
    x: np.ndarray,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(y, indices): the largest element of each window, and its place in its plane (int64; the first of equal ones)."""
    dims = x.ndim - 2
    return _core.max_pool(x, dims, kernel_size, stride, padding, dilation, ceil_mode, "plane")


def max_pool_backward(
    dy: np.ndarray, indices: np.ndarray, input_shape: tuple[int, ...]
) -> np.ndarray:
    """dx of ``max_pool``: each element of dy goes to the place that its maximum came from."""
    return _core.max_pool_scatter(dy, indices, input_shape, len(input_shape) - 2)


def avg_pool(
    x: np.ndarray,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """The mean of each window."""
    how = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _core.avg_pool(x, x.ndim - 2, *how)


def avg_pool_backward(
    dy: np.ndarray,
    input_shape: tuple[int, ...],
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """dx of ``avg_pool``."""
    how = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _core.avg_pool_backward(dy, input_shape, len(input_shape) - 2, *how)
