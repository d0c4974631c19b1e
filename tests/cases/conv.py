"""Convolutions in one, two and three dimensions, and transposed ones."""

import numpy as np

from tests.cases import Case, normal_with_weight


def conv_case(id, x, weight, bias=True, full=False, **kwargs):
    shapes = (x, weight, (weight[0],) if bias else None)
    return Case(id, shapes, kwargs, full=full, make=normal_with_weight)


CONV1D = [
    conv_case("plain", (2, 3, 20), (5, 3, 4), full=True),
    conv_case("stride-pad-dilation", (2, 3, 23), (5, 3, 3), stride=2, padding=2, dilation=3),
    conv_case("unbatched", (3, 17), (4, 3, 3), padding=1),
    conv_case("same-even", (2, 3, 17), (4, 3, 4), padding="same"),
    conv_case("kernel-is-input", (2, 3, 7), (4, 3, 7)),
    conv_case("depthwise", (2, 6, 19), (6, 1, 5), groups=6, padding=2),
    conv_case("circular", (2, 3, 9), (4, 3, 3), padding=2, padding_mode="circular"),
    conv_case("batch0", (0, 3, 9), (4, 3, 3)),
]
CONV2D = [
    conv_case("3x3", (2, 5, 11, 13), (7, 5, 3, 3), padding=1, full=True),
    conv_case("3x3-aligned", (2, 16, 12, 16), (32, 16, 3, 3), padding=1),
    conv_case("3x3-many-channels", (1, 64, 9, 11), (33, 64, 3, 3), padding=1),
    conv_case("lenet1", (3, 1, 28, 28), (6, 1, 5, 5), padding=2),
    conv_case("lenet2", (3, 6, 14, 14), (16, 6, 5, 5)),
    conv_case("1x1", (2, 17, 7, 5), (9, 17, 1, 1)),
    conv_case("1x1-stride2", (2, 17, 7, 5), (9, 17, 1, 1), stride=2),
    conv_case("7x7-stride2", (1, 3, 29, 31), (8, 3, 7, 7), stride=2, padding=3),
    conv_case("stride-is-kernel", (2, 3, 12, 9), (5, 3, 4, 3), stride=(4, 3)),
    conv_case("stride-over-kernel", (2, 3, 13, 11), (5, 3, 2, 2), stride=3),
    conv_case("asymmetric", (2, 3, 11, 7), (4, 3, 3, 5), stride=(1, 2), padding=(0, 2)),
    conv_case("dilation", (2, 3, 13, 14), (4, 3, 3, 2), dilation=(2, 3), padding=(2, 1)),
    conv_case("unused-border", (1, 2, 8, 8), (3, 2, 3, 3), stride=4),
    conv_case("same", (2, 3, 9, 8), (4, 3, 4, 3), padding="same", dilation=(1, 2)),
    conv_case("valid", (2, 3, 9, 8), (4, 3, 2, 3), padding="valid"),
    conv_case("kernel-is-input", (3, 4, 5, 6), (7, 4, 5, 6)),
    conv_case("only-padding-in-corner", (1, 2, 2, 2), (3, 2, 3, 3), padding=2),
    conv_case("groups", (2, 6, 7, 9), (9, 2, 3, 3), groups=3, padding=1, full=True),
    conv_case("depthwise", (2, 13, 9, 10), (13, 1, 3, 3), groups=13, padding=1),
    conv_case("depthwise-stride2", (2, 8, 9, 10), (8, 1, 5, 5), groups=8, padding=2, stride=2),
    conv_case(
        "depthwise-stride2-small", (3, 9, 14, 14), (9, 1, 3, 3), groups=9, padding=1, stride=2
    ),
    conv_case("depthwise-stride2-16", (2, 9, 5, 16), (9, 1, 3, 3), groups=9, padding=1, stride=2),
    conv_case(
        "depthwise-stride2-15", (2, 8, 8, 15), (8, 1, 3, 3), False, groups=8, padding=1, stride=2
    ),
    conv_case("depthwise-multiplier", (2, 5, 7, 8), (10, 1, 3, 3), groups=5),
    conv_case("threads", (3, 24, 30, 29), (40, 24, 3, 3), padding=1),
    conv_case("threads-5x5-stride2", (4, 12, 31, 33), (24, 12, 5, 5), padding=2, stride=2),
    conv_case("threads-depthwise", (4, 32, 30, 29), (32, 1, 3, 3), groups=32, padding=1),
    conv_case("no-bias", (2, 3, 7, 8), (4, 3, 3, 3), bias=False),
    conv_case("unbatched", (3, 7, 8), (4, 3, 3, 3)),
    conv_case("one-of-all", (1, 1, 1, 1), (1, 1, 1, 1)),
    conv_case("reflect", (2, 3, 7, 6), (4, 3, 3, 5), padding=(1, 2), padding_mode="reflect"),
    conv_case("replicate", (2, 3, 7, 6), (4, 3, 3, 3), padding=2, padding_mode="replicate"),
    conv_case("circular", (2, 3, 7, 6), (4, 3, 3, 3), padding=(1, 2), padding_mode="circular"),
    conv_case("reflect-same", (2, 3, 7, 6), (4, 3, 2, 3), padding="same", padding_mode="reflect"),
    conv_case("batch0", (0, 3, 7, 8), (4, 3, 3, 3)),
]
CONV3D = [
    conv_case("plain", (2, 3, 5, 6, 7), (4, 3, 3, 3, 3), padding=1, full=True),
    conv_case("asymmetric", (1, 2, 7, 5, 6), (3, 2, 1, 3, 2), stride=(2, 1, 2), padding=(0, 1, 1)),
    conv_case("groups-dilation", (1, 4, 6, 7, 5), (6, 2, 2, 2, 2), groups=2, dilation=(1, 2, 1)),
    conv_case("unbatched", (2, 4, 5, 6), (3, 2, 3, 3, 3)),
    conv_case("replicate", (1, 2, 4, 5, 6), (3, 2, 3, 3, 3), padding=1, padding_mode="replicate"),
]


def _scaled(rng, x, weight, bias):
    """Fan in of a transposed convolution: input channels per group times kernel positions."""
    arrays = normal_with_weight(rng, x, weight, bias)
    arrays[1] *= np.sqrt(weight[1] / weight[0])
    return arrays


def conv_transpose_case(id, x, weight, bias=True, groups=1, full=False, **kwargs):
    shapes = (x, weight, (weight[1] * groups,) if bias else None)
    return Case(id, shapes, {"groups": groups, **kwargs}, full=full, make=_scaled)


CONV_TRANSPOSE1D = [
    conv_transpose_case("plain", (2, 3, 9), (3, 5, 4), full=True),
    conv_transpose_case("stride3", (2, 3, 9), (3, 5, 4), stride=3, padding=1, output_padding=2),
    conv_transpose_case("unbatched", (3, 9), (3, 5, 4), stride=2),
]
CONV_TRANSPOSE2D = [
    conv_transpose_case("plain", (2, 5, 7, 6), (5, 4, 3, 3), full=True),
    conv_transpose_case("double", (2, 5, 7, 6), (5, 4, 4, 4), stride=2, padding=1),
    conv_transpose_case(
        "stride3-extra", (2, 5, 4, 5), (5, 4, 3, 3), stride=3, padding=1, output_padding=2
    ),
    conv_transpose_case("asymmetric", (1, 3, 4, 6), (3, 2, 2, 5), stride=(1, 2), padding=(0, 2)),
    conv_transpose_case("dilation", (1, 3, 5, 4), (3, 2, 3, 2), dilation=(2, 3), padding=1),
    conv_transpose_case(
        "dilation-extra", (1, 3, 5, 4), (3, 2, 3, 3), dilation=3, output_padding=(2, 0)
    ),
    conv_transpose_case("groups", (2, 6, 5, 4), (6, 2, 3, 3), groups=3, stride=2, padding=1),
    conv_transpose_case(
        "depthwise-stride2",
        (2, 8, 6, 19),
        (8, 1, 3, 3),
        groups=8,
        stride=2,
        padding=1,
        output_padding=1,
    ),
    conv_transpose_case("depthwise", (2, 6, 5, 4), (6, 1, 3, 3), groups=6, padding=1),
    conv_transpose_case("threads", (3, 24, 15, 14), (24, 16, 4, 4), stride=2, padding=1),
    conv_transpose_case("no-bias", (2, 3, 5, 4), (3, 4, 2, 2), bias=False, stride=2),
    conv_transpose_case("unbatched", (3, 5, 4), (3, 4, 2, 2), stride=2),
    conv_transpose_case("one-of-all", (1, 1, 1, 1), (1, 1, 1, 1)),
    conv_transpose_case("batch0", (0, 3, 5, 4), (3, 4, 2, 2)),
]
CONV_TRANSPOSE3D = [
    conv_transpose_case("plain", (1, 3, 3, 4, 2), (3, 2, 3, 2, 3), full=True),
    conv_transpose_case(
        "stride2", (1, 3, 3, 4, 2), (3, 2, 3, 3, 3), stride=2, padding=1, output_padding=1
    ),
]
