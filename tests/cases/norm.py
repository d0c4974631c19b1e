"""Normalisations."""

import numpy as np

from tests.cases import Case, normal


def _affine(rng, x, *rest):
    """Inputs away from mean 0, weights around 1; positions 1 and 2 of batch norm are statistics."""
    arrays = normal(rng, x, *rest)
    arrays[0] = arrays[0] * 1.5 + 0.3
    return [arrays[0], *(a if a is None else 1 + 0.3 * a for a in arrays[1:])]


def _with_statistics(rng, x, mean, var, weight, bias):
    arrays = _affine(rng, x, mean, var, weight, bias)
    return [a if i != 2 or a is None else np.abs(a) + 0.5 for i, a in enumerate(arrays)]


def batch_case(id, x, statistics=True, affine=True, full=False, cancels=False, **kwargs):
    s, a = ((x[1],) if flag else None for flag in (statistics, affine))
    return Case(id, (x, s, s, a, a), kwargs, full=full, cancels=cancels, make=_with_statistics)


BATCH = [
    batch_case("train-2d", (4, 5, 7, 6), statistics=False, training=True, full=True),
    batch_case("eval-2d", (4, 5, 7, 6), full=True),
    batch_case("train-1d", (17, 33), statistics=False, training=True),
    batch_case("eval-1d", (17, 33)),
    batch_case("train-3d", (2, 3, 4, 5, 6), statistics=False, training=True),
    batch_case("train-sequence", (3, 5, 11), statistics=False, training=True, eps=1e-3),
    batch_case("train-threads", (8, 19, 21, 23), statistics=False, training=True),
    batch_case("train-threads-rows", (513, 67), statistics=False, training=True),
    batch_case("eval-threads", (8, 19, 21, 23)),
    batch_case("train-no-affine", (4, 5, 3, 3), statistics=False, affine=False, training=True),
    batch_case("eval-no-affine", (4, 5, 3, 3), affine=False),
    batch_case("train-two-values", (2, 3), statistics=False, training=True, cancels=True),
    batch_case("eval-one", (1, 1, 1, 1)),
    batch_case("eval-batch0", (0, 3, 4, 4)),
]


def trailing_case(id, x, shape, affine=True, bias=True, full=False, cancels=False, **kwargs):
    weight = shape if affine else None
    return Case(
        id, (x, weight, weight if bias else None), {"normalized_shape": shape, **kwargs},
        names=("weight", "bias"), full=full, cancels=cancels, make=_affine,
    )  # fmt: skip


LAYER = [
    trailing_case("last", (9, 7, 33), (33,), full=True),
    trailing_case("two-axes", (5, 6, 7), (6, 7)),
    trailing_case("all-axes", (6, 7), (6, 7)),
    trailing_case("wide", (3, 1031), (1031,)),
    trailing_case("threads", (257, 383), (383,)),
    trailing_case("no-affine", (9, 33), (33,), affine=False),
    trailing_case("no-bias", (9, 33), (33,), bias=False),
    trailing_case("eps", (9, 33), (33,), eps=0.1),
    trailing_case("size1", (5, 1), (1,)),
    trailing_case("rows0", (0, 33), (33,)),
]
RMS = [
    Case(c.id, c.shapes[:2], c.kwargs, ("weight",), c.full, c.make)
    for c in LAYER
    if c.id != "no-bias"
]


def _grouped(id, x, groups, affine=True, full=False, **kwargs):
    a = (x[1],) if affine else None
    return Case(
        id, (x, a, a), {"num_groups": groups, **kwargs},
        names=("weight", "bias"), full=full, make=_affine,
    )  # fmt: skip


GROUP = [
    _grouped("2d", (3, 6, 5, 7), 3, full=True),
    _grouped("threads", (6, 24, 21, 23), 4),
    _grouped("one-group", (3, 6, 5), 1),
    _grouped("each-channel", (3, 6, 5), 6),
    _grouped("no-positions", (5, 12), 4),
    _grouped("no-affine", (3, 6, 5), 2, affine=False),
    _grouped("batch0", (0, 6, 5), 2),
]
INSTANCE = [
    batch_case("2d", (3, 5, 7, 6), statistics=False, full=True),
    batch_case("1d", (3, 5, 11), statistics=False, affine=False),
    batch_case("3d", (2, 3, 4, 3, 5), statistics=False),
    batch_case("running", (3, 5, 7, 6), use_input_stats=False),
]
LOCAL_RESPONSE = [
    Case("size5", ((2, 11, 4, 5),), {"size": 5, "alpha": 0.3, "beta": 0.75, "k": 2.0}, full=True),
    Case("size2", ((2, 5, 7),), {"size": 2}),
    Case("over-channels", ((2, 3, 4, 2, 3),), {"size": 7, "alpha": 1.0}),
    Case("size1", ((2, 3, 4),), {"size": 1, "alpha": 1.0}),
]
