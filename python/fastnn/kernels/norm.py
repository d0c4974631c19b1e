"""Normalisations. Each forward returns (y, saved): hand `saved` to the backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core

Saved = tuple[Any, Any]
Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


def layer_norm(
    x: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    *,
    axes: int = 1,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Saved]:
    """Mean 0 and variance 1 over the last `axes` axes, then ``* weight + bias`` of those axes' shape."""
    y, mean, rstd = _core.row_norm(x, axes, weight, bias, eps, True)
    return y, (mean, rstd)


def layer_norm_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray | None, saved: Saved, *, axes: int = 1
) -> Gradients:
    """(dx, dweight, dbias); dweight and dbias have one flat axis."""
    return _core.row_norm_backward(dy, x, axes, weight, *saved, True, True, True)


def rms_norm(
    x: np.ndarray, weight: np.ndarray | None = None, *, axes: int = 1, eps: float = 1e-6
) -> tuple[np.ndarray, Saved]:
    """``x / sqrt(mean(x²) + eps) * weight`` over the last `axes` axes."""
    y, mean, rstd = _core.row_norm(x, axes, weight, None, eps, False)
    return y, (mean, rstd)


def rms_norm_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray | None, saved: Saved, *, axes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """(dx, dweight); dweight has one flat axis."""
    return _core.row_norm_backward(dy, x, axes, weight, *saved, True, True, False)[:2]


def batch_norm(
    x: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    *,
    running_mean: np.ndarray | None = None,
    running_var: np.ndarray | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: str = "none",
) -> tuple[np.ndarray, Saved]:
    """Normalises each channel of x (N, C, …). In training the running statistics, where given, are updated in place;
    otherwise they are what is used. activation: "none", "relu" or "relu6"."""
    y, mean, rstd = _core.batch_norm(
        x, weight, bias, running_mean, running_var, training, momentum, eps, activation
    )
    return y, (mean, rstd)


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    saved: Saved,
    *,
    training: bool = True,
    activation: str = "none",
    y: np.ndarray | None = None,
) -> Gradients:
    """(dx, dweight, dbias). An activation needs the result y, and training."""
    return _core.batch_norm_backward(
        dy, x, weight, *saved, training, True, True, True, activation, y
    )


def group_norm(
    x: np.ndarray,
    groups: int,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
) -> tuple[np.ndarray, Saved]:
    """Normalises each group of channels of each image of x (N, C, …); weight and bias (C,)."""
    y, mean, rstd = _core.group_norm(x, groups, weight, bias, eps)
    return y, (mean, rstd)


def group_norm_backward(
    dy: np.ndarray, x: np.ndarray, groups: int, weight: np.ndarray | None, saved: Saved
) -> Gradients:
    """(dx, dweight, dbias)."""
    return _core.group_norm_backward(dy, x, groups, weight, *saved, True, True, True)
