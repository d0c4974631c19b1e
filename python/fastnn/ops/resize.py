"""Interpolation, grid sampling, and the shuffles between channels and pixels."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._errors import DTypeError, ShapeError
from ..autograd.node import Node, record, wants_grad
from ._util import check_bytes, require_float, require_tensor, wrap
from .avg_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

# mode -> (number of spatial axes or None for any, name of the kernel)
_MODES: dict[str, tuple[int | None, str]] = {
    "nearest": (None, "nearest"),
    "nearest-exact": (None, "nearest-exact"),
    "linear": (1, "linear"),
    "bilinear": (2, "linear"),
    "bicubic": (2, "cubic"),
    "trilinear": (3, "linear"),
}
_ADAPTIVE = (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)


# ---- Interpolation: linear, so that backward of backward is forward ------------------------------


def _resized(x: Any, size: tuple, how: tuple) -> Any:
    """how: kernel mode, align_corners, antialias, scale factors."""
    y = wrap(_core.resize(x._data, len(size), size, *how))
    if wants_grad(x):
        record(y, _interpolate_backward, (x,), (), (x._data.shape[2:], how))
    return y


def _interpolate_backward(node: Node, g: Any) -> Any:
    size, how = node.ctx
    dx = wrap(_core.resize_backward(g._data, size, len(size), *how))
    if wants_grad(g):
        record(dx, _interpolate_backward_backward, (g,), (), (g._data.shape[2:], how))
    return dx


def _interpolate_backward_backward(node: Node, g: Any) -> Any:
    return _resized(g, *node.ctx)


def _per_axis(value: Any, spatial: tuple, name: str) -> tuple:
    if not isinstance(value, (tuple, list)):
        return (value,) * len(spatial)
    if len(value) != len(spatial):
        raise ValueError(
            f"interpolate: {name} must be one value or one for each of the {len(spatial)} spatial "
            f"dimensions {list(spatial)}, got {value!r}"
        )
    return tuple(value)


def _sizes(size: Any, scale_factor: Any, spatial: tuple) -> tuple[tuple[int, ...], tuple | None]:
    """Output sizes, and the scale factors if these were given."""
    if (size is None) == (scale_factor is None):
        one = "either size or scale_factor" if size is None else "only one of size or scale_factor"
        raise ValueError(f"interpolate: {one} should be defined")
    if size is not None:
        try:
            return tuple([operator.index(s) for s in _per_axis(size, spatial, "size")]), None
        except TypeError:
            raise TypeError(f"interpolate: size must hold ints, got {size!r}") from None
    factors = tuple([float(f) for f in _per_axis(scale_factor, spatial, "scale_factor")])
    for f in factors:
        if not 0 < f < float("inf"):
            raise ValueError(f"interpolate: scale_factor must be positive and finite, got {f}")
    return tuple([int(n * f) for n, f in zip(spatial, factors, strict=True)]), factors


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resizes (N, C, spatial…) to `size`, or by `scale_factor`.

    mode: nearest, nearest-exact, area (any rank), linear (3-D input), bilinear and bicubic (4-D),
    trilinear (5-D). align_corners maps the
    centres of the corner pixels onto each other. antialias (bilinear, bicubic): the filter widens
    when the image shrinks.
    Keys' kernel (1981) for bicubic, a = -0.75 (-0.5 with antialias).

    Raises ValueError for sizes and options that do not fit, NotImplementedError for a mode that the
    rank does not have.
    """
    require_float(input, "interpolate")
    shape = input._data.shape
    spatial = shape[2:]
    if not 3 <= len(shape) <= 5:
        raise NotImplementedError(
            f"interpolate: only 3-D, 4-D and 5-D inputs are supported, got shape {shape}"
        )
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "interpolate: align_corners can only be set with the interpolating modes linear, "
            "bilinear, bicubic and trilinear"
        )
    if recompute_scale_factor and size is not None:
        raise ValueError(
            "interpolate: recompute_scale_factor is not meaningful with an explicit size"
        )
    out, factors = _sizes(size, scale_factor, spatial)
    if mode == "area":
        return _ADAPTIVE[len(spatial) - 1](input, out)
    if mode not in _MODES:
        raise NotImplementedError(
            f"interpolate: mode must be one of {', '.join([*_MODES, 'area'])}, got {mode!r}"
        )
    axes, kernel = _MODES[mode]
    if axes not in (None, len(spatial)):
        raise NotImplementedError(
            f"interpolate: mode {mode!r} needs a {axes + 2}-D input, got shape {shape}"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError("interpolate: antialias is for the modes bilinear and bicubic")
    if recompute_scale_factor:
        factors = None
    return _resized(input, out, (kernel, bool(align_corners), bool(antialias), factors))


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """``interpolate`` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """``interpolate`` with mode nearest."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """``interpolate`` with mode bilinear and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---- Sampling at a grid --------------------------------------------------------------------------


def _aligned(align_corners: bool | None, op: str) -> bool:
    if align_corners is None:
        warnings.warn(
            f"{op}: align_corners was not given and is taken as False; pass it to silence this.",
            stacklevel=3,
        )
    return bool(align_corners)


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """The values of (N, C, H, W) at grid (N, OH, OW, 2) of (x, y) in [-1, 1].

    5-D inputs likewise, with (x, y, z).

    mode: bilinear (trilinear for 5-D inputs), nearest, bicubic (4-D only). padding_mode: zeros,
    border, reflection. Spatial Transformer
    Networks (Jaderberg et al., 2015). Raises ShapeError, DTypeError or ValueError for arguments
    that do not fit.
    """
    require_float(input, "grid_sample")
    require_tensor(grid, "grid_sample", "grid")
    how = (mode, padding_mode, _aligned(align_corners, "grid_sample"))
    y = wrap(_core.grid_sample(input._data, grid._data, *how))
    if wants_grad(input, grid):
        record(y, _grid_sample_backward, (input, grid), (input, grid), how)
    return y


def _grid_sample_backward(node: Node, g: Any) -> Any:
    input, grid = node.saved_tensors()
    wanted = [edge is not None for edge in node.edges]
    made = _core.grid_sample_backward(g._data, input._data, grid._data, *node.ctx, *wanted)
    grads = tuple([None if a is None else wrap(a) for a in made])
    if wants_grad(g, input, grid):
        record(grads, _second_grid_sample_backward, (g, input, grid))
    return grads


def _second_grid_sample_backward(node: Node, *grads: Any) -> Any:
    raise NotImplementedError("grid_sample: the second derivative is not implemented")


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """The sampling grid of affine maps theta (N, 2, 3) for images of size (N, C, H, W).

    Likewise theta (N, 3, 4) for (N, C, D, H, W).

    Returns (N, H, W, 2) or (N, D, H, W, 3), coordinates in the order (x, y[, z]), for grid_sample.
    """
    require_float(theta, "affine_grid", "theta")
    size = tuple(size)
    aligned = _aligned(align_corners, "affine_grid")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(f"affine_grid only supports 4-D and 5-D sizes, got {size}")
    if theta._data.shape[1:] != (dims, dims + 1) or theta._data.ndim != 3:
        raise ShapeError(
            f"affine_grid: expected theta of shape (N, {dims}, {dims + 1}) for size {size}, got "
            f"{theta._data.shape}"
        )
    if min(size) <= 0 or size[0] != theta._data.shape[0]:
        raise ShapeError(
            f"affine_grid: size must be positive and start with theta's batch "
            f"{theta._data.shape[0]}, got {size}"
        )
    check_bytes((*size[2:], 3), 8, "affine_grid")
    axes = []
    for n in size[2:]:
        ends = 1.0 if aligned else (n - 1) / n
        axes.append(np.linspace(-ends, ends, n) if n > 1 else np.zeros(1))
    places = [m.ravel() for m in np.meshgrid(*axes, indexing="ij")][::-1]
    base = wrap(np.stack([*places, np.ones_like(places[0])], 1)).to(theta.device, theta.dtype)
    grid = base @ theta.transpose(1, 2)  # (points, dims + 1) @ (N, dims + 1, dims)
    return grid.reshape(size[0], *size[2:], dims)


# ---- Shuffles: views and one copy ----------------------------------------------------------------


def _shuffle_input(input: Any, factor: Any, op: str, name: str) -> int:
    require_tensor(input, op)
    try:
        r = operator.index(factor)
    except TypeError:
        raise DTypeError(f"{op}: {name} must be an int, got {type(factor).__name__}") from None
    if r < 1:
        raise ValueError(f"{op}: {name} must be at least 1, got {r}")
    if input._data.ndim < 3:
        raise ShapeError(
            f"{op}: expected an input (…, C, H, W) of 3 or more dimensions, got {input._data.shape}"
        )
    return r


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(…, C r², H, W) to (…, C, H r, W r) (Shi et al., 2016). Raises ShapeError unless r² divides
    the channels."""
    r = _shuffle_input(input, upscale_factor, "pixel_shuffle", "upscale_factor")
    *lead, c, h, w = input._data.shape
    if c % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the number of channels must be divisible by upscale_factor² = "
            f"{r * r}, got shape {input._data.shape}"
        )
    n = len(lead)
    parts = input.reshape(*lead, c // (r * r), r, r, h, w)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return parts.permute(order).reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(…, C, H r, W r) to (…, C r², H, W), the inverse of pixel_shuffle. Raises ShapeError unless r
    divides H and W."""
    r = _shuffle_input(input, downscale_factor, "pixel_unshuffle", "downscale_factor")
    *lead, c, h, w = input._data.shape
    if h % r or w % r:
        raise ShapeError(
            f"pixel_unshuffle: height and width must be divisible by downscale_factor {r}, got "
            f"shape {input._data.shape}"
        )
    n = len(lead)
    parts = input.reshape(*lead, c, h // r, r, w // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return parts.permute(order).reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input: Any, groups: int) -> Any:
    """Channel g C/G + c of (N, C, …) becomes channel c G + g (ShuffleNet, Zhang et al., 2018)."""
    g = _shuffle_input(input, groups, "channel_shuffle", "groups")
    n, c, *spatial = input._data.shape
    if c % g:
        raise ShapeError(
            f"channel_shuffle: the number of channels must be divisible by groups {g}, got shape "
            f"{input._data.shape}"
        )
    return input.reshape(n, g, c // g, *spatial).transpose(1, 2).reshape(n, c, *spatial)
