"""Matrix products. Sizes straddle register tiles (6, 8, 16) and cache blocks (odd primes)."""

from functools import partial

from tests.cases import Case, normal_with_weight

_scaled = partial(normal_with_weight, fan_in_axes=slice(-2, -1))


def _matmul(id, a, b, **options):
    return Case(id, (a, b), make=_scaled, **options)


MATMUL = [
    _matmul("1x1x1", (1, 1), (1, 1)),
    _matmul("tile-exact", (48, 64), (64, 32)),
    _matmul("tile+1", (7, 17), (17, 33)),
    _matmul("tile-1", (5, 15), (15, 31)),
    _matmul("primes", (97, 131), (131, 61), full=True),
    _matmul("k1", (13, 1), (1, 19)),
    _matmul("k-long", (3, 2053), (2053, 5)),
    _matmul("row", (1, 67), (67, 41)),
    _matmul("column", (41, 67), (67, 1)),
    _matmul("tall", (517, 6), (6, 3)),
    _matmul("wide", (3, 6), (6, 517)),
    _matmul("threads", (257, 129), (129, 193)),
    _matmul("k0", (3, 0), (0, 4)),
    _matmul("m0", (0, 3), (3, 4)),
    _matmul("n0", (3, 4), (4, 0)),
]
VECTORS = [
    _matmul("dot", (37,), (37,)),
    _matmul("vector-matrix", (37,), (37, 11)),
    _matmul("matrix-vector", (11, 37), (37,)),
    _matmul("vector-batch", (37,), (3, 37, 11)),
    _matmul("batch-vector", (3, 11, 37), (37,)),
]
BATCHED = [
    _matmul("batch", (5, 9, 17), (5, 17, 7), full=True),
    _matmul("batch1", (1, 9, 17), (1, 17, 7)),
    _matmul("batch0", (0, 9, 17), (0, 17, 7)),
    _matmul("broadcast-left", (9, 17), (3, 17, 7)),
    _matmul("broadcast-right", (3, 9, 17), (17, 7)),
    _matmul("broadcast-both", (4, 1, 9, 17), (1, 3, 17, 7)),
]
LINEAR = [
    Case("batch", (((33, 65)), (31, 65), (31,)), full=True, make=normal_with_weight),
    Case("no-bias", ((33, 65), (31, 65), None), make=normal_with_weight),
    Case("vector", ((65,), (31, 65), (31,)), make=normal_with_weight),
    Case("rank3", ((4, 7, 65), (31, 65), (31,)), make=normal_with_weight),
    Case("mlp", ((64, 784), (512, 784), (512,)), make=normal_with_weight),
    Case("one-row", ((1, 784), (10, 784), (10,)), make=normal_with_weight),
    Case("1x1x1", ((1, 1), (1, 1), (1,)), make=normal_with_weight),
    Case("rows0", ((0, 65), (31, 65), (31,)), make=normal_with_weight),
    Case("in0", ((3, 0), (5, 0), (5,)), make=normal_with_weight),
    Case("out0", ((3, 5), (0, 5), (0,)), make=normal_with_weight),
]


def _addmm(id, c, a, b, **kwargs):
    return Case(id, (c, a, b), kwargs)


ADDMM = [
    _addmm("plain", (9, 7), (9, 17), (17, 7)),
    _addmm("alpha-beta", (9, 7), (9, 17), (17, 7), beta=0.5, alpha=-2.0),
    _addmm("beta0", (9, 7), (9, 17), (17, 7), beta=0.0),
    _addmm("row-broadcast", (7,), (9, 17), (17, 7), beta=2.0),
    _addmm("column-broadcast", (9, 1), (9, 17), (17, 7)),
    _addmm("k0", (9, 7), (9, 0), (0, 7)),
]
BADDBMM = [
    _addmm("plain", (3, 9, 7), (3, 9, 17), (3, 17, 7)),
    _addmm("broadcast", (7,), (3, 9, 17), (3, 17, 7), beta=0.5, alpha=2.0),
]
