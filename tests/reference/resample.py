"""interpolate, affine_grid and grid_sample in any number of dimensions.

interpolate is separable and linear: one matrix (out, in) per axis, transposed for the gradient.
grid_sample is a sum over taps per axis (positions and weights), and so is its gradient.
"""

import itertools
import math

import numpy as np


def _cubic(d, a):
    """Keys' kernel at distance d."""
    d = np.abs(d)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _matrix(out, size, taps, weights):
    """(out, in) matrix with ``weights`` (out, taps) added at ``taps``, held inside the image."""
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out)[:, None], np.clip(taps, 0, size - 1)), weights)
    return matrix


def _antialias_matrix(size, out, scale, mode):
    """The kernel is stretched by the scale when it shrinks, and its weights are normalised."""
    radius = 1 if mode == "linear" else 2
    stretch = max(scale, 1.0)
    matrix = np.zeros((out, size))
    for row, c in enumerate(scale * (np.arange(out) + 0.5)):
        first = max(int(c - radius * stretch + 0.5), 0)
        last = min(int(c + radius * stretch + 0.5), size)
        d = (np.arange(first, last) - c + 0.5) / stretch
        weights = np.maximum(1 - np.abs(d), 0) if mode == "linear" else _cubic(d, -0.5)
        matrix[row, first:last] = weights / weights.sum()
    return matrix


def axis_matrix(size, out, mode, align_corners=False, factor=None, antialias=False):
    """How interpolate makes ``out`` values from ``size``; ``factor``: a given scale_factor."""
    if mode == "area":
        at = np.arange(out)
        first, last = at * size // out, -(-(at + 1) * size // out)
        inside = (np.arange(size) >= first[:, None]) & (np.arange(size) < last[:, None])
        return inside / inside.sum(1, keepdims=True)
    scale = size / out if factor is None else 1 / factor
    if mode in ("nearest", "nearest-exact"):  # torch works out these positions in float32
        half = np.float32(0.5 if mode == "nearest-exact" else 0)
        at = np.floor((np.arange(out, dtype=np.float32) + half) * np.float32(scale))
        return _matrix(out, size, at.astype(int)[:, None], np.ones((out, 1)))
    if align_corners:
        scale = (size - 1) / (out - 1) if out > 1 else 0.0
    if antialias:
        return _antialias_matrix(size, out, scale, mode)
    source = np.arange(out) * scale if align_corners else (np.arange(out) + 0.5) * scale - 0.5
    if mode == "linear":
        source = np.maximum(source, 0)
        taps = np.floor(source)[:, None] + np.arange(2)
        return _matrix(
            out, size, taps.astype(int), np.maximum(1 - np.abs(source[:, None] - taps), 0)
        )
    taps = np.floor(source)[:, None] + np.arange(-1, 3)
    return _matrix(out, size, taps.astype(int), _cubic(source[:, None] - taps, -0.75))


def _matrices(
    x, size=None, scale_factor=None, mode="nearest", align_corners=None,
    recompute_scale_factor=None, antialias=False,
):  # fmt: skip
    spatial = x.shape[2:]
    factors = (None,) * len(spatial)
    if size is None:
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (
            scale_factor,
        ) * len(spatial)  # fmt: skip
        outs = [math.floor(n * f) for n, f in zip(spatial, factors, strict=True)]
        if recompute_scale_factor:
            factors = (None,) * len(spatial)
    else:
        outs = size if isinstance(size, (tuple, list)) else (size,) * len(spatial)
    kind = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return [
        axis_matrix(n, o, kind, bool(align_corners), f, antialias).astype(x.dtype)
        for n, o, f in zip(spatial, outs, factors, strict=True)
    ]


def _apply(matrices, x):
    """Each matrix along its axis; a zero skips its element, NaN or not."""
    for axis, matrix in enumerate(matrices, start=2):
        rows = np.moveaxis(x, axis, -1)[..., None, :]
        x = np.moveaxis(np.where(matrix != 0, rows * matrix, 0).sum(-1), -1, axis)
    return np.ascontiguousarray(x)


def interpolate_forward(x, **options):
    return _apply(_matrices(x, **options), x)


def interpolate_backward(dy, x, **options):
    return (_apply([m.T for m in _matrices(x, **options)], dy),)


def affine_grid_forward(theta, size, align_corners=False):
    """theta (N, n, n+1) -> grid (N, spatial, n): theta times (x, y, ..., 1), x the last axis."""
    return np.einsum("nij,...j->n...i", theta, _base_grid(theta, size, align_corners))


def affine_grid_backward(dy, theta, size, align_corners=False):
    base = _base_grid(theta, size, align_corners)
    rows = dy.reshape(len(theta), -1, dy.shape[-1])
    return (rows.swapaxes(1, 2) @ base.reshape(-1, base.shape[-1]),)


def _base_grid(theta, size, align_corners):
    axes = []
    for n in size[2:]:
        shrink = 1 if align_corners else (n - 1) / n
        axes.append(np.linspace(-1, 1, n) * shrink if n > 1 else np.zeros(1))
    places = np.meshgrid(*axes, indexing="ij")[::-1]
    return np.stack([*places, np.ones(size[2:])], axis=-1).astype(theta.dtype)


def _reflect(at, low, high):
    """Reflect ``at`` at both bounds until inside; also its slope, 1 or -1."""
    span = high - low
    if span == 0:
        return np.zeros_like(at), np.zeros_like(at)
    distance = np.abs(at - low)
    flips = np.floor(distance / span)
    rest = distance - flips * span
    back = flips % 2 == 1
    slope = np.where(at < low, -1, 1) * np.where(back, -1, 1)
    return np.where(back, span - rest, rest) + low, slope.astype(at.dtype)


def _hold(at, size, padding_mode, align_corners):
    """Padding mode applied to positions; also the slope of the result."""
    slope = np.ones_like(at)
    if padding_mode == "zeros":
        return at, slope
    if padding_mode == "reflection":
        bounds = (0, size - 1) if align_corners else (-0.5, size - 0.5)
        at, slope = _reflect(at, *bounds)
    inside = (at > 0) & (at < size - 1)
    return np.clip(at, 0, size - 1), np.where(inside, slope, 0)


def _axis_taps(g, size, mode, padding_mode, align_corners):
    """Positions, weights and weight slopes (by g) of one axis, each (..., taps)."""
    scale = (size - 1) / 2 if align_corners else size / 2
    at = (g + 1) * scale if align_corners else ((g + 1) * size - 1) / 2
    if mode == "bicubic":
        taps = np.floor(at)[..., None] + np.arange(-1, 3)
        d = at[..., None] - taps
        held, _ = _hold(taps, size, padding_mode, align_corners)
        return held.astype(int), _cubic(d, -0.75), _cubic_slope(d, -0.75) * scale
    at, slope = _hold(at, size, padding_mode, align_corners)
    if mode == "nearest":
        taps = np.rint(at)[..., None]
        return taps.astype(int), np.ones_like(taps), np.zeros_like(taps)
    taps = np.floor(at)[..., None] + np.arange(2)
    steps = np.broadcast_to([-1.0, 1.0], taps.shape) * slope[..., None] * scale
    return taps.astype(int), 1 - np.abs(at[..., None] - taps), steps


def _cubic_slope(d, a):
    sign, d = np.sign(d), np.abs(d)
    near, far = 3 * (a + 2) * d**2 - 2 * (a + 3) * d, a * (3 * d**2 - 10 * d + 8)
    return sign * np.where(d <= 1, near, np.where(d < 2, far, 0))


def _taps(x, grid, mode, padding_mode, align_corners):
    """For each combination of taps: flat positions, weight, and the weight's slope per axis."""
    spatial = x.shape[2:]
    axes = [
        _axis_taps(grid[..., len(spatial) - 1 - i], n, mode, padding_mode, align_corners)
        for i, n in enumerate(spatial)
    ]
    for combination in itertools.product(*(range(axis[0].shape[-1]) for axis in axes)):
        at, weight, slopes = (
            [axis[part][..., t] for axis, t in zip(axes, combination, strict=True)]
            for part in range(3)
        )
        inside = np.all([(p >= 0) & (p < n) for p, n in zip(at, spatial, strict=True)], axis=0)
        held = [np.clip(p, 0, n - 1) for p, n in zip(at, spatial, strict=True)]
        flat = np.ravel_multi_index(held, spatial)
        by_axis = [
            np.prod([s if j == i else w for j, w in enumerate(weight)], axis=0) * inside
            for i, s in enumerate(slopes)
        ]
        yield flat, np.prod(weight, axis=0) * inside, by_axis


def _sampled(x, flat):
    """x (N, C, pixels) at flat (N, out) -> (N, C, out)."""
    pixels = x.reshape(*x.shape[:2], -1)
    rows = np.broadcast_to(flat.reshape(len(x), 1, -1), (*x.shape[:2], flat[0].size))
    return np.take_along_axis(pixels, rows, 2).reshape(*x.shape[:2], *flat.shape[1:])


def grid_sample_forward(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    """x (N, C, spatial) at grid (N, out, n) of coordinates in [-1, 1], the last axis first."""
    y = 0
    for flat, weight, _ in _taps(x, grid, mode, padding_mode, align_corners):
        y = y + _sampled(x, flat) * weight[:, None]
    return y.astype(x.dtype)


def grid_sample_backward(dy, x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    dx, dgrid = np.zeros((*x.shape[:2], math.prod(x.shape[2:])), dy.dtype), np.zeros_like(grid)
    sample, channel = np.ogrid[: x.shape[0], : x.shape[1]]
    for flat, weight, slopes in _taps(x, grid, mode, padding_mode, align_corners):
        rows = (sample[..., None], channel[..., None], flat.reshape(len(x), 1, -1))
        np.add.at(dx, rows, (dy * weight[:, None]).reshape(*x.shape[:2], -1))
        along = (dy * _sampled(x, flat)).sum(1)
        for axis, slope in enumerate(slopes):
            dgrid[..., len(slopes) - 1 - axis] += along * slope
    return dx.reshape(x.shape), dgrid
