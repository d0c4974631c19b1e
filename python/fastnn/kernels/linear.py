"""Matrix products."""

from __future__ import annotations

import numpy as np

from .. import _core


def gemm(
    a: np.ndarray,
    b: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    out: np.ndarray | None = None,
    activation: str = "none",
) -> np.ndarray:
    """``activation(alpha a @ b + beta out + bias)`` in one pass.

    a: (..., M, K), b: (..., K, N); batch axes broadcast and vectors count as in ``numpy.matmul``. bias: (N,). A transposed
    view costs no copy. activation: none, relu, sigmoid, tanh, gelu, silu … With `out` the result is written there and
    returned.
    """
    return _core.gemm(a, b, bias, out, alpha, beta, activation)


def linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, activation: str = "none"
) -> np.ndarray:
    """``activation(x @ weight.T + bias)``: x (..., I), weight (O, I), bias (O,); result (..., O)."""
    rows = x if x.ndim <= 2 else x.reshape(-1, x.shape[-1])
    y = _core.gemm(rows, weight.T, bias, None, 1.0, 0.0, activation)
    return y if x.ndim <= 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dx, dweight, dbias) of ``linear`` without an activation."""
    g, rows = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    dx = _core.gemm(g, weight).reshape(x.shape)
    return dx, _core.gemm(g.T, rows), _core.sum(g, 0)
