"""Dropout and its relatives.

The mask is a function of seed and offset: backward makes it again, nothing is stored.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _core
from .. import random as _random
from ..autograd.node import Node, record, state
from . import inplace as _inplace
from ._util import require_float, wrap


def _check_p(p: Any, op: str) -> float:
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"{op}: dropout probability has to be between 0 and 1, but got {p}")
    return float(p)


def _apply(input: Any, p: float, seed: int, offset: int) -> Any:
    out = wrap(_core.dropout(input._data, p, seed, offset))
    if state.enabled and input.requires_grad:
        record(out, _dropout_backward, (input,), (), (p, seed, offset))
    return out


def _dropout_backward(node: Node, g: Any) -> Any:
    return _apply(g, *node.ctx)  # linear, so that its own backward is itself again


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zeroes each element with probability p and scales the others by 1/(1-p)
    (Srivastava et al., 2014).

    Raises ValueError for p outside of [0, 1].
    """
    p = _check_p(p, "dropout")
    require_float(input, "dropout")
    if not training or p == 0:
        return input
    if inplace:
        return _inplace.apply(input, "dropout_", dropout, p, True, False)
    return _apply(input, p, *_random.reserve("bernoulli", input._data))


def _channel_mask(input: Any, keep: float, op: str, ranks: tuple[int, ...]) -> Any:
    """0 and 1 of shape (N, C, 1, …); the first of `ranks` is an input without a batch."""
    require_float(input, op)
    shape = input._data.shape
    lead = 1 if len(shape) == ranks[0] else 2
    mask = np.empty(shape[:lead] + (1,) * (len(shape) - lead), input._data.dtype)
    return wrap(_random.fill_bernoulli(mask, keep))


def _feature_dropout(
    input: Any, p: float, training: bool, inplace: bool, op: str, ranks: tuple[int, ...]
) -> Any:
    p = _check_p(p, op)
    require_float(input, op)
    if input._data.ndim not in ranks:
        raise ValueError(
            f"{op}: expected a {ranks[0]}-D (unbatched) or {ranks[-1]}-D (batched) input, got "
            f"{input._data.ndim}-D"
        )
    if not training or p == 0:
        return input
    scale = 1 / (1 - p) if p < 1 else 0.0
    mask = _channel_mask(input, 1 - p, op, ranks) * scale
    return input.mul_(mask) if inplace else input * mask


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes whole channels of (N, C, L) or (C, L)."""
    return _feature_dropout(input, p, training, inplace, "dropout1d", (2, 3))


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes whole channels of (N, C, H, W); the second axis of (N, C, L) counts as channels too,
    as in PyTorch."""
    if require_float(input, "dropout2d")._data.ndim == 3:
        return _feature_dropout(input, p, training, inplace, "dropout2d", (0, 3))
    return _feature_dropout(input, p, training, inplace, "dropout2d", (0, 4))


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _feature_dropout(input, p, training, inplace, "dropout3d", (4, 5))


_ALPHA = -1.7580993408473766  # selu's limit for very negative inputs


def _alpha_dropout(input: Any, p: float, mask: Any) -> Any:
    """Masked elements take selu's negative limit; scale and shift keep mean 0 and variance 1
    (Klambauer et al., 2017)."""
    if p == 1:
        return input * mask
    a = 1 / math.sqrt((1 - p) * (1 + p * _ALPHA**2))
    return (input * mask + (1.0 - mask) * _ALPHA) * a + -a * _ALPHA * p


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for networks of selu(): keeps mean and variance."""
    p = _check_p(p, "alpha_dropout")
    require_float(input, "alpha_dropout")
    if not training or p == 0:
        return input
    mask = wrap(_random.fill_bernoulli(np.empty_like(input._data), 1 - p))
    out = _alpha_dropout(input, p, mask)
    return input.copy_(out) if inplace else out


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """alpha_dropout() of whole channels (axis 1)."""
    p = _check_p(p, "feature_alpha_dropout")
    require_float(input, "feature_alpha_dropout")
    if not training or p == 0:
        return input
    out = _alpha_dropout(input, p, _channel_mask(input, 1 - p, "feature_alpha_dropout", (0,)))
    return input.copy_(out) if inplace else out
