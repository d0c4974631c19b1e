"""Elementwise activations: parameters for each, and inputs that cover every branch."""

import numpy as np

from tests.cases import Case

KINKS = (-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0)


def spread(rng, shape):
    """Mostly N(0, 3), away from every kink (for finite differences), with far tails.

    Errors are relative to the largest element, so that tiny arrays stay where no activation and
    no derivative is near 0.
    """
    x = np.asarray(rng.standard_normal(shape)) * 3
    if x.size <= 11:
        return [rng.uniform(0.7, 0.9, shape)]
    x.ravel()[::11] *= 4
    for kink in KINKS:
        x = np.where(np.abs(x - kink) < 1e-3, kink + 2e-3, x)
    return [x]


def positive(rng, shape):
    return [rng.uniform(0.05, 9.0, shape)]


PARAMETERS = {
    "relu": [{}],
    "relu6": [{}],
    "leaky_relu": [{}, {"negative_slope": 0.3}],
    "rrelu": [{}],
    "elu": [{}, {"alpha": 0.7}],
    "selu": [{}],
    "celu": [{}, {"alpha": 2.5}],
    "gelu": [{}, {"approximate": "tanh"}],
    "silu": [{}],
    "mish": [{}],
    "softplus": [{}, {"beta": 2.0, "threshold": 5.0}],
    "softsign": [{}],
    "sigmoid": [{}],
    "logsigmoid": [{}],
    "tanh": [{}],
    "tanhshrink": [{}],
    "hardsigmoid": [{}],
    "hardswish": [{}],
    "hardtanh": [{}, {"min_val": -3.0, "max_val": 0.5}],
    "hardshrink": [{}, {"lambd": 3.0}],
    "softshrink": [{}, {"lambd": 1.0}],
    "threshold": [{"threshold": 0.5, "value": -2.0}],
    "exp": [{}],
    "log": [{}],
    "erf": [{}],
}


def cases(name):
    """Per parameter set: a vector length with tails (full), and for the first one other shapes."""
    make = positive if name == "log" else spread
    rows = [
        Case(f"{name}-{i}", ((5, 67),), kwargs, full=True, make=make)
        for i, kwargs in enumerate(PARAMETERS[name])
    ]
    shapes = {"scalar": (), "one": (1,), "empty": (0, 3), "rank4": (2, 3, 5, 7), "long": (70001,)}
    first = PARAMETERS[name][0]
    return rows + [Case(f"{name}-{k}", (s,), first, make=make) for k, s in shapes.items()]


PRELU = [
    Case("shared", ((5, 7, 3), (1,)), full=True),
    Case("per-channel", ((5, 7, 3), (7,)), full=True),
    Case("matrix", ((5, 7), (7,))),
    Case("vector", ((5,), (1,))),
    Case("empty", ((0, 7), (7,))),
]
GLU = [
    Case("last", ((5, 14),), {"dim": -1}, full=True),
    Case("first", ((6, 7),), {"dim": 0}),
    Case("middle", ((3, 10, 4),), {"dim": 1}),
]
