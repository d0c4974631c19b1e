"""Padding, shuffles, unfold and fold."""

from tests.cases import Case

X = (2, 3, 4, 5)
PAD = [
    Case("constant", (X,), {"pad": (1, 2, 0, 3), "value": 1.5}, full=True),
    Case("constant-last", (X,), {"pad": (2, 1)}),
    Case("constant-all-axes", (X,), {"pad": (1, 0, 0, 1, 1, 1, 2, 0)}),
    Case("crop", (X,), {"pad": (-1, -2, 1, -1)}),
    Case("empty", ((0, 3),), {"pad": (1, 2)}),
    Case("reflect-1d", ((2, 3, 5),), {"pad": (4, 2), "mode": "reflect"}),
    Case("reflect-2d", (X,), {"pad": (1, 4, 3, 2), "mode": "reflect"}, full=True),
    Case("reflect-3d", ((1, 2, 3, 4, 5),), {"pad": (1, 4, 3, 2, 2, 0), "mode": "reflect"}),
    Case("replicate-1d", ((2, 3, 5),), {"pad": (7, 2), "mode": "replicate"}),
    Case("replicate-2d", (X,), {"pad": (1, 9, 3, 2), "mode": "replicate"}, full=True),
    Case("replicate-3d", ((1, 2, 3, 4, 5),), {"pad": (1, 6, 3, 2, 2, 0), "mode": "replicate"}),
    Case("circular-1d", ((2, 3, 5),), {"pad": (5, 2), "mode": "circular"}),
    Case("circular-2d", (X,), {"pad": (1, 5, 3, 2), "mode": "circular"}, full=True),
    Case("circular-3d", ((1, 2, 3, 4, 5),), {"pad": (1, 5, 3, 2, 2, 0), "mode": "circular"}),
]
PIXEL_SHUFFLE = [
    Case("r2", ((2, 12, 3, 5),), {"upscale_factor": 2}, full=True),
    Case("r3-unbatched", ((9, 2, 5),), {"upscale_factor": 3}),
    Case("r1", ((2, 3, 2, 5),), {"upscale_factor": 1}),
]
PIXEL_UNSHUFFLE = [
    Case("r2", ((2, 3, 4, 6),), {"downscale_factor": 2}, full=True),
    Case("r3-unbatched", ((1, 6, 9),), {"downscale_factor": 3}),
]
CHANNEL_SHUFFLE = [
    Case("g2", ((2, 6, 3, 5),), {"groups": 2}, full=True),
    Case("g3-1d", ((2, 6, 5),), {"groups": 3}),
]
UNFOLD = [
    Case("plain", ((2, 3, 7, 8),), {"kernel_size": 3}, full=True),
    Case("all", ((2, 3, 9, 8),), {"kernel_size": (3, 2), "dilation": (2, 1), "padding": 1,
                                  "stride": (2, 3)}),
    Case("unbatched", ((3, 5, 6),), {"kernel_size": 2, "stride": 2}),
]  # fmt: skip
FOLD = [
    Case("plain", ((2, 27, 30),), {"output_size": (7, 8), "kernel_size": 3}, full=True),
    Case("all", ((2, 18, 12),), {"output_size": (9, 8), "kernel_size": (3, 2), "dilation": (2, 1),
                                 "padding": 1, "stride": (2, 3)}),
    Case("unbatched", ((12, 6),), {"output_size": (5, 6), "kernel_size": 2, "stride": 2}),
]  # fmt: skip
