"""How tensors print: PyTorch's look."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_options: dict[str, Any] = {
    "precision": 4,
    "threshold": 1000,
    "edgeitems": 3,
    "linewidth": 80,
    "sci_mode": None,
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How many digits, when to summarise, how wide; `profile` is 'default', 'short' or 'full'."""
    if profile is not None:
        presets = {
            "default": (4, 1000, 3, 80),
            "short": (2, 1000, 2, 80),
            "full": (4, math.inf, 3, 80),
        }
        if profile not in presets:
            raise ValueError(
                f"set_printoptions: profile must be one of {list(presets)}, got {profile!r}"
            )
        names = ("precision", "threshold", "edgeitems", "linewidth")
        _options.update(zip(names, presets[profile], strict=True))
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    _options.update({k: v for k, v in given.items() if v is not None})
    _options["sci_mode"] = sci_mode


class _Formatter:
    """One width and one notation for all the numbers that show."""

    def __init__(self, shown: np.ndarray) -> None:
        self.floating = shown.dtype.kind == "f"
        self.whole = True
        self.scientific = False
        self.width = 1
        if not self.floating:
            self.width = max((len(str(v)) for v in shown.ravel().tolist()), default=1)
            return
        flat = shown.ravel().astype(np.float64)
        used = np.abs(flat[np.isfinite(flat) & (flat != 0)])
        if not used.size:  # zeros, infinities and NaN stand as they are
            return
        self.whole = bool(np.all(used == np.ceil(used)))
        big, small = float(used.max()), float(used.min())
        ratio = big / small if small else math.inf
        if self.whole:
            self.scientific = big > 1e8 or (ratio > 1000 and big > 1e8)
        else:
            self.scientific = ratio > 1000 or big > 1e8 or small < 1e-4
        if _options["sci_mode"] is not None:
            self.scientific = _options["sci_mode"]
        self.width = max((len(self._text(float(v))) for v in flat if np.isfinite(v)), default=3)

    def _text(self, v: float) -> str:
        if not math.isfinite(v):
            return str(v)
        if self.scientific:
            return f"{v:.{_options['precision']}e}"
        if self.whole:
            return f"{v:.0f}."
        return f"{v:.{_options['precision']}f}"

    def __call__(self, v: Any) -> str:
        text = self._text(float(v)) if self.floating else str(v)
        return text.rjust(self.width)


def _shown(a: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    edge = _options["edgeitems"]
    for axis, n in enumerate(a.shape):
        if n > 2 * edge:
            keep = list(range(edge)) + list(range(n - edge, n))
            a = np.take(a, keep, axis)
    return a


def _vector(a: np.ndarray, indent: int, summarise: bool, fmt: _Formatter) -> str:
    edge = _options["edgeitems"]
    values = a.tolist()
    if summarise and len(values) > 2 * edge:
        items = [fmt(v) for v in values[:edge]] + [" ..."] + [fmt(v) for v in values[-edge:]]
    else:
        items = [fmt(v) for v in values]
    per_line = max(1, (_options["linewidth"] - indent) // (fmt.width + 2))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(a: np.ndarray, indent: int, summarise: bool, fmt: _Formatter) -> str:
    if a.ndim == 0:
        return fmt(a.item())
    if a.ndim == 1:
        return _vector(a, indent, summarise, fmt)
    edge = _options["edgeitems"]
    if summarise and len(a) > 2 * edge:
        parts = [_nested(x, indent + 1, summarise, fmt) for x in a[:edge]]
        parts += ["..."]
        parts += [_nested(x, indent + 1, summarise, fmt) for x in a[-edge:]]
    else:
        parts = [_nested(x, indent + 1, summarise, fmt) for x in a]
    return "[" + ("," + "\n" * (a.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """The closing parenthesis, and before it the suffixes, each on a new line where the last one is full."""
    parts = [text]
    width = len(text) - text.rfind("\n")
    for suffix in suffixes:
        if width + len(suffix) + 2 > _options["linewidth"]:
            parts.append(",\n" + " " * indent + suffix)
            width = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            width += len(suffix) + 2
    return "".join(parts) + ")"


def tensor_repr(t: Any, prefix: str = "tensor(") -> str:
    from . import dtypes
    from .ops._util import wide

    a = wide(t._data if isinstance(t._data, np.ndarray) else t.detach().cpu()._data)
    suffix = []
    if a.size == 0 and a.ndim != 1:
        suffix.append(f"size={tuple(a.shape)}")
    d, usual = t.dtype, dtypes.get_default_dtype()
    if d is not usual and (a.size == 0 or d not in (dtypes.int64, dtypes.bool_)):
        suffix.append(f"dtype={d}")
    if t.is_cuda:
        suffix.append(f"device='{t.device}'")
    if t._node is not None:
        suffix.append(f"grad_fn=<{t._node.name()}>")
    elif t.requires_grad:
        suffix.append("requires_grad=True")
    if a.size == 0:
        body = "[]"
    else:
        summarise = a.size > _options["threshold"]
        body = _nested(a, len(prefix), summarise, _Formatter(_shown(a) if summarise else a))
    return _with_suffixes(prefix + body, suffix, len(prefix))
