"""Small helpers shared by the references."""

import math

import numpy as np


def as_tuple(value, n):
    """A number repeated n times, or a sequence of n numbers as a tuple."""
    if isinstance(value, (int, float)):
        return (value,) * n
    assert len(value) == n, f"expected {n} values, got {value!r}"
    return tuple(value)


def product(a, b):
    """The matrix product. In float32, where it is the yardstick of kernels, by the textbook loop
    over k: a BLAS library sums in blocks and is more exact than the plain formula."""
    if a.dtype != np.float32:
        return a @ b
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    total = np.zeros((*batch, a.shape[-2], b.shape[-1]), np.float32)
    for k in range(a.shape[-1]):
        total += a[..., :, k, None] * b[..., k, None, :]
    return total


def unbroadcast(grad, shape):
    """Sum ``grad`` over the axes that broadcasting added or stretched, giving ``shape``."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    return grad.sum(axis=stretched, keepdims=True).reshape(shape)


def float_like(values, like):
    """``values`` (worked out in float64 by math functions) in the dtype of ``like``."""
    return np.asarray(values, dtype=np.float64).astype(like.dtype).reshape(like.shape)


def erf(x):
    return float_like([math.erf(v) for v in x.ravel()], x)


def erfc(x):
    return float_like([math.erfc(v) for v in x.ravel()], x)


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def log1pexp(x):
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def reduce_loss(loss, reduction):
    """Apply torch's ``reduction`` to elementwise losses (batchmean: sum / first axis)."""
    if reduction == "none":
        return loss
    total = loss.sum()
    return total / _loss_count(loss.shape, reduction) if reduction != "sum" else total


def _loss_count(shape, reduction):
    return {"mean": math.prod(shape), "batchmean": shape[0] if shape else 1, "sum": 1}[reduction]


def spread_loss_grad(dy, shape, reduction):
    """The gradient of ``reduce_loss`` with respect to its elementwise losses."""
    if reduction == "none":
        return dy
    return np.broadcast_to(dy / _loss_count(shape, reduction), shape)
