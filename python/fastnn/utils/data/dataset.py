"""Datasets and what builds datasets from datasets."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from fastnn import random
from fastnn._errors import ShapeError

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """A map from index to sample: define ``__getitem__`` and, for the usual samplers, ``__len__``.

    Two optional methods fetch a whole batch at once:

    * ``__getitems__(indices)``, a list of samples for a list of indices, as in PyTorch;
    * ``__getbatch__(indices)``, for an int64 array of indices what ``default_collate`` would make
      of the samples, with NumPy arrays in place of tensors if it likes; or NotImplemented. It is
      asked only where no own ``collate_fn`` is in use.

    A subclass that overrides ``__getitem__`` alone switches inherited batch methods off.
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T], Iterable[T]):
    """A stream of samples: define ``__iter__``.

    With worker processes each worker iterates over its own copy; use
    :func:`fastnn.utils.data.get_worker_info` in ``__iter__`` to give each its share.
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Samples along the first axis of some tensors or arrays; item ``i`` is ``(t[i], …)``.

    Raises:
        ValueError: no tensor is given.
        TypeError: something that has no shape is given.
        ShapeError: the first sizes differ, or a tensor has no axis.
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for tensor in tensors:
            if not hasattr(tensor, "shape"):
                raise TypeError(
                    f"TensorDataset: expected tensors or arrays, got {type(tensor).__name__}"
                )
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if any(not shape or shape[0] != shapes[0][0] for shape in shapes):
            raise ShapeError(
                f"TensorDataset: all tensors need the same first size, got shapes {shapes}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getbatch__(self, indices: np.ndarray) -> Any:
        return [tensor[indices] for tensor in self.tensors]

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset[T]):
    """Several datasets of one length side by side: items are tuples (datasets given in order) or
    dicts (datasets given by keyword) of their items.

    Raises:
        ValueError: no dataset, both kinds of arguments, or different lengths.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError(
                "StackDataset: give datasets either in order or by keyword, at least one"
            )
        lengths = [len(dataset) for dataset in args or kwargs.values()]
        if len(set(lengths)) > 1:
            raise ValueError(f"StackDataset: datasets must have one length, got {lengths}")
        self.datasets: tuple | dict = args or kwargs
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {key: dataset[index] for key, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list) -> list:
        if isinstance(self.datasets, dict):
            columns = [fetch_items(dataset, indices) for dataset in self.datasets.values()]
            return [
                dict(zip(self.datasets, row, strict=True)) for row in zip(*columns, strict=True)
            ]
        columns = [fetch_items(dataset, indices) for dataset in self.datasets]
        return list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T]):
    """Datasets one after the other.

    Raises:
        ValueError: there is none.
        TypeError: one of them is an :class:`IterableDataset` (see :class:`ChainDataset`).
    """

    def __init__(self, datasets: Iterable[Dataset[T]]) -> None:
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no index; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(each) for each in self.datasets))

    def __getitem__(self, index: int) -> T:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        number = bisect.bisect_right(self.cumulative_sizes, position)
        start = self.cumulative_sizes[number - 1] if number else 0
        return self.datasets[number][position - start]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[T]):
    """Streams one after the other.

    Raises:
        TypeError: one of them is not an :class:`IterableDataset`.
    """

    def __init__(self, datasets: Iterable[Dataset[T]]) -> None:
        self.datasets: Iterable[Any] = datasets

    def __iter__(self) -> Iterator[T]:
        for dataset in self.datasets:
            yield from self._checked(dataset)

    def __len__(self) -> int:
        return sum(len(self._checked(dataset)) for dataset in self.datasets)

    @staticmethod
    def _checked(dataset: Any) -> Any:
        if not isinstance(dataset, IterableDataset):
            raise TypeError(f"ChainDataset: expected IterableDataset, got {type(dataset).__name__}")
        return dataset


class Subset(Dataset[T]):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Dataset[T], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T]:
        return fetch_items(self.dataset, [self.indices[i] for i in indices])

    def __getbatch__(self, indices: np.ndarray) -> Any:
        if not has_batch_method(self.dataset, "__getbatch__"):
            return NotImplemented
        own = self.indices
        if isinstance(own, np.ndarray):
            chosen = own[indices]
        else:
            chosen = np.array([own[i] for i in indices.tolist()], np.int64)
        return self.dataset.__getbatch__(chosen)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[T]]:
    """Split a dataset at random into parts of the given lengths, or of the given fractions of its
    length, which must add up to 1 (what rounding leaves over goes one by one to the first parts).

    Raises:
        ValueError: the lengths do not add up, or one is negative.
    """
    count = len(dataset)  # type: ignore[arg-type]
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {list(lengths)}")
    sizes = [int(length) for length in lengths]
    if math.isclose(sum(lengths), 1):
        sizes = [math.floor(count * fraction) for fraction in lengths]
        for position in range(count - sum(sizes)):
            sizes[position % len(sizes)] += 1
        for position, size in enumerate(sizes):
            if size == 0:
                warnings.warn(f"Length of split at index {position} is 0.", stacklevel=2)
    elif sum(lengths) != count:
        raise ValueError(
            f"random_split: lengths {list(lengths)} add up to {sum(lengths)}, but the dataset has "
            f"{count} samples; fractions must add up to 1"
        )
    order = random.randperm(count, generator).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def has_batch_method(dataset: Any, name: str) -> bool:
    """Whether `dataset` has the method `name` and no subclass has since overridden ``__getitem__``
    (which the inherited batch method would bypass)."""
    for cls in type(dataset).__mro__:
        if name in vars(cls):
            return True
        if "__getitem__" in vars(cls):
            return False
    return False


def fetch_items(dataset: Any, indices: list) -> list:
    """The samples at `indices`, through ``__getitems__`` where the dataset has it."""
    if not has_batch_method(dataset, "__getitems__"):
        return [dataset[index] for index in indices]
    items = dataset.__getitems__(indices)
    if len(items) != len(indices):
        raise ValueError(
            f"{type(dataset).__name__}.__getitems__ gave {len(items)} samples for "
            f"{len(indices)} indices"
        )
    return items
