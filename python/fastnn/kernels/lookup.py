"""Classes and rows by number: cross-entropy and embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from ..ops._loss import REDUCTIONS


def cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[np.ndarray, Any]:
    """(loss, saved): log-softmax over axis 1 and the negative log-likelihood in one pass.

    logits (N, C, …); target: class numbers (N, …) of an integer dtype, or probabilities of the logits' shape.
    reduction: none, mean or sum.
    """
    options = (ignore_index, float(label_smoothing), _reduction(reduction))
    loss, saved = _core.cross_entropy(logits, target, weight, *options)
    return loss, (saved, options)


def cross_entropy_backward(
    dloss: np.ndarray,
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    saved: Any,
) -> np.ndarray:
    """The gradient of the logits; `saved` comes from ``cross_entropy``."""
    kept, options = saved
    return _core.cross_entropy_backward(dloss, logits, target, weight, kept, *options)


def embedding(indices: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Rows of table (R, D) by number: result (*indices.shape, D). IndexError for a number outside of [0, R)."""
    return _core.embedding(table, indices)


def embedding_backward(dy: np.ndarray, indices: np.ndarray, rows: int) -> np.ndarray:
    """The gradient of a table of `rows` rows: dy's rows added up by number, in a fixed order."""
    return _core.embedding_backward(
        dy.reshape(-1, dy.shape[-1]), indices, None, None, rows, -1, False
    )


def _reduction(name: str) -> int:
    if name not in REDUCTIONS:
        raise ValueError(
            f"cross_entropy: unknown reduction {name!r}; expected one of {', '.join(REDUCTIONS)}"
        )
    return REDUCTIONS[name]
