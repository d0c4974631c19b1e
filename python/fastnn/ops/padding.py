"""Padding and cropping, and sliding blocks as columns (unfold, fold)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from .. import _core
from .._errors import ShapeError
from ..autograd.node import Node, record, wants_grad
from ._integers import put
from ._util import require_float, require_tensor, wrap

_MODES = ("constant", "reflect", "replicate", "circular")


# ---- Padding: linear but for the constant, so that backward of backward is padding with zeros ----


def _padded(x: Any, pad: tuple, mode: str, value: float) -> Any:
    y = wrap(_core.pad(x._data, pad, mode, value))
    if wants_grad(x):
        record(y, _pad_backward, (x,), (), (pad, mode))
    return y


def _pad_backward(node: Node, g: Any) -> Any:
    dx = wrap(_core.pad_backward(g._data, *node.ctx))
    if wants_grad(g):
        record(dx, _pad_backward_backward, (g,), (), node.ctx)
    return dx


def _pad_backward_backward(node: Node, g: Any) -> Any:
    pad, mode = node.ctx
    return _padded(g, pad, mode, 0.0)


def _trimmed(pad: tuple) -> tuple:
    """Without the pairs of zeros at the end, which stand for the outermost axes."""
    n = len(pad)
    while n > 2 and pad[n - 2] == pad[n - 1] == 0:
        n -= 2
    return pad[:n]


def _pad_constant(input: Any, pad: tuple, value: float) -> Any:
    """Any rank: the last three axes, then three more with those joined, and so on."""
    pad = _trimmed(pad)
    axes = len(pad) // 2
    shape = input._data.shape
    if axes <= 3:
        if len(shape) <= axes + 2:
            return _padded(input, pad, "constant", value)
        # The kernels know two axes before the padded ones.
        joined = input.reshape(-1, *shape[len(shape) - axes - 1 :])
        y = _padded(joined, pad, "constant", value)
        return y.reshape(*shape[: len(shape) - axes - 1], *y._data.shape[1:])
    inner = _pad_constant(input, pad[:6], value)
    shape = inner._data.shape
    outer = _pad_constant(inner.reshape(*shape[:-3], -1), (0, 0, *pad[6:]), value)
    return outer.reshape(*outer._data.shape[:-1], *shape[-3:])


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Pads the last axes by (before, after) pairs, the last axis first: (left, right, top, …).

    mode: constant (any axes, any dtype; negative sizes crop), or reflect, replicate, circular, for
    the last one to three axes of
    (C, spatial…) or (N, C, spatial…). Raises ShapeError where a size does not fit the axis,
    ValueError for an unknown mode.
    """
    require_tensor(input, "pad")
    try:
        sizes = tuple([operator.index(p) for p in pad])
    except TypeError:
        raise TypeError(f"pad: pad must be a sequence of ints, got {pad!r}") from None
    rank = input._data.ndim
    if len(sizes) % 2 or len(sizes) > 2 * rank:
        raise ValueError(
            f"pad: padding must have two sizes for each padded axis, at most {2 * rank} for an "
            f"input of shape {input._data.shape}, got {len(sizes)}"
        )
    if mode not in _MODES:
        raise ValueError(f"pad: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if mode == "constant":
        if not any(sizes):
            return input.clone()
        value = 0 if value is None else put(value, input._data.dtype, "pad")
        return _pad_constant(input, sizes, float(value))
    if value is not None and value != 0:
        raise ValueError(f'pad: padding mode "{mode}" doesn\'t take in value argument')
    axes = len(sizes) // 2
    if axes not in (1, 2, 3) or rank not in (axes + 1, axes + 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 axes of an input with one or two more; "
            f"got {len(sizes)} sizes for shape {input._data.shape}"
        )
    return _padded(input, sizes, mode, 0.0)


# ---- Sliding blocks: fold is the transpose of unfold ---------------------------------------------


def _pair(value: Any, op: str, name: str) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) == 1:
        values *= 2
    if len(values) != 2:
        raise ValueError(f"{op}: {name} must be an int or two of them, got {value!r}")
    return values


def _columns(x: Any, how: tuple) -> Any:
    y = wrap(_core.unfold(x._data, *how))
    if wants_grad(x):
        record(y, _unfold_backward, (x,), (), (x._data.shape[-2:], how))
    return y


def _unfold_backward(node: Node, g: Any) -> Any:
    return _image(g, *node.ctx)


def _image(x: Any, size: tuple, how: tuple) -> Any:
    y = wrap(_core.fold(x._data, size, *how))
    if wants_grad(x):
        record(y, _fold_backward, (x,), (), how)
    return y


def _fold_backward(node: Node, g: Any) -> Any:
    return _columns(g, node.ctx)


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """The sliding blocks of (N, C, H, W) as columns: (N, C kh kw, L); (C, H, W) gives (C kh kw, L).

    Raises ShapeError or ValueError where no block fits.
    """
    require_float(input, "unfold")
    if input._data.ndim not in (3, 4):
        raise ShapeError(
            f"unfold: expected an input (N, C, H, W) or (C, H, W), got shape {input._data.shape}"
        )
    how = (_pair(kernel_size, "unfold", "kernel_size"), _pair(dilation, "unfold", "dilation"),
           _pair(padding, "unfold", "padding"), _pair(stride, "unfold", "stride"))  # fmt: skip
    return _columns(input, how)


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Sums columns (N, C kh kw, L) where their blocks lie in images (N, C, *output_size).

    Columns (C kh kw, L) give an image without a batch.

    Raises ShapeError or ValueError where the columns do not fit.
    """
    require_float(input, "fold")
    if input._data.ndim not in (2, 3):
        raise ShapeError(
            f"fold: expected an input (N, C kh kw, L) or (C kh kw, L), got shape "
            f"{input._data.shape}"
        )
    how = (_pair(kernel_size, "fold", "kernel_size"), _pair(dilation, "fold", "dilation"),
           _pair(padding, "fold", "padding"), _pair(stride, "fold", "stride"))  # fmt: skip
    return _image(input, _pair(output_size, "fold", "output_size"), how)
