"""Cross-entropy of a linear layer's outputs, by pieces of the batch: the logits never exist whole."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._loss import REDUCTIONS, legacy_reduction
from ._util import cast, optional_tensors, require_float, require_tensors, wide, wrap
from .linalg import linear
from .loss_class import cross_entropy, cross_entropy_gradients


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How linear_cross_entropy() cuts the batch.

    batch_chunk_size: rows in a piece; chunking_method 'aspect_ratio' takes so many that the piece's logits are as large
    as the input, 'aspect_ratio:N' an Nth of them, 'auto' is 'aspect_ratio:2' with 128 rows at least (every piece passes
    over all of the weight's gradient), None leaves it to batch_chunk_size.
    The other fields are PyTorch's: here gradients add up in float32 at least, and backward may run again, whatever they
    say.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.acc_dtype is not None and not dtypes.as_dtype(self.acc_dtype).is_floating_point:
            raise ValueError(f"acc_dtype must be a floating-point dtype, got {self.acc_dtype!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.chunking_method not in (None, "auto"):
            self._divisor(self.chunking_method)

    @staticmethod
    def _divisor(method: str) -> int:
        name, colon, number = method.partition(":")
        if name != "aspect_ratio" or (colon and not (number.isdigit() and int(number))):
            raise ValueError(f"invalid chunking_method: {method!r}")
        return int(number) if colon else 1

    def rows(self, batch: int, in_features: int, classes: int) -> int:
        """How many samples a piece has."""
        method, size = self.chunking_method, self.batch_chunk_size
        if method is None or (method == "auto" and size is not None):
            return max(1, batch if size is None else min(size, batch))
        divisor = 2 if method == "auto" else self._divisor(method)
        wanted = -(-batch // max(1, -(-classes // max(1, in_features))))
        least = 128 if method == "auto" else 1
        rows = max(1, min(max((1 << max(0, wanted - 1).bit_length()) // divisor, least), batch))
        if size is not None and size != rows:
            raise ValueError(
                f"batch_chunk_size (={size}) and chunking_method ('{method}') give different chunk sizes "
                f"({size} vs {rows}); pass only one."
            )
        return rows


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Any:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target, ...)``; by pieces of the batch with `options`.

    input: (in_features,) or (N, in_features). linear_weight: (C, in_features), or (C, d1, ..., in_features) for a loss of
    K dimensions. target: class indices, or probabilities of the logits' shape. Pieces are for class indices and K = 0;
    for anything else `options` count for nothing, with a warning.
    """
    name = "linear_cross_entropy"
    reduction = legacy_reduction(None, None, reduction, name)
    require_float(input, name)
    require_tensors(name, linear_weight=linear_weight, target=target)
    optional_tensors(name, linear_bias=linear_bias, weight=weight)
    shape = _logits_shape(input, linear_weight, linear_bias)
    if target._data.shape == shape and ignore_index is not None:
        raise RuntimeError(
            f"{name}: ignore_index cannot be specified when target contains probabilities"
        )
    ignored = -100 if ignore_index is None else ignore_index
    settings = (ignored, float(label_smoothing), reduction)
    if options is not None:
        whole = linear_weight._data.ndim > 2 or not isinstance(input._data, np.ndarray)
        if target._data.dtype == np.int64 and not whole:
            return _by_pieces(input, linear_weight, linear_bias, target, weight, settings, options)
        warnings.warn(
            f"{name}: options ignored; pieces need int64 class indices and a linear_weight of two "
            f"dimensions on the CPU, got {target.dtype} and {tuple(linear_weight.shape)}",
            stacklevel=2,
        )
    return _composed(input, linear_weight, linear_bias, target, weight, settings, shape)


def _logits_shape(input: Any, linear_weight: Any, bias: Any) -> tuple[int, ...]:
    name, x, w = "linear_cross_entropy", input._data.shape, linear_weight._data.shape
    if len(x) not in (1, 2):
        raise ShapeError(f"{name}: expected input with dimensionality 1 or 2, got {len(x)}")
    if len(w) < 2:
        raise ShapeError(
            f"{name}: expected linear_weight with dimensionality at least 2, got {len(w)}"
        )
    if x[-1] != w[-1]:
        raise ShapeError(
            f"{name}: expected equal input and linear_weight last dimensions (in_features), got "
            f"{x[-1]} and {w[-1]}, respectively"
        )
    if bias is not None and bias._data.shape != w[:-1]:
        raise ShapeError(f"{name}: expected linear_bias shape {w[:-1]}, got {bias._data.shape}")
    if len(w) > 2 and len(x) == 1:
        raise ShapeError(
            f"{name}: linear_weight of shape {w} asks for batched input (N, {x[-1]}), got shape {x}"
        )
    return (*x[:-1], *w[:-1])


def _composed(
    input: Any, w: Any, bias: Any, target: Any, weight: Any, settings: tuple, shape: tuple
) -> Any:
    ignored, smoothing, reduction = settings
    flat = None if bias is None else bias.reshape(-1)
    logits = linear(input, w.reshape(math.prod(w.shape[:-1]), w.shape[-1]), flat).reshape(shape)
    return cross_entropy(
        logits, target, weight,
        ignore_index=ignored, reduction=reduction, label_smoothing=smoothing,
    )  # fmt: skip


# ---- by pieces ---------------------------------------------------------------------------------------------------


class _Pieces:
    """One call's constants, and its loops over the pieces."""

    def __init__(self, w: Any, bias: Any, target: Any, weight: Any, settings: tuple) -> None:
        self.w, self.bias = w.detach(), None if bias is None else bias.detach()
        self.target = target._data
        self.weight = None if weight is None else wide(weight._data)
        self.ignored, self.smoothing, self.reduction = settings
        self.divisor = self._divisor() if self.reduction == "mean" else 1.0
        self.rows = 1

    def _divisor(self) -> float:
        """What a mean divides by: the kept samples, or their classes' weights."""
        kept = self.target[self.target != self.ignored]
        if self.weight is None:
            return float(kept.size)
        inside = kept[(kept >= 0) & (kept < self.weight.size)]  # others are refused by the kernel
        return float(self.weight[inside].sum(dtype=np.float64))

    def _options(self) -> tuple:
        code = REDUCTIONS["none" if self.reduction == "none" else "sum"]
        return self.ignored, self.smoothing, code

    def each(self, x: np.ndarray) -> Iterator[tuple[slice, Any, np.ndarray, np.ndarray, Any]]:
        """Of every piece: its rows, its input, its logits, and the kernel's losses and what backward needs of it."""
        for start in range(0, max(len(x), 1), self.rows):
            rows = slice(start, start + self.rows)
            part = wrap(x[rows])
            logits = linear(part, self.w, self.bias)._data
            loss, saved = _core.cross_entropy(
                logits, self.target[rows], self.weight, *self._options()
            )
            yield rows, part, logits, loss, saved

    def loss(self, x: np.ndarray, gradients: _Gradients | None) -> np.ndarray:
        """The loss; where it is one number, its gradients on the way."""
        losses = []
        for rows, part, logits, loss, saved in self.each(x):
            losses.append(loss)
            if gradients is not None:
                gradients.add(rows, part, self.slope(rows, logits, saved, np.ones((), loss.dtype)))
        if self.reduction == "none":
            return np.concatenate(losses)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sum(losses) / losses[0].dtype.type(self.divisor))

    def slope(self, rows: slice, logits: np.ndarray, saved: Any, dy: np.ndarray) -> Any:
        """The gradient of a piece's losses by its logits."""
        target = self.target[rows]
        return wrap(
            _core.cross_entropy_backward(dy, logits, target, self.weight, saved, *self._options())
        )


class _Gradients:
    """Sums over the pieces, in float32 at least."""

    def __init__(self, edges: tuple, wanted: tuple) -> None:
        def sums(t: Any) -> Any:
            return wrap(np.zeros(t._data.shape, wide(t._data[:0]).dtype))

        self.like, self.w = edges, edges[1].detach()
        x, *others = (t if wants else None for t, wants in zip(edges, wanted, strict=True))
        self.dx = None if x is None else np.empty(x._data.shape, x._data.dtype)
        self.dw, self.db = (None if t is None else sums(t) for t in (*others, None)[:2])

    def add(self, rows: slice, part: Any, slope: Any) -> None:
        if self.dx is not None:
            self.dx[rows] = (slope @ self.w)._data
        if self.dw is not None:
            self.dw.add_(slope.transpose(0, 1) @ part)
        if self.db is not None:
            self.db.add_(slope.sum(0))

    def scaled(self, factor: Any) -> tuple:
        """They times a factor, in the dtypes of their operands."""
        sums = (None if self.dx is None else wrap(self.dx), self.dw, self.db)
        return tuple(
            None if s is None else (s * factor).to(t.dtype)
            for s, t in zip(sums, self.like, strict=False)
        )


def _by_pieces(
    input: Any, w: Any, bias: Any, target: Any, weight: Any, settings: tuple,
    options: LinearCrossEntropyOptions,
) -> Any:  # fmt: skip
    if input._data.ndim == 1:
        out = _by_pieces(
            input.unsqueeze(0), w, bias, target.unsqueeze(0), weight, settings, options
        )
        return out.squeeze(0) if settings[2] == "none" else out
    n, features = input._data.shape
    if target._data.shape != (n,):
        raise ShapeError(
            f"linear_cross_entropy: expected a target of shape ({n},) for input of shape "
            f"{input._data.shape}, got {target._data.shape}"
        )
    pieces = _Pieces(w, bias, target, weight, settings)
    pieces.rows = options.rows(n, features, w._data.shape[0])
    edges = (input, w) if bias is None else (input, w, bias)
    recording = wants_grad(*edges)
    early = None
    if recording and settings[2] != "none":
        early = _Gradients(edges, tuple(t.requires_grad for t in edges))
    out = wrap(cast(pieces.loss(input._data, early), input._data.dtype))
    if recording:
        record(out, _backward, edges, (*edges, target, weight), (pieces, early))
    return out


def _backward(node: Node, g: Any) -> tuple:
    x, w, *rest = node.saved_tensors()
    bias = rest[0] if len(rest) == 3 else None
    target, weight = rest[-2:]
    pieces, early = node.ctx
    edges = (x, w) if bias is None else (x, w, bias)
    if wants_grad(g, *edges):
        return _again_differentiable(g, x, w, bias, target, weight, pieces)
    if early is not None:
        return early.scaled(g * (1.0 / pieces.divisor if pieces.divisor else 0.0))
    late = _Gradients(edges, node.wanted)
    dy = wide(g._data)
    for rows, part, logits, _, saved in pieces.each(x._data):
        late.add(rows, part, pieces.slope(rows, logits, saved, dy[rows]))
    return late.scaled(1.0)


def _again_differentiable(
    g: Any, x: Any, w: Any, bias: Any, target: Any, weight: Any, pieces: _Pieces
) -> tuple:
    """The gradients as ops on the whole logits."""
    logits = linear(x, w, bias)
    code = REDUCTIONS[pieces.reduction]
    slope = cross_entropy_gradients(
        g,
        logits,
        target,
        weight,
        np.array([pieces.divisor]),
        pieces.ignored,
        pieces.smoothing,
        code,
    )[0]
    gradients = (slope @ w, slope.transpose(0, 1) @ x)
    return gradients if bias is None else (*gradients, slope.sum(0))
