"""softmax, log_softmax and softmin along one axis."""

import numpy as np


def softmax_forward(x, dim=-1):
    e = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=dim, keepdims=True)


def softmax_backward(dy, x, dim=-1):
    """p (dy - sum(dy p))."""
    p = softmax_forward(x, dim)
    return (p * (dy - (dy * p).sum(axis=dim, keepdims=True)),)


def log_softmax_forward(x, dim=-1):
    shifted = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    total = np.exp(shifted).sum(axis=dim, keepdims=True)
    return shifted - (np.log(total) if x.size else total)


def log_softmax_backward(dy, x, dim=-1):
    """dy - p sum(dy)."""
    return (dy - softmax_forward(x, dim) * dy.sum(axis=dim, keepdims=True),)


def softmin_forward(x, dim=-1):
    return softmax_forward(-x, dim)


def softmin_backward(dy, x, dim=-1):
    return (-softmax_backward(dy, -x, dim)[0],)
