"""Losses. ``POINTWISE`` maps a name to its cases; ``cases_of(name)`` finds those of any loss."""

from dataclasses import replace
from functools import partial

import numpy as np

from tests.cases import Case, normal


def probabilities(rng, *shapes):
    return [None if s is None else rng.uniform(0.05, 0.95, s) for s in shapes]


def logits_and_targets(rng, x, target, *weights):
    """Scores N(0, 2), targets in (0, 1), weights in (0.5, 2)."""
    rest = [None if s is None else rng.uniform(0.5, 2, s) for s in weights]
    return [rng.standard_normal(x) * 2, rng.uniform(0, 1, target), *rest]


def probability_pairs(rng, x, target, *weights):
    return [*probabilities(rng, x, target), *logits_and_targets(rng, x, target, *weights)[2:]]


def log_probability_and_probability(rng, x, target):
    p, q = probabilities(rng, x, target)
    return [np.log(p), q]


def two_log_probabilities(rng, x, target):
    return [np.log(p) for p in probabilities(rng, x, target)]


def counts(rng, x, target):
    return [rng.uniform(0.1, 2.0, x), rng.integers(2, 9, target).astype(np.float64)]


def with_zero_targets(make):
    def made(rng, x, target):
        x, target = make(rng, x, target)
        target.ravel()[::4], target.ravel()[1::4] = 0.0, 1.0
        return [x, target]

    return made


def signs(rng, *shapes):
    """N(0, 1), and -1 or 1 in the last array."""
    return [*normal(rng, *shapes[:-1]), rng.choice([-1.0, 1.0], shapes[-1])]


def weighted(rng, x, target, weight):
    return [*normal(rng, x, target), rng.uniform(0.5, 2.0, weight)]


SHAPE = (7, 5)


def _reductions(name, make, extra=(), **kwargs):
    rows = [
        Case(f"{name}-{r}", (SHAPE, SHAPE), {"reduction": r, **kwargs}, full=r == "mean",
             make=make)
        for r in ("mean", "sum", "none")
    ]  # fmt: skip
    return [*rows, *extra]


def _weight(name, make, **kwargs):
    shapes = (SHAPE, SHAPE, SHAPE)
    return Case(f"{name}-weight", shapes, kwargs, names=("weight",), make=make)


POINTWISE = {
    "mse_loss": _reductions("mse", normal, extra=[
        _weight("mse", weighted), Case("mse-long", ((70001,), (70001,))),
        Case("mse-scalar", ((), ())),
    ]),
    "l1_loss": _reductions("l1", normal, extra=[_weight("l1", weighted)]),
    "huber_loss": _reductions("huber", normal, delta=0.7, extra=[_weight("huber", weighted)]),
    "smooth_l1_loss": _reductions("smooth", normal, beta=0.7, extra=[
        Case("smooth-beta0", (SHAPE, SHAPE), {"beta": 0.0}),
    ]),
    "binary_cross_entropy": _reductions("bce", probability_pairs, extra=[
        _weight("bce", probability_pairs),
    ]),
    "binary_cross_entropy_with_logits": _reductions("logits", logits_and_targets, extra=[
        _weight("logits", logits_and_targets),
        Case("logits-pos-weight", (SHAPE, SHAPE, None, (5,)), names=("weight", "pos_weight"),
             make=logits_and_targets),
    ]),
    "kl_div": _reductions("kl", log_probability_and_probability, extra=[
        Case("kl-batchmean", (SHAPE, SHAPE), {"reduction": "batchmean"},
             make=log_probability_and_probability),
        Case("kl-log", (SHAPE, SHAPE), {"log_target": True, "reduction": "sum"},
             make=two_log_probabilities),
    ]),
    "poisson_nll_loss": _reductions("poisson", counts, extra=[
        Case("poisson-full", (SHAPE, SHAPE), {"full": True}, make=counts),
        Case("poisson-rate", (SHAPE, SHAPE), {"log_input": False, "full": True}, make=counts),
    ]),
    "hinge_embedding_loss": _reductions("hinge", signs, margin=0.8),
    "soft_margin_loss": _reductions("soft", signs),
}  # fmt: skip
ZERO_TARGETS = {  # where the gradient of the target does not exist
    "kl_div": Case("kl-zero", (SHAPE, SHAPE), make=with_zero_targets(
        log_probability_and_probability
    )),
    "poisson_nll_loss": Case("poisson-zero", (SHAPE, SHAPE), {"full": True},
                             make=with_zero_targets(counts)),
}  # fmt: skip


def labels(rng, x, target, weight=None, ignored=None, probability=False):
    """Scores N(0, 2), labels (some of them ``ignored``) or class probabilities, class weights."""
    classes = x[0] if len(x) == 1 else x[1]
    if probability:
        t = rng.uniform(0.1, 1.0, target)
        t /= t.sum(axis=0 if len(x) == 1 else 1, keepdims=True)
    else:
        t = rng.integers(0, classes, target)
        if ignored is not None:
            t.ravel()[::3] = ignored
    w = None if weight is None else rng.uniform(0.5, 2.0, weight)
    return [rng.standard_normal(x) * 2, t, w]


def negative(make):
    """Scores below 0, like the logarithms of probabilities: their sums do not cancel."""

    def made(rng, *shapes):
        scores, *rest = make(rng, *shapes)
        return [-np.abs(scores) - 0.1, *rest]

    return made


def _labelled(id, x, target, weight=False, full=False, make=labels, **kwargs):
    classes = x[0] if len(x) == 1 else x[1]
    shapes = (x, target, (classes,) if weight else None)
    return Case(id, shapes, kwargs, full=full, make=make)


_NLL = [
    _labelled("mean", (9, 5), (9,), full=True),
    _labelled("sum", (9, 5), (9,), reduction="sum"),
    _labelled("none", (9, 5), (9,), reduction="none"),
    _labelled("weight", (9, 5), (9,), weight=True),
    _labelled("ignore", (9, 5), (9,), make=partial(labels, ignored=-100)),
    _labelled("ignore-weight", (9, 5), (9,), weight=True, ignore_index=2),
    _labelled("vector", (5,), ()),
    _labelled("2d", (2, 5, 3, 4), (2, 3, 4), weight=True, full=True),
    _labelled("2d-ignore-none", (2, 5, 3, 4), (2, 3, 4), reduction="none",
              make=partial(labels, ignored=-100)),
    _labelled("threads", (2003, 37), (2003,)),
    _labelled("one-class", (4, 1), (4,)),
    _labelled("batch0-sum", (0, 5), (0,), reduction="sum"),
]  # fmt: skip
NLL = [replace(case, make=negative(case.make)) for case in _NLL]
_soft = partial(labels, probability=True)
CROSS_ENTROPY = [
    *_NLL,
    _labelled("thousand-classes", (17, 1000), (17,), full=True),
    _labelled("smoothing", (9, 5), (9,), label_smoothing=0.1, full=True),
    _labelled("smoothing-weight-ignore", (9, 5), (9,), weight=True, label_smoothing=0.3,
              make=partial(labels, ignored=-100)),
    _labelled("smoothing-none", (9, 5), (9,), label_smoothing=0.3, reduction="none", weight=True),
    _labelled("probabilities", (9, 5), (9, 5), make=_soft, full=True),
    _labelled("probabilities-weight-smoothing", (9, 5), (9, 5), weight=True, label_smoothing=0.2,
              make=_soft),
    _labelled("probabilities-2d", (2, 5, 3, 4), (2, 5, 3, 4), make=_soft, reduction="sum"),
    _labelled("probabilities-vector", (5,), (5,), make=_soft),
]  # fmt: skip
MULTI_MARGIN = [
    Case(f"p{p}-{r}", ((9, 5), (9,), (5,)), {"p": p, "reduction": r}, names=("weight",),
         full=p == 1 and r == "mean", make=labels)
    for p in (1, 2)
    for r in ("mean", "sum", "none")
] + [
    Case("margin", ((9, 5), (9,), None), {"margin": 0.4}, names=("weight",), make=labels),
    Case("vector", ((5,), (), None), names=("weight",), make=labels),
]  # fmt: skip


def label_lists(rng, x, target):
    """Each row lists different labels, then -1, then labels that do not count."""
    lists = rng.permuted(np.broadcast_to(np.arange(x[-1]), x), axis=-1)
    lists[..., 3] = -1
    if len(x) > 1:
        lists[0, 0] = -1
    return [rng.standard_normal(x), lists]


MULTILABEL_MARGIN = [
    Case(r, (SHAPE, SHAPE), {"reduction": r}, full=r == "mean", make=label_lists)
    for r in ("mean", "sum", "none")
] + [Case("vector", ((5,), (5,)), make=label_lists)]


def multilabel(rng, x, target, weight):
    w = None if weight is None else rng.uniform(0.5, 2.0, weight)
    return [rng.standard_normal(x), rng.integers(0, 2, target).astype(np.float64), w]


MULTILABEL_SOFT_MARGIN = [
    Case(r, (SHAPE, SHAPE, None), {"reduction": r}, full=r == "mean", make=multilabel)
    for r in ("mean", "sum", "none")
] + [Case("weight", (SHAPE, SHAPE, (5,)), make=multilabel)]
COSINE_EMBEDDING = [
    Case(r, (SHAPE, SHAPE, (7,)), {"margin": 0.1, "reduction": r}, full=r == "mean", make=signs)
    for r in ("mean", "sum", "none")
] + [Case("vector", ((5,), (5,), ()), make=signs)]
MARGIN_RANKING = [
    Case(r, (SHAPE, SHAPE, SHAPE), {"margin": 0.3, "reduction": r}, full=r == "mean", make=signs)
    for r in ("mean", "sum", "none")
] + [Case("broadcast", (SHAPE, (1, 5), SHAPE), {"margin": 0.5}, make=signs)]
TRIPLET_MARGIN = [
    Case(r, (SHAPE, SHAPE, SHAPE), {"reduction": r, "margin": 3.0}, full=r == "mean")
    for r in ("mean", "sum", "none")
] + [
    Case("swap", (SHAPE, SHAPE, SHAPE), {"swap": True, "margin": 2.0}, full=True),
    Case("p1", (SHAPE, SHAPE, SHAPE), {"p": 1.0, "margin": 0.5}),
    Case("p3", (SHAPE, SHAPE, SHAPE), {"p": 3.0}),
    Case("vector", ((5,), (5,), (5,))),
]


def with_variance(rng, x, target, var):
    return [*normal(rng, x, target), rng.uniform(0.3, 2.0, var)]


GAUSSIAN_NLL = [
    Case(r, (SHAPE, SHAPE, SHAPE), {"reduction": r}, full=r == "mean", make=with_variance)
    for r in ("mean", "sum", "none")
] + [
    Case("full", (SHAPE, SHAPE, SHAPE), {"full": True}, make=with_variance),
    Case("one-variance-per-row", (SHAPE, SHAPE, (7, 1)), make=with_variance),
    Case("variance-without-axis", (SHAPE, SHAPE, (7,)), make=with_variance),
    Case("clamped", (SHAPE, SHAPE, SHAPE), {"eps": 1.0}, make=with_variance),
]
