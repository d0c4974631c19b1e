"""Samplers: in which order, and in which batches, samples are visited."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from fastnn import random

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """Base class: define ``__iter__`` and, where ``len(loader)`` is wanted, ``__len__``."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class _ArraySampler(Sampler[int]):
    """A sampler whose whole order is drawn at once as an array, which saves the loader a Python
    step per sample."""

    def order(self) -> np.ndarray:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())


class SequentialSampler(_ArraySampler):
    """0, 1, 2 … len(data_source) - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def order(self) -> np.ndarray:
        return np.arange(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(_ArraySampler):
    """A shuffled order; or, with `replacement`, independent draws.

    Args:
        data_source: the dataset; only its length counts.
        replacement: whether an index may come twice.
        num_samples: how many to draw, by default the dataset's length. More than that without
            replacement means several shuffled passes.
        generator: where random numbers come from, by default the global generator.

    Raises:
        TypeError: `replacement` is not a bool.
        ValueError: `num_samples` is not a positive integer.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _require_count("RandomSampler", "num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> np.ndarray:
        count = len(self.data_source)
        if self.replacement:
            drawn = np.empty(self.num_samples, np.int64)
            return random.fill_integers(drawn, 0, count, self.generator)
        passes = -(-self.num_samples // count)
        orders = [random.randperm(count, self.generator) for _ in range(passes)]
        return np.concatenate(orders)[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_ArraySampler):
    """The given indices in a shuffled order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def order(self) -> np.ndarray:
        indices = np.asarray(self.indices, np.int64)
        return indices[random.randperm(len(indices), self.generator)]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_ArraySampler):
    """Draws of 0 … len(weights) - 1 with probabilities proportional to `weights`.

    Raises:
        ValueError: `num_samples` is not a positive integer, `replacement` is not a bool, the
            weights are not one-dimensional, not finite, negative or all zero, or there are fewer
            positive weights than samples to draw without replacement.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        name = "WeightedRandomSampler"
        _require_count(name, "num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"{name}: replacement must be a bool, got {replacement!r}")
        self.weights = np.array(weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"{name}: weights must have one axis, got shape {self.weights.shape}")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ValueError(f"{name}: weights must be finite and not negative")
        positive = np.count_nonzero(self.weights)
        if positive < (1 if replacement else num_samples):
            raise ValueError(
                f"{name}: {positive} weights are positive, too few to draw {num_samples} samples "
                + ("from" if replacement else "without replacement")
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def order(self) -> np.ndarray:
        count = self.num_samples
        if self.replacement:
            sums = np.cumsum(self.weights)
            draws = random.fill_uniform(np.empty(count), generator=self.generator) * sums[-1]
            # "right": a draw of exactly 0 must not choose a leading weight of 0. Rounding can lift
            # a draw to the total, which belongs to the last positive weight.
            last = np.flatnonzero(self.weights)[-1]
            return np.minimum(np.searchsorted(sums, draws, side="right"), last)
        # Efraimidis and Spirakis 2006: the smallest of independent exponential times with these
        # rates are a weighted sample without replacement, in the order of drawing.
        draws = random.fill_uniform(np.empty(len(self.weights)), generator=self.generator)
        times = -np.log1p(-draws)
        positive = self.weights > 0
        times = np.divide(times, self.weights, out=np.full_like(times, np.inf), where=positive)
        return np.argsort(times, kind="stable")[:count]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups the indices of another sampler into lists of `batch_size`; the last one may be
    shorter, or is left out with `drop_last`.

    Raises:
        ValueError: `batch_size` is not a positive integer, or `drop_last` is not a bool.
    """

    def __init__(
        self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool
    ) -> None:
        _require_count("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def index_batches(batch_sampler: Iterable) -> Iterator[Any]:
    """The batches of `batch_sampler`, as arrays where nobody has overridden how they are made."""
    if type(batch_sampler) is not BatchSampler:
        return iter(batch_sampler)
    sampler = batch_sampler.sampler
    if not isinstance(sampler, _ArraySampler) or type(sampler).__iter__ != _ArraySampler.__iter__:
        return iter(batch_sampler)
    order = sampler.order()
    size = batch_sampler.batch_size
    end = len(order) - len(order) % size if batch_sampler.drop_last else len(order)
    return (order[start : start + size] for start in range(0, end, size))


def _require_count(owner: str, argument: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{owner}: {argument} must be a positive integer, got {value!r}")
