"""Pooling in one, two and three dimensions."""

import numpy as np

from tests.cases import Case, normal


def distinct(rng, shape):
    """Values that are all different and far apart: no maximum is ever near a tie."""
    return [(rng.permutation(int(np.prod(shape))) * 0.1 - 3.0).reshape(shape)]


def tied(rng, shape):
    """Small integers: most windows have several equal maxima."""
    return [rng.integers(-2, 3, shape).astype(np.float64)]


def _case(make):
    def case(id, x, full=False, **kwargs):
        return Case(id, (x,), kwargs, full=full, make=make)

    return case


_max, _ties, _avg = _case(distinct), _case(tied), _case(normal)

MAX1D = [
    _max("plain", (2, 3, 17), kernel_size=3),
    _max("overlap", (2, 3, 17), kernel_size=3, stride=2, padding=1),
    _max("dilation-ceil", (2, 3, 17), kernel_size=3, stride=2, dilation=2, ceil_mode=True),
]
MAX2D = [
    _max("2x2", (2, 3, 8, 12), kernel_size=2, full=True),
    _max("2x2-odd", (2, 3, 9, 13), kernel_size=2),
    _max("2x2-odd-width", (5, 7, 6, 9), kernel_size=2),
    _max("2x2-many-planes", (3, 130, 8, 8), kernel_size=2),
    _max("2x2-odd-ceil", (2, 3, 9, 13), kernel_size=2, ceil_mode=True),
    _max("3x3-stride2", (2, 5, 13, 11), kernel_size=3, stride=2, padding=1, full=True),
    _max("3x3-stride1", (2, 3, 7, 6), kernel_size=3, stride=1, padding=1),
    _max("asymmetric", (2, 3, 11, 9), kernel_size=(3, 2), stride=(1, 2), padding=(1, 0)),
    _max("dilation", (2, 3, 11, 12), kernel_size=3, stride=2, dilation=(2, 1), padding=1),
    _max("gaps", (2, 3, 11, 9), kernel_size=2, stride=3),
    _max("ceil-drops-window", (1, 1, 5, 5), kernel_size=2, stride=3, padding=1, ceil_mode=True),
    _max("whole", (2, 3, 5, 7), kernel_size=(5, 7)),
    _max("threads", (4, 17, 40, 38), kernel_size=3, stride=2, padding=1),
    _max("one", (1, 1, 1, 1), kernel_size=1),
    _ties("ties", (2, 3, 9, 8), kernel_size=3, stride=2, padding=1),
    _max("batch0", (0, 3, 8, 8), kernel_size=2),
]
MAX3D = [
    _max("plain", (2, 3, 6, 5, 7), kernel_size=2, full=True),
    _max("overlap", (1, 2, 6, 5, 7), kernel_size=3, stride=(2, 1, 2), padding=1, ceil_mode=True),
]
AVG1D = [
    _avg("plain", (2, 3, 17), kernel_size=3),
    _avg("ceil", (2, 3, 17), kernel_size=3, stride=2, padding=1, ceil_mode=True),
]
AVG2D = [
    _avg("2x2", (2, 3, 8, 12), kernel_size=2, full=True),
    _avg("3x3-stride2", (2, 5, 13, 11), kernel_size=3, stride=2, padding=1, full=True),
    _avg("exclude-pad", (2, 3, 8, 9), kernel_size=3, stride=2, padding=1, count_include_pad=False),
    _avg("ceil", (2, 3, 8, 9), kernel_size=3, stride=2, padding=1, ceil_mode=True),
    _avg(
        "ceil-exclude-pad",
        (2, 3, 8, 9),
        kernel_size=(3, 2),
        stride=2,
        padding=1,
        ceil_mode=True,
        count_include_pad=False,
    ),
    _avg("divisor", (2, 3, 8, 9), kernel_size=3, stride=2, padding=1, divisor_override=7),
    _avg("asymmetric", (2, 3, 11, 9), kernel_size=(3, 2), stride=(1, 2), padding=(1, 0)),
    _avg("gaps", (2, 3, 11, 9), kernel_size=2, stride=3),
    _avg("whole", (2, 3, 5, 7), kernel_size=(5, 7)),
    _avg("threads", (4, 17, 40, 38), kernel_size=3, stride=2, padding=1),
    _avg("one", (1, 1, 1, 1), kernel_size=1),
    _avg("batch0", (0, 3, 8, 8), kernel_size=2),
]
AVG3D = [
    _avg("plain", (2, 3, 6, 5, 7), kernel_size=2, full=True),
    _avg("ceil-exclude-pad", (1, 2, 6, 5, 7), kernel_size=3, stride=2, padding=1, ceil_mode=True,
         count_include_pad=False),
    _avg("divisor", (1, 2, 6, 5, 7), kernel_size=(3, 2, 2), divisor_override=5),
]  # fmt: skip
ADAPTIVE1D = [("divides", (2, 3, 12), 4), ("overlaps", (2, 3, 13), 5), ("grows", (2, 3, 4), 7)]
ADAPTIVE2D = [
    ("divides", (2, 3, 8, 12), (4, 3)),
    ("overlaps", (2, 3, 11, 13), (5, 4)),
    ("global", (2, 3, 7, 5), 1),
    ("keeps-axis", (2, 3, 7, 5), (None, 3)),
    ("grows", (2, 3, 3, 4), (5, 7)),
    ("threads", (4, 31, 24, 23), (7, 7)),
]
ADAPTIVE3D = [("overlaps", (1, 2, 5, 6, 7), (2, 4, 3)), ("global", (2, 3, 4, 5, 3), 1)]


def adaptive(rows, make=normal):
    """Cases of adaptive pooling; maxima take ``make=distinct``."""
    return [
        Case(id, (x,), {"output_size": out}, full=id == "overlaps", make=make)
        for id, x, out in rows
    ]


def positive(rng, shape):
    return [rng.uniform(0.2, 2.0, shape)]


LP1D = [Case("p2", ((2, 3, 17),), {"norm_type": 2.0, "kernel_size": 3}, make=positive)]
LP2D = [
    Case("p2", ((2, 3, 8, 9),), {"norm_type": 2.0, "kernel_size": 3, "stride": 2}, full=True),
    Case("p1", ((2, 3, 8, 9),), {"norm_type": 1.0, "kernel_size": 2}, make=positive),
    Case(
        "p3-ceil",
        ((2, 3, 8, 9),),
        {"norm_type": 3.0, "kernel_size": (3, 2), "stride": 2, "ceil_mode": True},
        make=positive,
    ),
]
LP3D = [Case("p2", ((1, 2, 5, 6, 4),), {"norm_type": 2.0, "kernel_size": 2}, make=positive)]
