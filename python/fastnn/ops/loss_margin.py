"""Losses with margins between classes or between vectors, and distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._errors import DTypeError, ShapeError
from ._loss import legacy_reduction, reduced
from ._narrow import in_float32
from ._util import optional_tensors, refuse_on_gpu, require_tensor, require_tensors, wrap
from .activation import logsigmoid
from .pointwise import where


def _class_targets(target: Any, n: int, classes: int, op: str) -> np.ndarray:
    """int64 class indices in [0, classes); IndexError names one that is not."""
    a = target._data.astype(np.int64)
    if a.shape != (n,) and not (n == 1 and a.shape == ()):
        raise ShapeError(f"{op}: inconsistent target size, expected ({n},) but got {list(a.shape)}")
    a = a.reshape(n)
    if a.size and (int(a.min()) < 0 or int(a.max()) >= classes):
        bad = a[(a < 0) | (a >= classes)][0]
        raise IndexError(f"{op}: Target {int(bad)} is out of bounds for {classes} classes")
    return a


@in_float32
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """``x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps))`` along `dim`, with broadcasting."""
    require_tensor(x1, "cosine_similarity", "x1")
    require_tensor(x2, "cosine_similarity", "x2")
    return ((x1 / _length(x1, dim, eps)) * (x2 / _length(x2, dim, eps))).sum(dim)


def _length(x: Any, dim: int, eps: float) -> Any:
    """The norm, at least eps; the limit has no gradient of its own, as in PyTorch."""
    n = x.norm(2, dim, True)
    known = n.detach()
    return n + (known.clamp_min(eps) - known)


@in_float32
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """``‖x1 - x2 + eps‖_p`` along the last dimension."""
    require_tensors("pairwise_distance", x1=x1, x2=x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim)


@in_float32
def pdist(input: Any, p: float = 2.0) -> Any:
    """The distances between all pairs of rows, row by row above the diagonal."""
    if require_tensor(input, "pdist")._data.ndim != 2:
        raise ShapeError(f"pdist: input must have 2 dimensions, got shape {input._data.shape}")
    rows, cols = np.triu_indices(input._data.shape[0], 1)
    return (input[wrap(rows)] - input[wrap(cols)]).norm(p, -1)


@in_float32
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """``1 - cos`` where target is 1, ``max(0, cos - margin)`` where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction, "cosine_embedding_loss")
    require_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if input1._data.ndim != target._data.ndim + 1 or input1._data.ndim not in (1, 2):
        raise ShapeError(
            "cosine_embedding_loss: inputs (N, D) with target (N,), or (D,) with (), are expected; got "
            f"{list(input1._data.shape)} and {list(target._data.shape)}"
        )
    eps = 1e-12
    dot = (input1 * input2).sum(-1)
    squares = (input1.square().sum(-1) + eps) * (input2.square().sum(-1) + eps)
    cos = dot / squares.sqrt()
    zero = cos * 0.0
    loss = where(target == 1, 1.0 - cos, zero)
    loss = loss + where(target == -1, (cos - margin).clamp_min(0.0), zero)
    return reduced(loss, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """``max(0, d(a, p) - d(a, n) + margin)``; `swap` takes the smaller of d(a, n) and d(p, n)."""
    reduction = legacy_reduction(None, None, reduction, "triplet_margin_with_distance_loss")
    require_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if not margin > 0:
        raise ValueError(f"triplet_margin_loss: margin must be greater than 0, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    shapes = {t._data.ndim for t in (anchor, positive, negative)}
    if len(shapes) != 1:
        raise ShapeError(
            "triplet_margin_loss: The anchor, positive, and negative tensors are expected to have the "
            f"same number of dimensions, got {sorted(shapes)}"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduced((near - far + margin).clamp_min(0.0), reduction)


@in_float32
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """triplet_margin_with_distance_loss() with the p-norm distance (Balntas et al., 2016)."""
    reduction = legacy_reduction(size_average, reduce, reduction, "triplet_margin_loss")
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def _rows(input: Any, op: str) -> Any:
    if input._data.ndim not in (1, 2) or input._data.shape[-1] == 0:
        raise ShapeError(
            f"{op}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input._data.shape)}"
        )
    return input if input._data.ndim == 2 else input.unsqueeze(0)


@in_float32
def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """``sum over i != y of max(0, w[y] (margin - x[y] + x[i]))^p / C``, for class indices y."""
    reduction = legacy_reduction(size_average, reduce, reduction, "multi_margin_loss")
    require_tensors("multi_margin_loss", input=input, target=target)
    optional_tensors("multi_margin_loss", weight=weight)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: only p == 1 and p == 2 supported, got {p}")
    x = _rows(input, "multi_margin_loss")
    n, classes = x._data.shape
    y = _class_targets(target, n, classes, "multi_margin_loss")
    index = wrap(y[:, None])
    gap = (margin - x.gather(1, index) + x).clamp_min(0.0)
    if p == 2:
        gap = gap.square()
    if weight is not None:
        gap = gap * weight[wrap(y)].unsqueeze(1)
    other = wrap(np.arange(classes)[None] != y[:, None])
    loss = where(other, gap, gap * 0.0).sum(1) / classes
    return reduced(loss if input._data.ndim == 2 else loss.squeeze(0), reduction)


@in_float32
def multilabel_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """``sum over targets y, others i of max(0, 1 - x[y] + x[i]) / C``; targets are class indices up to the first -1."""
    reduction = legacy_reduction(size_average, reduce, reduction, "multilabel_margin_loss")
    require_tensors("multilabel_margin_loss", input=input, target=target)
    if require_tensor(target, "multilabel_margin_loss", "target")._data.dtype.kind not in "iu":
        raise DTypeError(
            f"multilabel_margin_loss: target must hold class indices (int64), got {target._data.dtype}"
        )
    refuse_on_gpu(target._data, "multilabel_margin_loss")
    x, t = _rows(input, "multilabel_margin_loss"), target._data.astype(np.int64)
    t = t.reshape(x._data.shape) if t.size == x._data.size else t
    if t.shape != x._data.shape:
        raise ShapeError(
            f"multilabel_margin_loss: inconsistent target size: {list(target._data.shape)} for input of "
            f"size: {list(input._data.shape)}"
        )
    n, classes = t.shape
    if t.size and (int(t.min()) < -1 or int(t.max()) >= classes):
        raise IndexError(f"multilabel_margin_loss: a target is out of bounds for {classes} classes")
    listed = np.cumprod(t >= 0, axis=1).astype(bool)  # the entries before the first -1
    is_target = np.zeros((n, classes), bool)
    rows = np.broadcast_to(np.arange(n)[:, None], t.shape)
    is_target[rows[listed], t[listed]] = True
    chosen = x.gather(1, wrap(np.where(listed, t, 0)))
    gap = (1.0 - chosen.unsqueeze(2) + x.unsqueeze(1)).clamp_min(0.0)
    counts = wrap(listed[:, :, None] & ~is_target[:, None, :])
    loss = where(counts, gap, gap * 0.0).sum((1, 2)) / classes
    return reduced(loss if input._data.ndim == 2 else loss.squeeze(0), reduction)


@in_float32
def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """``log(1 + exp(-target * input))`` for targets ±1."""
    reduction = legacy_reduction(size_average, reduce, reduction, "soft_margin_loss")
    require_tensors("soft_margin_loss", input=input, target=target)
    return reduced(-logsigmoid(input * target), reduction)


@in_float32
def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """input where target is 1, ``max(0, margin - input)`` where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction, "hinge_embedding_loss")
    require_tensors("hinge_embedding_loss", input=input, target=target)
    zero = input * 0.0
    near = where(target == -1, zero, input)
    far = where(target == 1, zero, (margin - input).clamp_min(0.0))
    return reduced(near + far, reduction)


@in_float32
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """``max(0, -target (input1 - input2) + margin)`` for targets ±1."""
    reduction = legacy_reduction(size_average, reduce, reduction, "margin_ranking_loss")
    require_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1._data.ndim == input2._data.ndim == target._data.ndim:
        raise ShapeError(
            "margin_ranking_loss: all inputs should have the same number of dimensions, got "
            f"{input1._data.ndim}, {input2._data.ndim} and {target._data.ndim}"
        )
    return reduced(((input2 - input1) * target + margin).clamp_min(0.0), reduction)


@in_float32
def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """The mean over classes of the binary cross-entropy with logits."""
    reduction = legacy_reduction(size_average, reduce, reduction, "multilabel_soft_margin_loss")
    require_tensors("multilabel_soft_margin_loss", input=input, target=target)
    optional_tensors("multilabel_soft_margin_loss", weight=weight)
    loss = -(target * logsigmoid(input) + (1.0 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.mean(-1), reduction)
