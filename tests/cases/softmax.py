"""softmax, log_softmax and softmin."""

from tests.cases import Case

SOFTMAX = [
    Case("rows", ((7, 33),), {"dim": -1}, full=True),
    Case("thousand", ((5, 1000),), {"dim": 1}),
    Case("threads", ((257, 383),), {"dim": 1}),
    Case("threads-middle", ((7, 129, 97),), {"dim": 1}),
    Case("middle", ((3, 11, 5),), {"dim": 1}, full=True),
    Case("first", ((11, 3, 5),), {"dim": 0}),
    Case("vector", ((17,),), {"dim": 0}),
    Case("size1", ((4, 1),), {"dim": -1}),
    Case("rows0", ((0, 5),), {"dim": -1}),
    Case("axis0", ((5, 0),), {"dim": -1}),
    Case("huge", ((4, 9),), {"dim": -1}, make=lambda rng, s: [rng.standard_normal(s) * 1e30]),
]
