"""Losses of class scores: cross-entropy in one fused kernel a direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from ..autograd.node import Node, record, wants_grad
from ..dtypes import promote_types
from ._loss import REDUCTIONS, legacy_reduction
from ._util import cast, require_float, require_tensor, wide, wrap
from .creation import arange


def _class_dim(x: Any) -> int:
    return 0 if x._data.ndim == 1 else 1


def _cross_entropy_arrays(x: Any, weight: Any) -> tuple[np.ndarray, np.ndarray | None]:
    if weight is None:
        return x._data, None
    return x._data, wide(require_tensor(weight, "cross_entropy", "weight")._data)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The cross-entropy between logits and targets; see nn.CrossEntropyLoss.

    input: (C,), (N, C) or (N, C, d1, ...) logits. target: class indices of that shape without C, or
    class probabilities of that shape. Raises IndexError for a class index outside of [0, C) that is
    not ignore_index, ShapeError for shapes that do not fit, ValueError for a label_smoothing
    outside of [0, 1] and an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction, "cross_entropy")
    require_float(input, "cross_entropy")
    require_tensor(target, "cross_entropy", "target")
    if target._data.dtype.kind not in "biu" and target.dtype is not input.dtype:  # probabilities
        both = promote_types(input.dtype, target.dtype)
        input, target = input.to(both), target.to(both)
        weight = None if weight is None else weight.to(both)
    options = (ignore_index, float(label_smoothing), REDUCTIONS[reduction])
    x, w = _cross_entropy_arrays(input, weight)
    loss, saved = _core.cross_entropy(x, target._data, w, *options)
    out = wrap(cast(loss, x.dtype))
    if wants_grad(input, target):
        inputs = (input, target)
        record(out, _cross_entropy_backward, inputs, (input, target, weight), (saved, options))
    return out


def _cross_entropy_backward(node: Node, g: Any) -> tuple:
    x, target, weight = node.saved_tensors()
    saved, options = node.ctx
    if wants_grad(g, x, target):
        return cross_entropy_gradients(g, x, target, weight, saved, *options)
    logits, w = _cross_entropy_arrays(x, weight)
    dy = wide(g._data)
    dx = wrap(_core.cross_entropy_backward(dy, logits, target._data, w, saved, *options))
    if node.edges[1] is None:
        return dx, None
    return dx, cross_entropy_gradients(g, x, target, weight, saved, *options)[1]


def _distribution(
    x: Any, target: Any, weight: Any, ignore_index: int, smoothing: float
) -> tuple[Any, Any]:
    """What log p is weighted with, and (for probabilities) its derivative by the target."""
    dim, shape = _class_dim(x), x._data.shape
    classes = shape[dim]
    row = (1, classes) + (1,) * (len(shape) - 2) if dim else (classes,)
    w = x.new_ones(row) if weight is None else weight.reshape(row)
    if target._data.dtype.kind not in "iu":
        slope = w * (1 - smoothing)
        return slope * target + w * (smoothing / max(classes, 1)), slope
    labels = np.expand_dims(target._data, dim)
    kept = labels != ignore_index
    hot = arange(classes, device=x.device)._data.reshape(row) == labels
    flat = (hot * (1 - smoothing) + smoothing / max(classes, 1)) * kept
    return wrap(cast(flat, x._data.dtype)) * w, None


def cross_entropy_gradients(
    g: Any, x: Any, target: Any, weight: Any, saved: np.ndarray, ignore_index: int,
    smoothing: float, reduction: int,
) -> tuple:  # fmt: skip
    """The gradients as ops that can be differentiated again."""
    dim = _class_dim(x)
    q, slope = _distribution(x, target, weight, ignore_index, smoothing)
    if reduction == REDUCTIONS["mean"]:
        g = g / float(saved[-1])
    elif reduction == REDUCTIONS["none"]:
        g = g.unsqueeze(dim)
    log_p = x.log_softmax(dim)
    dx = (log_p.exp() * q.sum(dim, True) - q) * g
    return dx, None if slope is None else -(log_p * slope) * g


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood of class indices under log-probabilities; see nn.NLLLoss.

    input: (C,), (N, C) or (N, C, d1, ...). target: class indices of that shape without C. Raises
    IndexError for a class index outside of [0, C) that is not ignore_index.
    """
    reduction = legacy_reduction(size_average, reduce, reduction, "nll_loss")
    require_float(input, "nll_loss")
    require_tensor(target, "nll_loss", "target")
    code = REDUCTIONS[reduction]
    x, w = _cross_entropy_arrays(input, weight)
    loss, divisor = _core.nll_loss(x, target._data, w, ignore_index, code)
    out = wrap(cast(loss, x.dtype))
    if wants_grad(input):
        context = (target._data, w, float(divisor), ignore_index, code)
        record(out, _nll_backward, (input,), (target,), (x, *context))
    return out


def _nll_backward(node: Node, g: Any) -> Any:
    node.saved_tensors()  # the target must not have been written since
    x, target, w, divisor, ignore_index, code = node.ctx
    if not wants_grad(g):
        dy = wide(g._data)
        return wrap(_core.nll_loss_backward(dy, x, target, w, divisor, ignore_index, code))
    # Linear in g: a constant times it.
    ones = np.ones(g._data.shape, wide(x).dtype)
    slope = _core.nll_loss_backward(ones, x, target, w, divisor, ignore_index, code)
    dim = 0 if x.ndim == 1 else 1
    return wrap(slope) * (g.unsqueeze(dim) if code == REDUCTIONS["none"] else g)
