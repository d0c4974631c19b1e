"""Losses that compare element with element: fused kernels for the common ones, ops for the rest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._loss import REDUCTIONS, legacy_reduction, reduced
from ._narrow import in_float32, widened
from ._util import (
    as_tensor_operand,
    broadcast_shape,
    cast,
    optional_tensors,
    require_float,
    require_tensor,
    require_tensors,
    wide,
    wrap,
)
from .activation import logsigmoid
from .pointwise import where


def _pair(input: Any, target: Any, op: str) -> tuple[Any, Any]:
    """input and target in one shape; a difference is most often a mistake, so it warns."""
    require_tensor(input, op)
    require_tensor(target, op, "target")
    a, b = input._data.shape, target._data.shape
    if a == b:
        return input, target
    shape = broadcast_shape(a, b, op)
    warnings.warn(
        f"{op}: Using a target size ({list(b)}) that is different to the input size ({list(a)}). This "
        "will likely lead to incorrect results due to broadcasting. Please ensure they have the same "
        "size.",
        stacklevel=3,
    )
    return input.expand(shape), target.expand(shape)


def _weighted(loss: Any, weight: Any, reduction: str, by_weight: bool = False) -> Any:
    if weight is None:
        return reduced(loss, reduction)
    loss = loss * weight
    if by_weight and reduction == "mean":
        return loss.sum() / weight.sum()
    return reduced(loss, reduction)


def _check_weight(weight: Any, shape: tuple, op: str) -> None:
    """Weights of mse, l1 and huber: they have the shape of the elements, as in PyTorch."""
    if weight is not None and require_tensor(weight, op, "weight")._data.shape != shape:
        raise ShapeError(
            f"{op}: weight and input must have the same size, got {list(weight._data.shape)} and "
            f"{list(shape)}"
        )


# ---- Fused: one kernel call a direction ----------------------------------------------------------


def _limited(v: Any) -> Any:
    return v.clamp_min(-100.0)


def _huber_slope(x: Any, t: Any, a: float) -> Any:
    return (x - t).clamp(-a, a)


def _down(t: Any, p: Any) -> Any:
    return 1.0 if p is None else (p - 1.0) * t + 1.0


def _logits_by_target(x: Any, p: Any) -> Any:
    return -x if p is None else -x - (p - 1.0) * logsigmoid(x)


def _kl_by_target(x: Any, t: Any) -> Any:
    positive = t > 0
    safe = where(positive, t, 1.0)
    return where(positive, safe.log() + 1.0, t * 0.0) - x


# The derivatives of every kernel's loss by input and target, as ops: f(x, t, pos_weight, a).
_SLOPES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mse": (lambda x, t, p, a: (x - t) * 2.0, lambda x, t, p, a: (t - x) * 2.0),
    "l1": (lambda x, t, p, a: (x - t).sign(), lambda x, t, p, a: (t - x).sign()),
    "huber": (lambda x, t, p, a: _huber_slope(x, t, a), lambda x, t, p, a: _huber_slope(t, x, a)),
    "smooth_l1": (
        lambda x, t, p, a: _huber_slope(x, t, a) / a,
        lambda x, t, p, a: _huber_slope(t, x, a) / a,
    ),
    "bce": (
        lambda x, t, p, a: (x - t) / ((1.0 - x) * x).clamp_min(1e-12),
        lambda x, t, p, a: _limited((-x).log1p()) - _limited(x.log()),
    ),
    "bce_logits": (
        lambda x, t, p, a: (1.0 - t) - (-x).sigmoid() * _down(t, p),
        lambda x, t, p, a: _logits_by_target(x, p),
    ),
    "kl": (lambda x, t, p, a: -t + x * 0.0, lambda x, t, p, a: _kl_by_target(x, t)),
    "kl_log": (lambda x, t, p, a: -t.exp(), lambda x, t, p, a: t.exp() * (t - x + 1.0)),
}


def _fused(
    kind: str, x: Any, t: Any, reduction: str, a: float = 0.0, weight: Any = None,
    pos_weight: Any = None,
) -> Any:  # fmt: skip
    """The loss of two tensors of one shape by its kernel; None where ops must do it.

    Those are tensors of different dtypes, and weights that want a gradient.
    """
    dtype = x._data.dtype
    for other in (t, weight, pos_weight):
        if other is not None and other._data.dtype != dtype:
            return None
    if dtype.kind in "iub" or wants_grad(weight, pos_weight):
        return None
    w, p = (
        None if v is None else np.broadcast_to(wide(v._data), x._data.shape)
        for v in (weight, pos_weight)
    )
    code = REDUCTIONS[reduction]
    loss = _core.pointwise_loss(kind, wide(x._data), wide(t._data), w, p, a, code)
    out = wrap(cast(loss, dtype))
    if wants_grad(x, t):
        record(out, _loss_backward, (x, t), (x, t, weight, pos_weight), (kind, a, code, w, p))
    return out


def _loss_backward(node: Node, g: Any) -> tuple:
    x, t, weight, pos_weight = node.saved_tensors()
    kind, a, code, w, p = node.ctx

    def by_ops(which: int) -> Any:
        scaled, wx, wt, wp, ww = map(widened, (g, x, t, pos_weight, weight))
        if code == REDUCTIONS["mean"]:
            scaled = scaled / x._data.size
        slope = _SLOPES[kind][which](wx, wt, wp, a) * scaled
        return (slope if ww is None else slope * ww).to(x.dtype)

    dt = None if node.edges[1] is None else by_ops(1)
    if node.edges[0] is None:
        return None, dt
    if wants_grad(g, x, t):
        return by_ops(0), dt
    arrays = (wide(g._data), wide(x._data), wide(t._data))
    dx = _core.pointwise_loss_backward(kind, *arrays, w, p, a, code)
    return wrap(cast(dx, x._data.dtype)), dt


# ---- The losses ----------------------------------------------------------------------------------


def mse_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """``(input - target)²``."""
    reduction = legacy_reduction(size_average, reduce, reduction, "mse_loss")
    x, t = _pair(input, target, "mse_loss")
    _check_weight(weight, x._data.shape, "mse_loss")
    if weight is None and (out := _fused("mse", x, t, reduction)) is not None:
        return out
    return _weighted((x - t).square(), weight, reduction, by_weight=True)


def l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """``|input - target|``."""
    reduction = legacy_reduction(size_average, reduce, reduction, "l1_loss")
    x, t = _pair(input, target, "l1_loss")
    _check_weight(weight, x._data.shape, "l1_loss")
    if weight is None and (out := _fused("l1", x, t, reduction)) is not None:
        return out
    return _weighted((x - t).abs(), weight, reduction, by_weight=True)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """``d² / 2`` for ``|d| < delta``, ``delta (|d| - delta / 2)`` beyond (Huber, 1964)."""
    reduction = legacy_reduction(None, None, reduction, "huber_loss")
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be greater than 0, got {delta}")
    x, t = _pair(input, target, "huber_loss")
    _check_weight(weight, x._data.shape, "huber_loss")
    if weight is None and (out := _fused("huber", x, t, reduction, float(delta))) is not None:
        return out
    d = (x - t).abs()
    loss = where(d < delta, d.square() * 0.5, (d - 0.5 * delta) * delta)
    return _weighted(loss, weight, reduction)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """``d² / (2 beta)`` for ``|d| < beta``, ``|d| - beta / 2`` beyond; the L1 loss for beta 0."""
    reduction = legacy_reduction(size_average, reduce, reduction, "smooth_l1_loss")
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    x, t = _pair(input, target, "smooth_l1_loss")
    if (out := _fused("smooth_l1", x, t, reduction, float(beta))) is not None:
        return out
    d = (x - t).abs()
    return reduced(where(d < beta, d.square() * (0.5 / beta), d - 0.5 * beta), reduction)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """``-(t log x + (1 - t) log(1 - x))`` for probabilities x; logarithms are limited to -100.

    Raises RuntimeError for an x outside of [0, 1], ShapeError for shapes that differ.
    """
    reduction = legacy_reduction(size_average, reduce, reduction, "binary_cross_entropy")
    require_float(input, "binary_cross_entropy")
    require_tensor(target, "binary_cross_entropy", "target")
    optional_tensors("binary_cross_entropy", weight=weight)
    if input._data.shape != target._data.shape:
        raise ShapeError(
            f"binary_cross_entropy: Using a target size ({list(target._data.shape)}) that is different "
            f"to the input size ({list(input._data.shape)}) is deprecated. Please ensure they have the "
            "same size."
        )
    x = input.detach()
    if bool(((x < 0) | (x > 1)).any()):
        raise RuntimeError("binary_cross_entropy: all elements of input should be between 0 and 1")
    if (out := _fused("bce", input, target, reduction, weight=weight)) is not None:
        return out
    log_x = input.log().clamp_min(-100.0)
    log_rest = (-input).log1p().clamp_min(-100.0)
    return _weighted((target - 1.0) * log_rest - target * log_x, weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """binary_cross_entropy of ``sigmoid(input)``, without overflow; pos_weight rescales the
    positive term."""
    op = "binary_cross_entropy_with_logits"
    reduction = legacy_reduction(size_average, reduce, reduction, op)
    require_float(input, op)
    require_tensor(target, op, "target")
    optional_tensors(op, weight=weight, pos_weight=pos_weight)
    if input._data.shape != target._data.shape:
        raise ShapeError(
            f"{op}: Target size ({list(target._data.shape)}) must be the same as input size "
            f"({list(input._data.shape)})"
        )
    out = _fused("bce_logits", input, target, reduction, weight=weight, pos_weight=pos_weight)
    if out is not None:
        return out
    if pos_weight is None:
        loss = (1.0 - target) * input - logsigmoid(input)
    else:
        log_weight = (pos_weight - 1.0) * target + 1.0
        loss = (1.0 - target) * input - log_weight * logsigmoid(input)
    return _weighted(loss, weight, reduction)


def kl_div(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """``target (log target - input)`` for log-probabilities `input`; 'batchmean' divides by the
    batch size."""
    batchmean = reduction == "batchmean"
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. "
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition.",
            stacklevel=2,
        )
    reduction = legacy_reduction(size_average, reduce, "sum" if batchmean else reduction, "kl_div")
    require_tensors("kl_div", input=input, target=target)
    if input._data.shape == target._data.shape:
        out = _fused("kl_log" if log_target else "kl", input, target, reduction)
        if out is not None:
            return out / input._data.shape[0] if batchmean and input._data.ndim else out
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0
        safe = where(positive, target, 1.0)
        zero = target * 0.0
        loss = where(positive, target * safe.log(), zero) - target * input
    out = reduced(loss, reduction)
    return out / input._data.shape[0] if batchmean and input._data.ndim else out


@in_float32
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """``exp(x) - t x`` (x is the log of the rate) or ``x - t log(x + eps)``; `full` adds Stirling's
    term for t > 1."""
    reduction = legacy_reduction(size_average, reduce, reduction, "poisson_nll_loss")
    require_tensors("poisson_nll_loss", input=input, target=target)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        safe = where(target > 1, target, 2.0)
        stirling = safe * safe.log() - safe + (safe * (2 * math.pi)).log() * 0.5
        loss = loss + where(target > 1, stirling, target * 0.0)
    return reduced(loss, reduction)


@in_float32
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """``(log var + (input - target)² / var) / 2``, var at least eps; `full` adds ``log(2π) / 2``."""
    reduction = legacy_reduction(None, None, reduction, "gaussian_nll_loss")
    require_tensors("gaussian_nll_loss", input=input, target=target)
    if not hasattr(var, "_data"):
        as_tensor_operand(var, "gaussian_nll_loss", "var")
        if var < 0:
            raise ValueError("gaussian_nll_loss: var has negative entry/entries")
        var = input.detach() * 0.0 + var
    shape, own = input._data.shape, var._data.shape
    if own != shape and own != (*shape[:-1], 1):
        if own != shape[:-1]:
            raise ShapeError(
                f"gaussian_nll_loss: var is of incorrect size: got {list(own)} for input {list(shape)}"
            )
        var = var.unsqueeze(-1)
    if bool((var.detach() < 0).any()):
        raise ValueError("gaussian_nll_loss: var has negative entry/entries")
    # The limit has no gradient of its own: the variance is moved by a constant.
    low = var.detach()
    var = var + (low.clamp_min(eps) - low)
    loss = (var.log() + (input - target).square() / var) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
