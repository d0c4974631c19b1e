"""Matrix products: matmul in every rank, linear, bmm, addmm, baddbmm."""

import math

import numpy as np

from tests.reference.common import product, unbroadcast


def _as_matrices(a, b):
    """Vectors become a row or a column, so that one formula serves every rank."""
    return a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b


def matmul_forward(a, b):
    y = product(*_as_matrices(a, b))
    y = y[..., 0] if b.ndim == 1 else y
    return y if a.ndim > 1 else y[..., 0] if b.ndim == 1 else y[..., 0, :]


def matmul_backward(dy, a, b):
    a2, b2 = _as_matrices(a, b)
    dy = np.asarray(dy)
    dy = dy[..., None] if b.ndim == 1 else dy
    dy = np.expand_dims(dy, -2) if a.ndim == 1 else dy
    da = unbroadcast(product(dy, b2.swapaxes(-1, -2)), a2.shape)
    db = unbroadcast(product(a2.swapaxes(-1, -2), dy), b2.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


mm_forward, mm_backward = matmul_forward, matmul_backward
bmm_forward, bmm_backward = matmul_forward, matmul_backward


def linear_forward(x, weight, bias=None):
    """y = x W^T + b over the last axis of x."""
    rows = product(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight.T)
    y = rows.reshape(*x.shape[:-1], weight.shape[0])
    return y if bias is None else y + bias


def linear_backward(dy, x, weight, bias=None):
    count = math.prod(x.shape[:-1])
    rows, columns = dy.reshape(count, weight.shape[0]), x.reshape(count, x.shape[-1])
    db = None if bias is None else rows.sum(0)
    return product(rows, weight).reshape(x.shape), product(rows.T, columns), db


def addmm_forward(c, a, b, *, beta=1, alpha=1):
    """beta c + alpha a b; with beta = 0, c is not read (its NaN do not spread)."""
    scaled = alpha * product(a, b)
    return scaled if beta == 0 else beta * c + scaled


def addmm_backward(dy, c, a, b, *, beta=1, alpha=1):
    da, db = matmul_backward(alpha * dy, a, b)
    return unbroadcast(beta * dy, c.shape), da, db


baddbmm_forward, baddbmm_backward = addmm_forward, addmm_backward
