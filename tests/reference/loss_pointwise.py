"""Losses that compare element with element: a value, and its partial derivatives.

``LOSSES`` maps torch's names to ``PointwiseLoss``; ``weight`` rescales elements and has no
gradient here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.reference.common import log1pexp, reduce_loss, sigmoid, spread_loss_grad, unbroadcast


@dataclass(frozen=True)
class PointwiseLoss:
    """``value(*arrays, **parameters)`` per element; ``partials`` in the order of the arrays."""

    value: Callable
    partials: Callable
    divides_by_weight: bool = False  # a weighted mean divides by the sum of the weights

    def forward(self, x, target, weight=None, *, reduction="mean", **parameters):
        loss = self.value(x, target, **parameters)
        if weight is None:
            return reduce_loss(loss, reduction)
        if reduction == "mean" and self.divides_by_weight:
            return (loss * weight).sum() / weight.sum()
        return reduce_loss(loss * weight, reduction)

    def backward(self, dy, x, target, weight=None, *, reduction="mean", **parameters):
        shape = np.broadcast_shapes(x.shape, target.shape)
        if weight is None:
            g = spread_loss_grad(dy, shape, reduction)
        elif reduction == "mean" and self.divides_by_weight:
            g = dy * weight / weight.sum()
        else:
            g = spread_loss_grad(dy, shape, reduction) * weight
        dx, dtarget = self.partials(x, target, **parameters)
        return tuple(
            None if d is None else unbroadcast(np.broadcast_to(g * d, shape), a.shape)
            for d, a in ((dx, x), (dtarget, target))
        )


def _antisymmetric(slope):
    """The partials of a function of x - target."""
    return lambda x, target, **p: (slope(x - target, **p), -slope(x - target, **p))


def huber(x, target, delta=1.0):
    """0.5 d^2 for |d| < delta, beyond it linear."""
    d = np.abs(x - target)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def smooth_l1(x, target, beta=1.0):
    """huber(delta = beta) / beta; the absolute difference for beta = 0."""
    if beta == 0:
        return np.abs(x - target)
    return huber(x, target, beta) / beta


def smooth_l1_slope(d, beta=1.0):
    return np.sign(d) if beta == 0 else np.clip(d, -beta, beta) / beta


def bce(x, target):
    """Logarithms are held above -100, as in torch."""
    with np.errstate(divide="ignore"):
        return -(
            target * np.maximum(np.log(x), -100) + (1 - target) * np.maximum(np.log1p(-x), -100)
        )


def bce_partials(x, target):
    with np.errstate(divide="ignore"):
        return (x - target) / np.maximum(x * (1 - x), 1e-12), np.log1p(-x) - np.log(x)


def bce_with_logits(x, target, pos_weight=None):
    pos_weight = 1 if pos_weight is None else pos_weight
    return (1 - target) * x + (1 + (pos_weight - 1) * target) * log1pexp(-x)


def bce_with_logits_partials(x, target, pos_weight=None):
    pos_weight = 1 if pos_weight is None else pos_weight
    dx = (1 - target) - (1 + (pos_weight - 1) * target) * sigmoid(-x)
    return dx, (pos_weight - 1) * log1pexp(-x) - x


def kl_div(x, target, log_target=False):
    """target (log target - x), with x the logarithm of a probability; 0 where target is 0."""
    if log_target:
        return np.exp(target) * (target - x)
    return np.where(target > 0, target * np.log(np.where(target > 0, target, 1)), 0) - target * x


def kl_div_partials(x, target, log_target=False):
    if log_target:
        return -np.exp(target), np.exp(target) * (target - x + 1)
    log = np.log(np.where(target > 0, target, 1))
    return -target, np.where(target > 0, log + 1, 0) - x


def poisson(x, target, log_input=True, full=False, eps=1e-8):
    loss = np.exp(x) - target * x if log_input else x - target * np.log(x + eps)
    if full:  # Stirling's approximation of log(target!)
        t = np.where(target > 1, target, 1)
        loss = loss + np.where(target > 1, t * np.log(t) - t + 0.5 * np.log(2 * math.pi * t), 0)
    return loss


def poisson_partials(x, target, log_input=True, full=False, eps=1e-8):
    dx = np.exp(x) - target if log_input else 1 - target / (x + eps)
    dtarget = -x if log_input else -np.log(x + eps)
    if full:
        t = np.where(target > 1, target, 1)
        dtarget = dtarget + np.where(target > 1, np.log(t) + 0.5 / t, 0)
    return dx, dtarget


def hinge_embedding(x, target, margin=1.0):
    """x where target is 1, max(0, margin - x) where it is -1."""
    return np.where(target == 1, x, np.maximum(0, margin - x))


LOSSES = {
    "mse_loss": PointwiseLoss(
        lambda x, t: (x - t) ** 2, _antisymmetric(lambda d: 2 * d), divides_by_weight=True
    ),
    "l1_loss": PointwiseLoss(
        lambda x, t: np.abs(x - t), _antisymmetric(np.sign), divides_by_weight=True
    ),
    "huber_loss": PointwiseLoss(
        huber, _antisymmetric(lambda d, delta=1.0: np.clip(d, -delta, delta))
    ),
    "smooth_l1_loss": PointwiseLoss(smooth_l1, _antisymmetric(smooth_l1_slope)),
    "binary_cross_entropy": PointwiseLoss(bce, bce_partials),
    "binary_cross_entropy_with_logits": PointwiseLoss(bce_with_logits, bce_with_logits_partials),
    "kl_div": PointwiseLoss(kl_div, kl_div_partials),
    "poisson_nll_loss": PointwiseLoss(poisson, poisson_partials),
    "hinge_embedding_loss": PointwiseLoss(
        hinge_embedding,
        lambda x, t, margin=1.0: (np.where(t == 1, 1, np.where(x < margin, -1, 0)), None),
    ),
    "soft_margin_loss": PointwiseLoss(
        lambda x, t: log1pexp(-t * x), lambda x, t: (-t * sigmoid(-t * x), None)
    ),
}
