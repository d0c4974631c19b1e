"""embedding and embedding_bag."""

from functools import partial

import numpy as np

from tests.cases import Case


def table(rng, indices, weight, *, few=False, padding=None):
    """Indices into the rows of ``weight``; ``few``: only two rows, so that each is hit often."""
    at = rng.integers(0, 2 if few else weight[0], indices)
    if padding is not None:
        at.ravel()[::3] = padding % weight[0]
    return [at, rng.standard_normal(weight)]


EMBEDDING = [
    Case("plain", ((4, 5), (11, 7)), full=True, make=table),
    Case("vector", ((33,), (5, 16)), make=table),
    Case("scalar", ((), (5, 3)), make=table),
    Case("empty", ((0, 4), (5, 3)), make=table),
    Case("one-column", ((9,), (5, 1)), make=table),
    Case("padding", ((4, 5), (11, 7)), {"padding_idx": 3}, make=partial(table, padding=3)),
    Case("padding-negative", ((4, 5), (11, 7)), {"padding_idx": -2},
         make=partial(table, padding=-2)),
    Case("frequency", ((4, 5), (11, 7)), {"scale_grad_by_freq": True}, make=table, full=True),
    Case("threads", ((61, 97), (501, 33)), make=table),
    Case("hot-rows", ((2003,), (11, 9)), make=partial(table, few=True)),
]  # fmt: skip
# max_norm writes to the table, so that the harness, which forbids it, cannot run these.
EMBEDDING_RENORM = [
    Case("l2", ((4, 5), (11, 7)), {"max_norm": 1.5}, make=table),
    Case("l1", ((4, 5), (11, 7)), {"max_norm": 2.0, "norm_type": 1.0}, make=table),
]


def bags(rng, indices, weight, offsets, scale, *, padding=None):
    """Offsets into the flat indices, in order, with some bags empty; positive or mixed scales."""
    at, rows = table(rng, indices, weight, padding=padding)
    if offsets is not None:
        offsets = np.sort(rng.integers(0, at.size + 1, offsets))
        offsets[0] = 0
    return [at, rows, offsets, None if scale is None else rng.standard_normal(scale)]


def _bag(id, indices, bag_count=None, scaled=False, full=False, padding=None, **kwargs):
    shapes = (indices, (11, 7), None if bag_count is None else (bag_count,),
              indices if scaled else None)  # fmt: skip
    kwargs |= {} if padding is None else {"padding_idx": padding}
    names = ("offsets", "per_sample_weights")
    return Case(id, shapes, kwargs, names, full, make=partial(bags, padding=padding))


EMBEDDING_BAG = [
    _bag("mean", (4, 5), full=True, mode="mean"),
    _bag("sum", (4, 5), full=True, mode="sum"),
    _bag("max", (4, 5), full=True, mode="max"),
    _bag("mean-offsets", (23,), 6, full=True, mode="mean"),
    _bag("sum-offsets", (23,), 6, mode="sum"),
    _bag("max-offsets", (23,), 6, mode="max"),
    _bag("scaled", (4, 5), scaled=True, mode="sum"),
    _bag("scaled-offsets", (23,), 6, scaled=True, mode="sum"),
    _bag("padding-mean", (23,), 6, padding=3, mode="mean"),
    _bag("padding-sum", (23,), 6, padding=3, mode="sum"),
    _bag("padding-max", (4, 5), padding=3, mode="max"),
    _bag("frequency", (23,), 6, mode="mean", scale_grad_by_freq=True),
]
