"""Named shapes and parameters of every operator, shared by tests and benchmarks."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np


def normal(rng, *shapes):
    """N(0, 1) for every shape; None for an argument that is left out."""
    return [None if shape is None else rng.standard_normal(shape) for shape in shapes]


def normal_with_weight(rng, x, weight, *rest, fan_in_axes=slice(1, None)):
    """As ``normal``, with the second array scaled by 1 / sqrt(fan in)."""
    arrays = normal(rng, x, weight, *rest)
    arrays[1] /= max(1, np.prod(weight[fan_in_axes])) ** 0.5
    return arrays


@dataclass(frozen=True)
class Case:
    """One call of an operator.

    ``shapes`` has one entry per array argument (None: left out); ``make(rng, *shapes)`` fills
    them. The last ``len(names)`` arrays are passed by these names, the others by position.
    ``full`` marks the cases on which the harness runs its whole product of layouts, instruction
    sets, threads and alignments; the others run in the default configuration. ``cancels`` marks
    those whose result is a small difference of large numbers: they are held to no ceiling.
    """

    id: str
    shapes: tuple
    kwargs: dict = field(default_factory=dict)
    names: tuple[str, ...] = ()
    full: bool = False
    cancels: bool = False
    make: Callable = normal

    def __str__(self):
        return self.id

    def inputs(self, draw=0):
        """float64 arrays (integers where the operator takes labels), the same for every draw."""
        rng = np.random.default_rng([zlib.crc32(self.id.encode()), draw])
        return [None if a is None else np.asarray(a) for a in self.make(rng, *self.shapes)]


def special(case, arguments=(0,)):
    """``case`` with a NaN and both infinities somewhere in these arguments."""

    def make(rng, *shapes):
        arrays = [None if a is None else np.asarray(a) for a in case.make(rng, *shapes)]
        for i in arguments:
            flat = arrays[i].reshape(-1)
            at = rng.choice(flat.size, min(3, flat.size), replace=False)
            flat[at] = [np.nan, np.inf, -np.inf][: len(at)]
        return arrays

    return replace(case, id=f"{case.id}-special", full=False, make=make)
