"""Distances, similarities and the bilinear layer."""

import math

from tests.cases import Case

PAIRWISE_DISTANCE = [
    Case("rows", ((7, 5), (7, 5)), full=True),
    Case("p1", ((7, 5), (7, 5)), {"p": 1.0}),
    Case("p3-keepdim", ((7, 5), (7, 5)), {"p": 3.0, "keepdim": True}),
    Case("pinf", ((7, 5), (7, 5)), {"p": math.inf}),
    Case("broadcast", ((7, 1, 5), (6, 5))),
    Case("vector", ((5,), (5,)), {"eps": 1e-3}),
]
NORMALIZE = [
    Case("rows", ((7, 5),), full=True),
    Case("channels", ((2, 5, 3, 4),), full=True),
    Case("p1", ((7, 5),), {"p": 1.0, "dim": 0}),
    Case("below-eps", ((7, 5),), {"eps": 100.0}),
]
COSINE_SIMILARITY = [
    Case("rows", ((7, 5), (7, 5)), full=True),
    Case("last", ((3, 4, 5), (3, 4, 5)), {"dim": -1}),
    Case("broadcast", ((7, 1, 5), (1, 6, 5)), {"dim": 2}),
    Case("below-eps", ((7, 5), (7, 5)), {"eps": 2.0}),
]
PDIST = [
    Case("rows", ((7, 5),), full=True),
    Case("p1", ((6, 3),), {"p": 1.0}),
    Case("p3", ((6, 3),), {"p": 3.0}),
    Case("pinf", ((6, 3),), {"p": math.inf}),
    Case("two", ((2, 3),)),
]
BILINEAR = [
    Case("rows", ((7, 5), (7, 3), (4, 5, 3), (4,)), full=True),
    Case("no-bias", ((2, 3, 5), (2, 3, 3), (4, 5, 3), None)),
    Case("vector", ((5,), (3,), (4, 5, 3), (4,))),
]
