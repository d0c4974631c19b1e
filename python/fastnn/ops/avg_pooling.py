"""Average pooling: plain, adaptive and power-average, in one to three dimensions.

Inputs are (N, C, spatial…) or (C, spatial…), row-major or channels-last; outputs keep the memory
format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _core
from ..autograd.node import Node, record, wants_grad
from . import pointwise
from ._narrow import in_float32
from ._util import require_float, wrap
from .activation import relu
from .pooling import Window, entries, frozen, max_pool1d, max_pool2d, max_pool3d, named

# ---- Average: linear, so that backward of backward is forward ------------------------------------


def _average(x: Any, window: Window) -> Any:
    y = wrap(_core.avg_pool(x._data, *window))
    if wants_grad(x):
        record(y, _avg_pool_backward, (x,), (), (x._data.shape, window))
    return y


def _avg_pool_backward(node: Node, g: Any) -> Any:
    shape, window = node.ctx
    dx = wrap(_core.avg_pool_backward(g._data, shape, *window))
    if wants_grad(g):
        record(dx, _avg_pool_backward_backward, (g,), (), window)
    return dx


def _avg_pool_backward_backward(node: Node, g: Any) -> Any:
    return _average(g, node.ctx)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of (N, C, L) or (C, L).

    With count_include_pad, padding counts as zeros. Raises ShapeError or ValueError for windows
    that do not fit.
    """
    require_float(input, "avg_pool1d")
    window = (1, frozen(kernel_size), frozen(stride) or None, frozen(padding), bool(ceil_mode),
              bool(count_include_pad), None)  # fmt: skip
    return _average(input, window)


def _make_avg_pool(dims: int) -> Callable[..., Any]:
    name = f"avg_pool{dims}d"

    def avg_pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        require_float(input, name)
        window = (dims, frozen(kernel_size), frozen(stride) or None, frozen(padding),
                  bool(ceil_mode), bool(count_include_pad), divisor_override)  # fmt: skip
        return _average(input, window)

    doc = f"""The mean of each window of (N, C, {dims} spatial axes) or (C, …).

        With count_include_pad, padding counts as zeros; divisor_override replaces the number of
        elements. Raises ShapeError
        or ValueError for windows that do not fit.
        """
    return named(avg_pool, name, doc)


avg_pool2d = _make_avg_pool(2)
avg_pool3d = _make_avg_pool(3)


def _adaptive_average(x: Any, dims: int, size: tuple | None) -> Any:
    y = wrap(_core.adaptive_avg_pool(x._data, dims, size))
    if wants_grad(x):
        record(y, _adaptive_avg_pool_backward, (x,), (), (x._data.shape, dims))
    return y


def _adaptive_avg_pool_backward(node: Node, g: Any) -> Any:
    shape, dims = node.ctx
    dx = wrap(_core.adaptive_avg_pool_backward(g._data, shape, dims))
    if wants_grad(g):
        record(dx, _adaptive_backward_backward, (g,), (), (dims, g._data.shape[-dims:]))
    return dx


def _adaptive_backward_backward(node: Node, g: Any) -> Any:
    return _adaptive_average(g, *node.ctx)


def _make_adaptive_avg_pool(dims: int) -> Callable[..., Any]:
    name = f"adaptive_avg_pool{dims}d"

    def adaptive_avg_pool(input: Any, output_size: Any) -> Any:
        require_float(input, name)
        return _adaptive_average(input, dims, frozen(output_size))

    doc = """The means of windows that cover the input and give output_size outputs.

        None in output_size keeps an axis.
        """
    return named(adaptive_avg_pool, name, doc)


adaptive_avg_pool1d = _make_adaptive_avg_pool(1)
adaptive_avg_pool2d = _make_adaptive_avg_pool(2)
adaptive_avg_pool3d = _make_adaptive_avg_pool(3)


# ---- Power average -------------------------------------------------------------------------------


def _make_lp_pool(
    dims: int, average: Callable[..., Any], maximum: Callable[..., Any]
) -> Callable[..., Any]:
    name = f"lp_pool{dims}d"

    @in_float32
    def lp_pool(
        input: Any,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Any:
        require_float(input, name)
        volume = math.prod(entries(kernel_size, dims, name, "kernel_size"))
        if norm_type == 0:
            raise ValueError(f"{name}: norm_type must not be 0")
        if norm_type == math.inf:
            return maximum(pointwise.abs(input), kernel_size, stride, 0, 1, ceil_mode)
        if norm_type == -math.inf:
            return -maximum(-pointwise.abs(input), kernel_size, stride, 0, 1, ceil_mode)
        mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        # relu: the gradient of a window of zeros is zero, not 0 * inf.
        size = mean.sign().detach() * relu(pointwise.abs(mean))
        return (size * float(volume)).pow(1.0 / norm_type)

    doc = "The norm_type-norm of each window: ``(sum x**p) ** (1/p)``."
    return named(lp_pool, name, doc)


lp_pool1d = _make_lp_pool(1, avg_pool1d, max_pool1d)
lp_pool2d = _make_lp_pool(2, avg_pool2d, max_pool2d)
lp_pool3d = _make_lp_pool(3, avg_pool3d, max_pool3d)
