"""Samplers."""

import numpy as np
import pytest

import fastnn
from fastnn.utils.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from fastnn.utils.data.sampler import index_batches


def generator(seed=0):
    return fastnn.Generator().manual_seed(seed)


def test_sequential():
    sampler = SequentialSampler("abcd")
    assert list(sampler) == [0, 1, 2, 3]
    assert len(sampler) == 4
    assert all(type(index) is int for index in sampler)


def test_random_is_a_new_permutation_each_pass():
    sampler = RandomSampler(range(50), generator=generator())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert list(RandomSampler(range(50), generator=generator())) == first
    assert list(RandomSampler(range(50), generator=generator(1))) != first


def test_random_with_num_samples():
    assert len(list(RandomSampler(range(10), num_samples=4))) == 4
    sampler = RandomSampler(range(4), num_samples=10)
    order = list(sampler)
    assert len(sampler) == len(order) == 10
    assert sorted(order[:4]) == sorted(order[4:8]) == [0, 1, 2, 3]
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=3000, generator=generator()))
    assert np.bincount(drawn).min() > 900


def test_random_errors():
    with pytest.raises(TypeError, match="replacement must be a bool"):
        RandomSampler([1], replacement=1)
    for count in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="num_samples must be a positive integer"):
            RandomSampler([1], num_samples=count)
    with pytest.raises(ValueError, match="num_samples must be a positive integer"):
        RandomSampler([])
    with pytest.raises(TypeError, match="generator must be a"):
        list(RandomSampler([1, 2], generator=7))


def test_every_permutation_comes_equally_often():
    sampler = RandomSampler(range(3), generator=generator(5))
    counts = {}
    for _ in range(6000):
        order = tuple(sampler)
        counts[order] = counts.get(order, 0) + 1
    # Chi-square with 5 degrees of freedom: 20.5 has a probability of 0.001.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.5


def test_subset_random():
    sampler = SubsetRandomSampler([3, 5, 8], generator())
    assert sorted(sampler) == [3, 5, 8]
    assert len(sampler) == 3


def test_weighted_with_replacement():
    weights = [0.0, 1.0, 3.0, 0.0, 4.0, 0.0]
    drawn = list(WeightedRandomSampler(weights, 8000, generator=generator()))
    counts = np.bincount(drawn, minlength=6)
    assert counts[[0, 3, 5]].tolist() == [0, 0, 0]
    expected = np.array([1000, 3000, 4000])
    assert ((counts[[1, 2, 4]] - expected) ** 2 / expected).sum() < 13.8  # p = 0.001


def test_weighted_without_replacement():
    weights = [1.0, 2.0, 0.0, 4.0]
    first = []
    for seed in range(2000):
        drawn = list(
            WeightedRandomSampler(weights, 3, replacement=False, generator=generator(seed))
        )
        assert sorted(drawn) == [0, 1, 3]
        first.append(drawn[0])
    counts = np.bincount(first, minlength=4)[[0, 1, 3]]
    expected = np.array([1, 2, 4]) * 2000 / 7
    assert ((counts - expected) ** 2 / expected).sum() < 13.8


@pytest.mark.parametrize(
    ("weights", "count", "message"),
    [
        ([1.0], 0, "num_samples must be a positive"),
        ([[1.0]], 1, "one axis"),
        ([1.0, -1.0], 1, "not negative"),
        ([1.0, float("nan")], 1, "finite"),
        ([1.0, float("inf")], 1, "finite"),
        ([0.0, 0.0], 1, "0 weights are positive"),
        ([], 1, "0 weights are positive"),
        ([1.0, 0.0, 1.0], 3, "too few to draw 3 samples without"),
    ],
)
def test_weighted_errors(weights, count, message):
    with pytest.raises(ValueError, match=message):
        WeightedRandomSampler(weights, count, replacement=False)


def test_batch_sampler():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert list(BatchSampler(iter(range(3)), 5, False)) == [[0, 1, 2]]
    assert len(BatchSampler(range(5), 2, False)) == 3
    assert len(BatchSampler(range(5), 2, True)) == 2
    for size in (0, -1, True, 2.0):
        with pytest.raises(ValueError, match="batch_size must be a positive integer"):
            BatchSampler(range(3), size, False)
    with pytest.raises(ValueError, match="drop_last must be a bool"):
        BatchSampler(range(3), 1, 0)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_index_arrays_equal_the_lists(count, drop_last):
    lists = list(BatchSampler(RandomSampler(range(count), generator=generator()), 4, drop_last))
    sampler = BatchSampler(RandomSampler(range(count), generator=generator()), 4, drop_last)
    assert [batch.tolist() for batch in index_batches(sampler)] == lists


class Backwards(SequentialSampler):
    def __iter__(self):
        return reversed(range(len(self)))


class Tens(BatchSampler):
    def __iter__(self):
        yield from ([10 * index for index in batch] for batch in super().__iter__())


def test_subclasses_are_heard():
    assert list(index_batches(BatchSampler(Backwards(range(3)), 2, False))) == [[2, 1], [0]]
    assert list(index_batches(Tens(SequentialSampler(range(3)), 2, False))) == [[0, 10], [20]]
    with pytest.raises(NotImplementedError, match="Sampler must define __iter__"):
        iter(Sampler())
