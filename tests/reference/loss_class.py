"""Losses of scores (N, C, ...) or (C,) and class labels: cross entropy and margins.

Cross entropy and NLL are one formula: loss_i = -sum_c q_ic logp_ic, where the coefficients q hold
the target (label or probabilities), label smoothing, class weights and ignored labels.
"""

import numpy as np

from tests.reference.common import log1pexp, reduce_loss, sigmoid, spread_loss_grad
from tests.reference.softmax import log_softmax_forward, softmax_forward


def _classes_last(x):
    return x if x.ndim == 1 else np.moveaxis(x, 1, -1)


def _classes_back(x):
    return x if x.ndim == 1 else np.moveaxis(x, -1, 1)


def _one_hot(labels, classes, ignore_index, dtype):
    """Rows of ``classes`` numbers, all 0 for an ignored label."""
    kept = labels != ignore_index
    rows = np.arange(classes) == np.where(kept, labels, 0)[..., None]
    return (rows & kept[..., None]).astype(dtype)


def _coefficients(x, target, weight, ignore_index, label_smoothing):
    """q (classes last), and the divisor of the mean: weights of the labels, or rows."""
    classes = x.shape[0] if x.ndim == 1 else x.shape[1]
    weight = np.ones(classes, x.dtype) if weight is None else weight
    if np.issubdtype(target.dtype, np.floating):
        hot = _classes_last(target)
        kept, divisor = np.ones(hot.shape[:-1], x.dtype), max(hot.size // classes, 1)
    else:
        hot = _one_hot(target, classes, ignore_index, x.dtype)
        kept, divisor = hot.sum(-1), (hot * weight).sum()
    smooth = label_smoothing / classes * kept[..., None]
    return weight * (hot * (1 - label_smoothing) + smooth), divisor


def _reduce(loss, divisor, reduction):
    return loss.sum() / divisor if reduction == "mean" else reduce_loss(loss, reduction)


def _spread(dy, shape, divisor, reduction):
    if reduction == "mean":
        return np.broadcast_to(dy / divisor, shape)
    return spread_loss_grad(dy, shape, reduction)


def cross_entropy_forward(
    x, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    q, divisor = _coefficients(x, target, weight, ignore_index, label_smoothing)
    logp = log_softmax_forward(_classes_last(x))
    loss = -np.where(q != 0, q * logp, 0).sum(-1)
    return _reduce(loss, divisor, reduction)


def cross_entropy_backward(
    dy, x, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """dx = p sum(q) - q; for target probabilities also their gradient -(1 - smoothing) w logp."""
    q, divisor = _coefficients(x, target, weight, ignore_index, label_smoothing)
    g = _spread(dy, q.shape[:-1], divisor, reduction)[..., None]
    rows = _classes_last(x)
    dx = g * (softmax_forward(rows) * q.sum(-1, keepdims=True) - q)
    if not np.issubdtype(target.dtype, np.floating):
        return _classes_back(dx), None
    scale = (1 if weight is None else weight) * (1 - label_smoothing)
    return _classes_back(dx), _classes_back(-g * scale * log_softmax_forward(rows))


def nll_loss_forward(x, target, weight=None, *, ignore_index=-100, reduction="mean"):
    q, divisor = _coefficients(x, target, weight, ignore_index, 0.0)
    loss = -np.where(q != 0, q * _classes_last(x), 0).sum(-1)
    return _reduce(loss, divisor, reduction)


def nll_loss_backward(dy, x, target, weight=None, *, ignore_index=-100, reduction="mean"):
    q, divisor = _coefficients(x, target, weight, ignore_index, 0.0)
    g = _spread(dy, q.shape[:-1], divisor, reduction)[..., None]
    return _classes_back(-q * g), None


def _margins(x, target, margin):
    """max(0, margin - x_target + x_c) for every other class c of each row."""
    own = np.take_along_axis(x, target[..., None], -1)
    other = np.arange(x.shape[-1]) != target[..., None]
    return np.where(other, np.maximum(0, margin - own + x), 0)


def multi_margin_loss_forward(x, target, p=1, margin=1.0, weight=None, reduction="mean"):
    """sum_c w_target margin_c^p / C."""
    violation = _margins(x, target, margin) ** p
    scale = 1 if weight is None else weight[target][..., None]
    return reduce_loss((violation * scale).sum(-1) / x.shape[-1], reduction)


def multi_margin_loss_backward(dy, x, target, p=1, margin=1.0, weight=None, reduction="mean"):
    violation = _margins(x, target, margin)
    scale = 1 if weight is None else weight[target][..., None]
    g = spread_loss_grad(dy, target.shape, reduction)[..., None] / x.shape[-1]
    dx = g * scale * p * np.where(violation > 0, violation ** (p - 1), 0)
    own = np.arange(x.shape[-1]) == target[..., None]
    return np.where(own, -dx.sum(-1, keepdims=True), dx), None


def _label_pairs(x, target):
    """(wanted, unwanted) masks; the labels of a row end at its first -1."""
    listed = np.cumprod(target >= 0, axis=-1).astype(bool)
    hot = (np.arange(x.shape[-1]) == np.where(listed, target, -1)[..., None]).any(-2)
    return hot[..., :, None] & ~hot[..., None, :]


def multilabel_margin_loss_forward(x, target, reduction="mean"):
    """sum over wanted labels j and other labels i of max(0, 1 - x_j + x_i) / C."""
    violation = np.maximum(0, 1 - x[..., :, None] + x[..., None, :])
    loss = np.where(_label_pairs(x, target), violation, 0).sum((-2, -1)) / x.shape[-1]
    return reduce_loss(loss, reduction)


def multilabel_margin_loss_backward(dy, x, target, reduction="mean"):
    active = _label_pairs(x, target) & (1 - x[..., :, None] + x[..., None, :] > 0)
    g = spread_loss_grad(dy, x.shape[:-1], reduction)[..., None] / x.shape[-1]
    return g * (active.sum(-2) - active.sum(-1)), None


def multilabel_soft_margin_loss_forward(x, target, weight=None, *, reduction="mean"):
    """Binary cross entropy of every class, averaged over the classes (last axis)."""
    loss = target * log1pexp(-x) + (1 - target) * log1pexp(x)
    loss = loss if weight is None else loss * weight
    return reduce_loss(loss.mean(-1), reduction)


def multilabel_soft_margin_loss_backward(dy, x, target, weight=None, *, reduction="mean"):
    g = spread_loss_grad(dy, x.shape[:-1], reduction)[..., None] / x.shape[-1]
    g = g if weight is None else g * weight
    return g * (sigmoid(x) - target), -g * x
