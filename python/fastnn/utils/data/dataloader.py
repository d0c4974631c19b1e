"""The loader: batches of a dataset, fetched here or by worker processes."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from fastnn import random
from fastnn.utils.data._fetch import END, FetchPlan
from fastnn.utils.data.collate import default_collate, default_convert
from fastnn.utils.data.dataset import IterableDataset
from fastnn.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    index_batches,
)

T = TypeVar("T", covariant=True)


class DataLoader(Generic[T]):
    """Iterate over a dataset in batches; arguments and results are those of PyTorch's class.

    One pass over the loader is one epoch. The order is a function of the seed (of `generator`, or
    the global one) and is the same for every `num_workers`.

    Args:
        dataset: has ``__getitem__`` and ``__len__``, or is an :class:`IterableDataset`.
        batch_size: samples in a batch; None switches batching off: each item is one sample.
        shuffle: visit the samples in a new random order each epoch.
        sampler: gives the indices, in place of `shuffle`.
        batch_sampler: gives lists of indices, in place of `batch_size`, `shuffle`, `sampler` and
            `drop_last`.
        num_workers: worker processes; 0 fetches in this process.
        collate_fn: makes a batch of a list of samples, by default ``default_collate``; without
            batching it converts one sample, by default ``default_convert``.
        pin_memory: has no effect on a CPU, and says so.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a worker's batch before it is an error; 0 waits (and warns
            after a minute).
        worker_init_fn: called in each worker with its number, after seeding.
        multiprocessing_context: start method of the workers, or a context. The default is
            "forkserver" where there is one, else "spawn": workers then start from a clean process,
            whatever threads, locks and devices this one uses. They need what is sent to them to be
            importable (no lambdas, nothing defined in a notebook) and scripts to have the usual
            ``if __name__ == "__main__":``. "fork" needs neither, and is safe as long as no other
            thread of this process holds a lock at that moment.
        generator: random numbers for shuffling and for the workers' seeds.
        prefetch_factor: batches that each worker prepares in advance (2 if not given).
        persistent_workers: keep the workers from one epoch to the next.
        pin_memory_device: has no effect.
        in_order: give batches in order; False gives whichever is ready first.

    Raises:
        ValueError: arguments out of range, or that exclude each other.

    Iterating raises what the dataset raises, also from a worker (with the same class, and the
    worker's traceback as cause), and RuntimeError when a worker dies or does not answer in time.
    A `dataset` with ``__getbatch__`` (see :class:`Dataset`) is asked for whole batches.
    """

    _frozen = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers == 0:
            _refuse("prefetch_factor needs num_workers > 0", prefetch_factor is not None)
            _refuse("persistent_workers needs num_workers > 0", persistent_workers)
            _refuse(
                "multiprocessing_context needs num_workers > 0",
                multiprocessing_context is not None,
            )
        _refuse(f"num_workers must not be negative, got {num_workers}", num_workers < 0)
        _refuse(f"timeout must be finite and not negative, got {timeout}", not 0 <= timeout < 1e9)
        if prefetch_factor is None and num_workers > 0:
            prefetch_factor = 2
        _refuse(
            f"prefetch_factor must be at least 1, got {prefetch_factor}",
            prefetch_factor is not None and prefetch_factor < 1,
        )
        if pin_memory:
            warnings.warn("DataLoader: pin_memory has no effect without a GPU", stacklevel=2)
        _check_exclusions(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last)

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _context(multiprocessing_context)
        self.generator = generator
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.drop_last = drop_last
        self._is_stream = isinstance(dataset, IterableDataset)
        if sampler is None and batch_sampler is None and not self._is_stream:
            if shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self._in_batches = batch_size is not None or batch_sampler is not None
        if collate_fn is None:
            collate_fn = default_collate if self._in_batches else default_convert
        self.collate_fn = collate_fn
        self._workers: Any = None
        self._frozen = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._frozen and name in _FIXED:
            raise ValueError(f"DataLoader: {name} cannot be changed; make a new loader")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        # Drawn in every mode and before the order, so that all of them see the same numbers.
        seed = int(random.fill_integers(np.empty(1, np.int64), 0, 1 << 63, self.generator)[0])
        plan = FetchPlan(self.dataset, self.collate_fn, self._in_batches, self.drop_last)
        if self.num_workers == 0:
            return _LocalIterator(plan.start(), self._indices())
        from fastnn.utils.data._pool import PoolOptions, WorkerIterator  # slow to import

        if self._workers is not None and not self._workers.closed:
            self._workers.restart(self._indices())
            return self._workers
        options = PoolOptions(
            self.num_workers,
            self.prefetch_factor or 2,
            self.timeout,
            self.in_order,
            self.persistent_workers,
        )
        iterator = WorkerIterator(
            options, self.multiprocessing_context, (plan, self.worker_init_fn), seed
        )
        iterator.restart(self._indices())
        if self.persistent_workers:
            self._workers = iterator
        return iterator

    def __len__(self) -> int:
        """The number of batches; for a stream, an estimate from its own length.

        Raises:
            TypeError: the dataset or the sampler has no length.
        """
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        if self.sampler is not None:
            return len(self.sampler)  # type: ignore[arg-type]
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else math.ceil(count / self.batch_size)

    def _indices(self) -> Iterator[Any]:
        """What to fetch, one task after the other."""
        if self._is_stream:
            return itertools.repeat(self.batch_size)
        if self.batch_sampler is not None:
            return index_batches(self.batch_sampler)
        return iter(self.sampler)  # type: ignore[arg-type]


_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class _LocalIterator:
    """One epoch, fetched in this process."""

    def __init__(self, fetch: Callable[[Any], Any], indices: Iterator[Any]) -> None:
        self._fetch = fetch
        self._indices = indices

    def __iter__(self) -> _LocalIterator:
        return self

    def __next__(self) -> Any:
        batch = self._fetch(next(self._indices))
        if batch is END:
            raise StopIteration
        return batch


def _check_exclusions(
    dataset: Any,
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Any,
    batch_sampler: Any,
    drop_last: bool,
) -> None:
    if isinstance(dataset, IterableDataset):
        given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
        for name, value in given.items():
            _refuse(f"an IterableDataset has an order of its own: no {name}", value is not None)
    _refuse("sampler and shuffle exclude each other", sampler is not None and bool(shuffle))
    if batch_sampler is not None:
        _refuse(
            "batch_sampler excludes batch_size, shuffle, sampler and drop_last",
            batch_size != 1 or bool(shuffle) or sampler is not None or drop_last,
        )
    elif batch_size is None:
        _refuse("batch_size=None switches batching off: no drop_last", drop_last)
    else:
        _refuse(
            f"batch_size must be a positive integer, got {batch_size!r}",
            not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1,
        )


def _refuse(message: str, condition: bool) -> None:
    if condition:
        raise ValueError(f"DataLoader: {message}")


def _context(given: Any) -> Any:
    if given is None or not isinstance(given, str):
        return given
    import multiprocessing

    methods = multiprocessing.get_all_start_methods()
    _refuse(
        f"multiprocessing_context must be one of {methods}, got {given!r}", given not in methods
    )
    return multiprocessing.get_context(given)
