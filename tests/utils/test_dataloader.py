"""DataLoader in its own process, and what holds for every number of workers."""

import itertools

import numpy as np
import pytest

import fastnn
from fastnn.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    TensorDataset,
)
from tests.utils import samples

WORKERS = pytest.mark.parametrize("num_workers", [0, 1, 2, 3])


def generator(seed=0):
    return fastnn.Generator().manual_seed(seed)


def order_of(loader):
    return [np.asarray(batch["index"]).tolist() for batch in loader]


@WORKERS
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches(num_workers, drop_last):
    loader = DataLoader(samples.Table(10), 4, num_workers=num_workers, drop_last=drop_last)
    batches = list(loader)
    assert len(batches) == len(loader) == (2 if drop_last else 3)
    assert order_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]][: len(batches)]
    np.testing.assert_array_equal(np.asarray(batches[1]["row"]), samples.Table(10).values[4:8])


def test_the_order_is_the_seeds_alone():
    orders = []
    for num_workers, persistent in ((0, False), (1, False), (2, True), (3, False)):
        loader = DataLoader(
            samples.Table(23),
            4,
            shuffle=True,
            num_workers=num_workers,
            persistent_workers=persistent,
            generator=generator(3),
        )
        orders.append([order_of(loader) for _ in range(3)])
    assert orders[0] == orders[1] == orders[2] == orders[3]
    first, second, _ = orders[0]
    assert first != second
    assert sorted(itertools.chain(*first)) == list(range(23))


@WORKERS
def test_samplers(num_workers):
    loader = DataLoader(samples.Table(6), 2, sampler=[5, 3, 1], num_workers=num_workers)
    assert order_of(loader) == [[5, 3], [1]]
    assert len(loader) == 2
    loader = DataLoader(samples.Table(6), batch_sampler=[[1, 2, 3], [0]], num_workers=num_workers)
    assert order_of(loader) == [[1, 2, 3], [0]]
    assert len(loader) == 2
    sampler = BatchSampler(RandomSampler(range(6), generator=generator()), 6, False)
    loader = DataLoader(samples.Table(6), batch_sampler=sampler, num_workers=num_workers)
    assert sorted(order_of(loader)[0]) == list(range(6))


@WORKERS
def test_without_batching(num_workers):
    loader = DataLoader(samples.Table(3), None, num_workers=num_workers)
    items = list(loader)
    assert len(loader) == 3
    assert [item["index"] for item in items] == [0, 1, 2]
    assert np.asarray(items[1]["row"]).tolist() == [3, 4, 5]
    loader = DataLoader(samples.Count(5), None, num_workers=num_workers)
    assert sorted(loader) == [0, 1, 2, 3, 4]


@WORKERS
def test_streams(num_workers):
    loader = DataLoader(samples.Count(10), 3, num_workers=num_workers)
    for _ in range(2):
        batches = [np.asarray(batch).tolist() for batch in loader]
        assert sorted(itertools.chain(*batches)) == list(range(10))
    if num_workers == 2:  # each worker's share in turn, each with its own last batch
        assert batches == [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]
    loader = DataLoader(samples.Count(10), 3, num_workers=num_workers, drop_last=True)
    assert all(len(batch) == 3 for batch in loader)
    assert len(loader) == 3


@WORKERS
def test_collate_fn(num_workers):
    loader = DataLoader(samples.Table(3), 2, num_workers=num_workers, collate_fn=samples.identity)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [2, 1]
    assert batches[1][0]["index"] == 2


@WORKERS
def test_empty_datasets(num_workers):
    assert list(DataLoader(samples.Table(0), 4, num_workers=num_workers)) == []
    assert list(DataLoader(samples.Count(0), 4, num_workers=num_workers)) == []


def test_fast_path_gives_what_the_items_give(rng):
    x, y = rng.standard_normal((50, 4)).astype(np.float32), rng.integers(0, 9, 50)
    dataset = TensorDataset(x, y)
    fast = DataLoader(dataset, 8, shuffle=True, generator=generator())
    slow = DataLoader([dataset[i] for i in range(50)], 8, shuffle=True, generator=generator())
    for one, other in zip(fast, slow, strict=True):
        assert type(one) is type(other) is list
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_indices_of_every_kind_reach_an_array_dataset():
    dataset = TensorDataset(np.arange(6) * 10)
    for indices in ([4, 2], (4, 2), np.array([4, 2]), [np.int8(4), 2], list(fastnn.tensor([4, 2]))):
        ((batch,),) = DataLoader(dataset, batch_sampler=[indices])
        assert batch.tolist() == [40, 20]
    with pytest.raises(IndexError):
        next(iter(DataLoader(dataset, batch_sampler=[[6]])))


def test_batches_do_not_share_memory_with_the_dataset():
    x = np.zeros((4, 2))
    ((batch,),) = DataLoader(TensorDataset(x), 4)
    np.asarray(batch)[:] = 1
    assert not x.any()


def test_length_of_short_and_lengthless_data():
    assert len(DataLoader(samples.Table(5), 8, drop_last=True)) == 0
    assert len(DataLoader(samples.Count(7), 2)) == 4
    assert len(DataLoader(samples.Count(7), 2, drop_last=True)) == 3
    with pytest.raises(TypeError):
        len(DataLoader(samples.Table(3), 2, sampler=iter([1, 2])))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"timeout": -1}, "timeout must be finite and not negative"),
        ({"timeout": float("nan")}, "timeout must be finite"),
        ({"prefetch_factor": 2}, "prefetch_factor needs num_workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor must be at least 1"),
        ({"persistent_workers": True}, "persistent_workers needs num_workers"),
        ({"multiprocessing_context": "fork"}, "multiprocessing_context needs num_workers"),
        ({"num_workers": 1, "multiprocessing_context": "x"}, "must be one of"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"batch_size": 2.0}, "batch_size must be a positive integer"),
        ({"batch_size": True}, "batch_size must be a positive integer"),
        ({"batch_size": None, "drop_last": True}, "no drop_last"),
        ({"sampler": [1], "shuffle": True}, "sampler and shuffle exclude"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler excludes"),
        ({"batch_sampler": [[1]], "shuffle": True}, "batch_sampler excludes"),
        ({"batch_sampler": [[1]], "sampler": [1]}, "batch_sampler excludes"),
        ({"batch_sampler": [[1]], "drop_last": True}, "batch_sampler excludes"),
    ],
)
def test_argument_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(samples.Table(3), **arguments)


@pytest.mark.parametrize(
    "arguments", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}]
)
def test_a_stream_has_its_own_order(arguments):
    with pytest.raises(ValueError, match="IterableDataset has an order of its own"):
        DataLoader(samples.Count(3), **arguments)


def test_settings_are_fixed():
    loader = DataLoader(samples.Table(3))
    for name in ("batch_size", "sampler", "dataset", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} cannot be changed"):
            setattr(loader, name, 1)
    loader.timeout = 3


def test_pin_memory_says_that_it_does_nothing():
    with pytest.warns(UserWarning, match="pin_memory has no effect"):
        DataLoader(samples.Table(3), pin_memory=True)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stray_stop_iteration_does_not_end_the_epoch(num_workers):
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(DataLoader(samples.Stops(), 2, num_workers=num_workers))
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(DataLoader(samples.Stops(), None, num_workers=num_workers))
