"""Dropout, given the mask of what is kept (how it is drawn is a matter of the generator)."""

import math

import numpy as np

ALPHA = -1.7580993408473766  # selu's limit for very negative inputs: -scale alpha


def mask_shape(shape, kind):
    """dropout and alpha_dropout: every element; dropoutNd and feature_alpha_dropout: channels."""
    if kind in ("dropout", "alpha_dropout"):
        return shape
    return (*shape[:2], *(1,) * (len(shape) - 2))


def dropout_forward(x, keep, p=0.5):
    """x / (1 - p) where kept, otherwise 0 (also for p = 1)."""
    return np.where(keep, x / (1 - p) if p < 1 else 0, 0).astype(x.dtype)


def dropout_backward(dy, x, keep, p=0.5):
    return (dropout_forward(dy, keep, p),)


def _alpha(p):
    """Slope and shift that keep mean 0 and variance 1."""
    slope = 1 / math.sqrt((1 - p) * (1 + p * ALPHA**2)) if p < 1 else 0.0
    return slope, -slope * ALPHA * p


def alpha_dropout_forward(x, keep, p=0.5):
    """slope (x where kept, otherwise ALPHA) + shift; 0 for p = 1."""
    slope, shift = _alpha(p)
    return (slope * np.where(keep, x, ALPHA) + shift).astype(x.dtype)


def alpha_dropout_backward(dy, x, keep, p=0.5):
    return (np.where(keep, _alpha(p)[0] * dy, 0).astype(x.dtype),)
