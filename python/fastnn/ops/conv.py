"""Convolutions and transposed convolutions in one, two and three dimensions.

Three functions of arrays are each other's derivatives: the convolution itself, its gradient for the
input and its gradient for the weight. So the backward of each is written with the other two, and is
differentiable again.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from .. import _core
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._util import require_tensor, wrap


class _Geometry(NamedTuple):
    stride: Any
    padding: Any
    dilation: Any
    groups: int
    transposed: bool = False
    output_padding: Any = 0


def _convolution(x: Any, w: Any, b: Any, g: _Geometry) -> Any:
    bias = None if b is None else b._data
    y = wrap(
        _core.conv_forward(
            x._data, w._data, bias, g.stride, g.padding, g.dilation, g.groups, g.transposed,
            g.output_padding,
        )
    )  # fmt: skip
    if wants_grad(x, w, b):
        record(y, _convolution_backward, (x, w, b), (x, w), g)
    return y


def _convolution_backward(node: Node, dy: Any) -> tuple:
    x, w = node.saved_tensors()
    ex, ew, eb = node.edges
    dx = dw = db = None
    if ex is not None:
        dx = _input_gradient(dy, w, x._data.shape, node.ctx)
    if ew is not None:
        dw = _weight_gradient(dy, x, w._data.shape, node.ctx)
    if eb is not None:
        dims = w._data.ndim - 2
        db = _bias_gradient(dy, dims)
    return dx, dw, db


def _bias_gradient(dy: Any, dims: int) -> Any:
    db = wrap(_core.conv_backward_bias(dy._data, dims))
    if wants_grad(dy):
        record(db, _bias_gradient_backward, (dy,), (), (dy._data.shape, dims))
    return db


def _bias_gradient_backward(node: Node, v: Any) -> tuple:
    shape, dims = node.ctx
    return (v.reshape(-1, *(1,) * dims).expand(shape),)


def _input_gradient(dy: Any, w: Any, shape: tuple, g: _Geometry) -> Any:
    dx = wrap(
        _core.conv_backward_input(
            dy._data, w._data, shape, g.stride, g.padding, g.dilation, g.groups, g.transposed
        )
    )
    if wants_grad(dy, w):
        record(dx, _input_gradient_backward, (dy, w), (dy, w), g)
    return dx


def _input_gradient_backward(node: Node, v: Any) -> tuple:
    dy, w = node.saved_tensors()
    edy, ew = node.edges
    gdy = None if edy is None else _convolution(v, w, None, node.ctx)
    gw = None if ew is None else _weight_gradient(dy, v, w._data.shape, node.ctx)
    return gdy, gw


def _weight_gradient(dy: Any, x: Any, shape: tuple, g: _Geometry) -> Any:
    dw = wrap(
        _core.conv_backward_weight(
            dy._data, x._data, shape, g.stride, g.padding, g.dilation, g.groups, g.transposed
        )
    )
    if wants_grad(dy, x):
        record(dw, _weight_gradient_backward, (dy, x), (dy, x), g)
    return dw


def _weight_gradient_backward(node: Node, v: Any) -> tuple:
    dy, x = node.saved_tensors()
    edy, ex = node.edges
    gdy = None if edy is None else _convolution(x, v, None, node.ctx)
    gx = None if ex is None else _input_gradient(dy, v, x._data.shape, node.ctx)
    return gdy, gx


# ---- PyTorch's functions ----


def _check(op: str, dims: int, input: Any, weight: Any, bias: Any) -> None:
    require_tensor(input, op)
    require_tensor(weight, op, "weight")
    if bias is not None:
        require_tensor(bias, op, "bias")
    if weight._data.ndim != dims + 2:
        raise ShapeError(
            f"{op}: weight must have {dims + 2} dimensions, got shape {weight._data.shape}"
        )


def tuple_of(value: Any, n: int, op: str, name: str) -> tuple[int, ...]:
    """A number for all axes, or a sequence of n (or 1), as n integers."""
    try:
        if hasattr(value, "__index__"):
            return (operator.index(value),) * n
        out = tuple([operator.index(v) for v in value])
    except TypeError:
        raise TypeError(
            f"{op}: {name} must be an int or a sequence of {n}, got {value!r}"
        ) from None
    if len(out) == 1:
        return out * n
    if len(out) != n:
        raise ValueError(f"{op}: {name} must be an int or have {n} of them, got {value!r}")
    return out


def _padding(padding: Any, stride: Any, dilation: Any, weight: Any, op: str) -> Any:
    """Numbers as they are; 'valid' and 'same' as (before, after) for every axis."""
    dims = weight._data.ndim - 2
    if not isinstance(padding, str):
        return padding if type(padding) is int else tuple_of(padding, dims, op, "padding")
    if padding == "valid":
        return 0
    if padding != "same":
        raise ValueError(
            f"{op}: padding must be 'valid', 'same', an int or a sequence of {dims}, "
            f"got {padding!r}"
        )
    if any(s != 1 for s in tuple_of(stride, dims, op, "stride")):
        raise RuntimeError(f"{op}: padding='same' is not supported for strided convolutions")
    out = []
    dilations = tuple_of(dilation, dims, op, "dilation")
    for k, d in zip(weight._data.shape[2:], dilations, strict=True):
        total = d * (k - 1)
        out += [total // 2, total - total // 2]
    return tuple(out)


def _conv(
    dims: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Any:  # fmt: skip
    op = f"conv{dims}d"
    _check(op, dims, input, weight, bias)
    padding = _padding(padding, stride, dilation, weight, op)
    return _convolution(input, weight, bias, _Geometry(stride, padding, dilation, groups))


def conv_activated(
    dims: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int, activation: str,
) -> Any:  # fmt: skip
    """activation(conv(...)) in one pass, without a gradient."""
    op = f"conv{dims}d"
    _check(op, dims, input, weight, bias)
    padding = _padding(padding, stride, dilation, weight, op)
    return wrap(
        _core.conv_forward(
            input._data, weight._data, None if bias is None else bias._data, stride, padding, dilation,
            groups, activation=activation,
        )
    )  # fmt: skip


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Cross-correlates (N, C, L) or (C, L) with weight (O, C/groups, K): (N, O, Lout) or (O, Lout).

    Lout = (L + 2 padding - dilation (K - 1) - 1) // stride + 1. `padding` is a number or 'valid' or
    'same' (with stride 1). float32, float64, and bfloat16 and float16 with sums in float32. The
    output keeps the input's memory format. Raises ShapeError, DTypeError or ValueError for
    arguments that do not fit.
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Cross-correlates (N, C, H, W) or (C, H, W) with weight (O, C/groups, KH, KW); see conv1d."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Cross-correlates (N, C, D, H, W) with weight (O, C/groups, KD, KH, KW); see conv1d."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    dims: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
    groups: Any, dilation: Any,
) -> Any:  # fmt: skip
    op = f"conv_transpose{dims}d"
    _check(op, dims, input, weight, bias)
    return _convolution(
        input, weight, bias, _Geometry(stride, padding, dilation, groups, True, output_padding)
    )


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The gradient of conv1d for its input, used forward.

    (N, C, L) or (C, L) with weight (C, O/groups, K) gives (N, O, Lout) or (O, Lout), where
    Lout = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The gradient of conv2d for its input, used forward; see conv_transpose1d."""
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The gradient of conv3d for its input, used forward; see conv_transpose1d."""
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
