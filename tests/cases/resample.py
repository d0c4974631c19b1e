"""interpolate, affine_grid, grid_sample."""

import numpy as np

from tests.cases import Case


def _up(id, x, full=False, **kwargs):
    return Case(id, (x,), kwargs, full=full)


INTERPOLATE = [
    _up("nearest-1d", (2, 3, 7), size=13, mode="nearest"),
    _up("nearest-2d", (2, 3, 5, 7), scale_factor=2, mode="nearest", full=True),
    _up("nearest-2d-shrink", (2, 3, 11, 7), size=(4, 5), mode="nearest"),
    _up("nearest-2d-fraction", (2, 3, 7, 9), scale_factor=(1.7, 0.6), mode="nearest"),
    _up("nearest-3d", (1, 2, 3, 4, 5), size=(5, 3, 7), mode="nearest"),
    _up("nearest-exact-1d", (2, 3, 7), size=13, mode="nearest-exact"),
    _up("nearest-exact-2d", (2, 3, 5, 7), size=(8, 3), mode="nearest-exact", full=True),
    _up("nearest-exact-3d", (1, 2, 3, 4, 5), scale_factor=1.5, mode="nearest-exact"),
    _up("linear", (2, 3, 7), size=12, mode="linear"),
    _up("linear-corners", (2, 3, 7), size=12, mode="linear", align_corners=True),
    _up("bilinear", (2, 3, 5, 7), scale_factor=2, mode="bilinear", full=True),
    _up("bilinear-corners", (2, 3, 5, 7), size=(9, 4), mode="bilinear", align_corners=True),
    _up("bilinear-fraction", (2, 3, 7, 9), scale_factor=(1.7, 0.6), mode="bilinear"),
    _up("bilinear-recompute", (2, 3, 7, 9), scale_factor=(1.7, 0.6), mode="bilinear",
        recompute_scale_factor=True),
    _up("bilinear-to-one", (2, 3, 7, 9), size=1, mode="bilinear", align_corners=True),
    _up("bilinear-from-one", (2, 3, 1, 1), size=(3, 4), mode="bilinear"),
    _up("bilinear-antialias", (2, 3, 11, 13), size=(4, 5), mode="bilinear", antialias=True),
    _up("bilinear-antialias-corners", (2, 3, 11, 13), size=(4, 17), mode="bilinear",
        antialias=True, align_corners=True),
    _up("bicubic", (2, 3, 5, 7), scale_factor=2, mode="bicubic", full=True),
    _up("bicubic-corners", (2, 3, 5, 7), size=(9, 4), mode="bicubic", align_corners=True),
    _up("bicubic-antialias", (2, 3, 11, 13), size=(4, 5), mode="bicubic", antialias=True),
    _up("bilinear-threads", (2, 16, 40, 38), scale_factor=2, mode="bilinear"),
    _up("trilinear", (1, 2, 3, 4, 5), scale_factor=2, mode="trilinear", full=True),
    _up("trilinear-corners", (1, 2, 3, 4, 5), size=(4, 7, 2), mode="trilinear",
        align_corners=True),
    _up("area-1d", (2, 3, 11), size=4, mode="area"),
    _up("area-2d", (2, 3, 11, 7), size=(4, 9), mode="area", full=True),
    _up("area-3d", (1, 2, 5, 4, 6), size=(2, 3, 3), mode="area"),
]  # fmt: skip


def near_the_image(rng, x, grid):
    """Coordinates mostly in [-1, 1], some far outside; none near a pixel's centre or edge."""
    spread = rng.uniform(-1.2, 1.2, grid)
    spread.ravel()[::7] *= 3
    return [rng.standard_normal(x), np.round(spread * 64) / 64 + 0.0037]


def _grids(prefix, x, grid, modes):
    return [
        Case(
            f"{prefix}-{mode}-{padding}{'-corners' if corners else ''}", (x, grid),
            {"mode": mode, "padding_mode": padding, "align_corners": corners},
            full=padding == "zeros" and not corners, make=near_the_image,
        )
        for mode in modes
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    ]  # fmt: skip


GRID_SAMPLE = [
    *_grids("2d", (2, 3, 5, 7), (2, 4, 6, 2), ("bilinear", "nearest", "bicubic")),
    *_grids("3d", (2, 2, 4, 5, 3), (2, 3, 2, 4, 3), ("bilinear", "nearest")),
]
AFFINE_GRID = [
    Case("2d", ((2, 2, 3),), {"size": (2, 3, 5, 4), "align_corners": False}, full=True),
    Case("2d-corners", ((2, 2, 3),), {"size": (2, 3, 5, 4), "align_corners": True}),
    Case("3d", ((2, 3, 4),), {"size": (2, 1, 3, 4, 5), "align_corners": False}),
    Case("3d-corners-one", ((2, 3, 4),), {"size": (2, 1, 1, 4, 5), "align_corners": True}),
]
