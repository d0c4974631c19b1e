"""Activations, and softmax along an axis."""

from __future__ import annotations

import numpy as np

from .. import _core

_FROM_RESULT = ("relu", "sigmoid", "tanh")  # their derivative is a function of the result


def activation(x: np.ndarray, name: str) -> np.ndarray:
    """relu, sigmoid, tanh, gelu, gelu_tanh, silu, mish, softsign, hardswish, … of every element.

    Raises ValueError for an unknown name.
    """
    return _core.activation(name, x)


def activation_backward(dy: np.ndarray, x: np.ndarray, name: str) -> np.ndarray:
    """dx of ``activation``."""
    saved = _core.activation(name, x) if name in _FROM_RESULT else x
    return _core.activation_backward(name, dy, saved)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """``exp(x) / sum(exp(x))`` along an axis."""
    return _core.softmax(x, axis)


def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """dx from the result y of ``softmax``."""
    return _core.softmax_backward(dy, y, axis)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The logarithm of ``softmax``."""
    return _core.log_softmax(x, axis)


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """dx from the result y of ``log_softmax``."""
    return _core.log_softmax_backward(dy, y, axis)
