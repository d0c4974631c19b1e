"""Normalisations: one kernel call a direction; ops where the gradient is differentiated again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _core
from .._errors import ShapeError
from ..autograd.node import OUTPUT, Node, record, wants_grad
from ._narrow import in_float32
from ._util import cast, require_float, require_tensor, wide, wrap


def _array(t: Any) -> Any:
    return None if t is None else wide(t._data)


def _result(a: np.ndarray | None, like: Any) -> Any:
    """A gradient as a tensor of the dtype of what it belongs to."""
    return None if a is None else wrap(cast(a, like._data.dtype))


def _wanted(node: Node) -> tuple[bool, ...]:
    return tuple(edge is not None for edge in node.edges)


# ---- The same, as ops ----------------------------------------------------------------------------


def _normalized(x: Any, dims: tuple[int, ...], eps: float, centered: bool = True) -> tuple:
    """(xhat, rstd) over `dims`."""
    if centered:
        x = x - x.mean(dims, True)
    rstd = ((x * x).mean(dims, True) + eps).rsqrt()
    return x * rstd, rstd


def _input_gradient(
    g: Any, xhat: Any, rstd: Any, dims: tuple[int, ...], centered: bool = True
) -> Any:
    inner = g - xhat * (g * xhat).mean(dims, True)
    return rstd * (inner - g.mean(dims, True) if centered else inner)


def _others(ndim: int, kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d for d in range(ndim) if d not in kept)


def _reduced(t: Any, dims: tuple[int, ...], like: Any) -> Any:
    """t summed over dims, in the shape of a weight."""
    if like is None:
        return None
    return (t.sum(dims) if dims else t).reshape(like.shape)


# ---- Layer norm and RMS norm ---------------------------------------------------------------------


def _shape_tuple(normalized_shape: Any) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


def _check_rows(x: Any, shape: tuple[int, ...], weight: Any, bias: Any, op: str) -> None:
    require_float(x, op)
    have = x._data.shape
    if not shape or have[len(have) - len(shape) :] != shape or len(have) < len(shape):
        raise ShapeError(
            f"{op}: Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size {list(have)}"
        )
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and require_tensor(t, op, name)._data.shape != shape:
            raise ShapeError(
                f"{op}: Expected {name} to be of same shape as normalized_shape, but got {name} of "
                f"shape {list(t._data.shape)} and normalized_shape = {list(shape)}"
            )


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Mean 0 and variance 1 over the last axes, then ``* weight + bias`` (Ba et al., 2016).

    Raises ShapeError when the input does not end in normalized_shape, or weight or bias have
    another shape.
    """
    shape = _shape_tuple(normalized_shape)
    _check_rows(input, shape, weight, bias, "layer_norm")
    return _row_norm(input, len(shape), weight, bias, float(eps), True)


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """``x / sqrt(mean(x²) + eps) * weight`` over the last axes (Zhang and Sennrich, 2019).

    eps is the machine epsilon of the dtype when it is None.
    """
    shape = _shape_tuple(normalized_shape)
    _check_rows(input, shape, weight, None, "rms_norm")
    if eps is None:
        eps = float(np.finfo(wide(input._data).dtype).eps)
    return _row_norm(input, len(shape), weight, None, float(eps), False)


def _row_norm(x: Any, axes: int, weight: Any, bias: Any, eps: float, centered: bool) -> Any:
    y, mean, rstd = _core.row_norm(_array(x), axes, _array(weight), _array(bias), eps, centered)
    out = wrap(cast(y, x._data.dtype))
    if wants_grad(x, weight, bias):
        ctx = (axes, eps, mean, rstd)
        backward = _layer_norm_backward if centered else _rms_norm_backward
        record(out, backward, (x, weight, bias), (x, weight, bias), ctx)
    return out


def _row_norm_backward(node: Node, dy: Any) -> tuple:
    x, weight, bias = node.saved_tensors()
    axes, eps, mean, rstd = node.ctx
    if wants_grad(dy, x, weight):
        dims = tuple(range(x.dim() - axes, x.dim()))
        xhat, scale = _normalized(x, dims, eps, mean is not None)
        g = dy if weight is None else dy * weight
        others = _others(x.dim(), dims)
        dx = _input_gradient(g, xhat, scale, dims, mean is not None)
        return dx, _reduced(dy * xhat, others, weight), _reduced(dy, others, bias)
    grads = _core.row_norm_backward(
        wide(dy._data), _array(x), axes, _array(weight), mean, rstd, *_wanted(node)
    )
    dx, dw, db = grads
    shape = x._data.shape[x._data.ndim - axes :]
    return (
        _result(dx, x),
        None if dw is None else _result(dw.reshape(shape), weight),
        None if db is None else _result(db.reshape(shape), bias),
    )


def _layer_norm_backward(node: Node, dy: Any) -> tuple:
    return _row_norm_backward(node, dy)


def _rms_norm_backward(node: Node, dy: Any) -> tuple:
    return _row_norm_backward(node, dy)


# ---- Batch norm ----------------------------------------------------------------------------------


def _per_channel(v: Any, ndim: int) -> Any:
    return v if v is None else v.reshape((1, -1) + (1,) * (ndim - 2))


def _check_channels(x: Any, op: str, **vectors: Any) -> None:
    require_float(x, op)
    if x._data.ndim < 2:
        raise ShapeError(f"{op}: expected at least 2 dimensions, got input of shape {x.shape}")
    channels = x._data.shape[1]
    for name, v in vectors.items():
        if v is not None and require_tensor(v, op, name)._data.shape != (channels,):
            raise ShapeError(
                f"{op}: {name} should contain {channels} elements, one for each channel of the "
                f"input {list(x._data.shape)}, not shape {list(v._data.shape)}"
            )


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Mean 0 and variance 1 for each channel (axis 1) over all others (Ioffe and Szegedy, 2015).

    In training the statistics are the batch's, and the running ones (unless None) move towards
    them by `momentum`, with the unbiased variance; otherwise the running ones are used. Raises
    ValueError in training for one value per channel, ShapeError for vectors of another size.
    """
    return normalize_batch(input, running_mean, running_var, weight, bias, training, momentum, eps)


def normalize_batch(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: bool,
    momentum: float | None, eps: float, activation: str = "none",
) -> Any:  # fmt: skip
    """activation(batch_norm()) in one pass forward and one backward.

    activation: "none", or in training "relu" or "relu6". Raises ValueError for others.
    """
    if activation != "none" and not training:
        raise ValueError(f"batch_norm: activation {activation!r} needs training=True")
    _check_channels(
        input, "batch_norm", running_mean=running_mean, running_var=running_var, weight=weight,
        bias=bias,
    )  # fmt: skip
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: give both running_mean and running_var, or neither")
    shape = input._data.shape
    if training and math.prod(shape) == shape[1]:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}"
        )
    mean_array, var_array = _array(running_mean), _array(running_var)
    y, mean, rstd = _core.batch_norm(
        _array(input), _array(weight), _array(bias), mean_array, var_array, training,
        0.0 if momentum is None else float(momentum), float(eps), activation,
    )  # fmt: skip
    if training and running_mean is not None:
        _write_back(running_mean, mean_array)
        _write_back(running_var, var_array)
    out = wrap(cast(y, input._data.dtype))
    if wants_grad(input, weight, bias):
        ctx = (bool(training), float(eps), mean, rstd, activation)
        y_saved = () if activation == "none" else (OUTPUT,)
        record(
            out, _batch_norm_backward, (input, weight, bias), (input, weight, bias, *y_saved), ctx
        )
    return out


def _write_back(t: Any, updated: np.ndarray) -> None:
    """Notes the update of a running statistic, and stores it where it was widened."""
    if updated is not t._data:
        t._data[...] = cast(updated, t._data.dtype)
    t._counter.value += 1


def _batch_norm_backward(node: Node, dy: Any) -> tuple:
    x, weight, bias, *saved = node.saved_tensors()
    training, eps, mean, rstd, activation = node.ctx
    if wants_grad(dy, x, weight):
        dims = _others(x.dim(), (1,))
        if saved:
            y = saved[0].detach()
            dy = dy.masked_fill((y <= 0) | (y >= 6) if activation == "relu6" else y <= 0, 0)
        w = _per_channel(weight, x.dim())
        g = dy if w is None else dy * w
        if training:
            xhat, scale = _normalized(x, dims, eps)
            dx = _input_gradient(g, xhat, scale, dims)
        else:
            scale = _per_channel(wrap(rstd), x.dim())
            xhat = (x - _per_channel(wrap(mean), x.dim())) * scale
            dx = g * scale
        return dx, _reduced(dy * xhat, dims, weight), _reduced(dy, dims, bias)
    dx, dw, db = _core.batch_norm_backward(
        wide(dy._data), _array(x), _array(weight), mean, rstd, training, *_wanted(node),
        activation, _array(saved[0]) if saved else None,
    )  # fmt: skip
    return _result(dx, x), _result(dw, weight), _result(db, bias)


# ---- Group norm and instance norm ----------------------------------------------------------------


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Mean 0 and variance 1 for each sample and group of channels (Wu and He, 2018).

    Raises ValueError when the channels cannot be split into num_groups equal groups.
    """
    _check_channels(input, "group_norm", weight=weight, bias=bias)
    channels = input._data.shape[1]
    if not isinstance(num_groups, (int, np.integer)):
        raise TypeError(f"group_norm: num_groups must be an int, got {type(num_groups).__name__}")
    if num_groups > max(channels, 1):  # with no channels every number of groups would divide them
        raise ValueError(
            f"group_norm: Expected number of channels in input to be divisible by num_groups, but got "
            f"input of shape {list(input._data.shape)} and num_groups={num_groups}"
        )
    return _group_norm(input, num_groups, weight, bias, float(eps))[0]


def _group_norm(x: Any, groups: int, weight: Any, bias: Any, eps: float) -> tuple:
    y, mean, rstd = _core.group_norm(_array(x), groups, _array(weight), _array(bias), eps)
    out = wrap(cast(y, x._data.dtype))
    if wants_grad(x, weight, bias):
        ctx = (groups, eps, mean, rstd)
        record(out, _group_norm_backward, (x, weight, bias), (x, weight, bias), ctx)
    return out, mean, rstd


def _group_norm_backward(node: Node, dy: Any) -> tuple:
    x, weight, bias = node.saved_tensors()
    groups, eps, mean, rstd = node.ctx
    if wants_grad(dy, x, weight):
        w = _per_channel(weight, x.dim())
        rows = (x._data.shape[0], groups, x._data.size // max(x._data.shape[0] * groups, 1))
        xhat, scale = _normalized(x.reshape(rows), (2,), eps)
        g = (dy if w is None else dy * w).reshape(rows)
        dx = _input_gradient(g, xhat, scale, (2,)).reshape(x.shape)
        dims = _others(x.dim(), (1,))
        xhat = xhat.reshape(x.shape)
        return dx, _reduced(dy * xhat, dims, weight), _reduced(dy, dims, bias)
    dx, dw, db = _core.group_norm_backward(
        wide(dy._data), _array(x), groups, _array(weight), mean, rstd, *_wanted(node)
    )
    return _result(dx, x), _result(dw, weight), _result(db, bias)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Mean 0 and variance 1 for each sample and channel (Ulyanov et al., 2016).

    Running statistics (unless None) move towards the batch's mean of the samples' statistics; they
    are used instead of those of the input unless use_input_stats. Raises ValueError for one
    position per channel.
    """
    _check_channels(
        input, "instance_norm", running_mean=running_mean, running_var=running_var, weight=weight,
        bias=bias,
    )  # fmt: skip
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "instance_norm: Expected running_mean and running_var to be defined when "
                "use_input_stats=False"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    positions = math.prod(input._data.shape[2:])
    if positions == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, got input size "
            f"{list(input._data.shape)}"
        )
    channels = input._data.shape[1]
    out, mean, rstd = _group_norm(input, channels, weight, bias, float(eps))
    if running_mean is not None and mean.size:
        unbiased = (1 / rstd.astype(np.float64) ** 2 - eps) * (positions / (positions - 1))
        for t, batch in ((running_mean, mean.astype(np.float64)), (running_var, unbiased)):
            new = batch.reshape(-1, channels).mean(0) * momentum + wide(t._data) * (1 - momentum)
            t._data[...] = cast(new, t._data.dtype)
            t._counter.value += 1
    return out


# ---- Local response norm -------------------------------------------------------------------------


@in_float32
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """``x / (k + alpha mean(x² over size neighbouring channels))^beta`` (Krizhevsky, 2012)."""
    require_float(input, "local_response_norm")
    shape = input._data.shape
    if len(shape) < 3:
        raise ValueError(
            f"local_response_norm: Expected 3D or higher dimensionality input (got {len(shape)} "
            "dimensions)"
        )
    if size < 1:
        raise ValueError(f"local_response_norm: size must be positive, got {size}")
    if not input._data.size:
        return input
    from .joining import cat

    def zeros(channels: int) -> Any:
        return input.new_zeros((shape[0], channels, *shape[2:]))

    padded = cat([zeros(size // 2), input * input, zeros((size - 1) // 2)], 1)
    window = padded.narrow(1, 0, shape[1])
    for i in range(1, size):
        window = window + padded.narrow(1, i, shape[1])
    return input / (window * (alpha / size) + k) ** beta
