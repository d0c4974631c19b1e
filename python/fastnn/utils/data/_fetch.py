"""From indices to a batch; runs in the loader's own process or in a worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.utils.data.collate import default_collate, default_convert
from fastnn.utils.data.dataset import IterableDataset, fetch_items, has_batch_method

END = object()  # what fetch() gives when a stream has no further batch


@dataclass(frozen=True)
class FetchPlan:
    """What fetching needs to know of a loader."""

    dataset: Any
    collate_fn: Callable[[Any], Any]
    in_batches: bool
    drop_last: bool

    def start(self) -> Callable[[Any], Any]:
        """Begin an epoch: give the function that fetches a batch.

        For a map-style dataset it takes an index or a batch of indices, for a stream the number of
        samples (None: one sample, not in a batch).
        """
        if isinstance(self.dataset, IterableDataset):
            samples = iter(self.dataset)
            return lambda count: self._take(samples, count)
        fetch = self._look_up if self.in_batches else self._look_up_one
        return lambda indices: _without_stop_iteration(fetch, indices)

    def _look_up(self, indices: Any) -> Any:
        dataset = self.dataset
        if self.collate_fn is default_collate and has_batch_method(dataset, "__getbatch__"):
            numbers = np.asarray(indices)
            if numbers.dtype.kind in "iu" and numbers.ndim == 1:
                batch = dataset.__getbatch__(numbers)
                if batch is not NotImplemented:
                    return default_convert(batch)
        if isinstance(indices, np.ndarray):
            indices = indices.tolist()
        return self.collate_fn(fetch_items(dataset, indices))

    def _look_up_one(self, index: Any) -> Any:
        return self.collate_fn(self.dataset[index])

    def _take(self, samples: Iterator[Any], count: int | None) -> Any:
        if count is None:
            sample = next(samples, END)
            return END if sample is END else _without_stop_iteration(self.collate_fn, sample)
        batch = list(itertools.islice(samples, count))
        if not batch or (self.drop_last and len(batch) < count):
            return END
        return _without_stop_iteration(self.collate_fn, batch)


def _without_stop_iteration(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call user code from inside ``__next__``, where a stray StopIteration would silently end the
    epoch."""
    try:
        return function(argument)
    except StopIteration as error:
        raise RuntimeError("DataLoader: the dataset or collate_fn raised StopIteration") from error
