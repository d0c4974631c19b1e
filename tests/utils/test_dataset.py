"""Datasets made of datasets."""

import numpy as np
import pytest

import fastnn
from fastnn import utils
from fastnn._errors import ShapeError
from fastnn.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Squares(Dataset):
    def __init__(self, count):
        self.count = count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        return index * index

    def __len__(self):
        return self.count


class Stream(IterableDataset):
    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)


def generator(seed):
    return fastnn.Generator().manual_seed(seed)


def test_the_base_classes_say_what_is_missing():
    with pytest.raises(NotImplementedError, match="Dataset must define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="IterableDataset must define __iter__"):
        iter(IterableDataset())
    assert utils.data.Dataset is Dataset


def test_tensor_dataset():
    x, y = np.arange(12.0).reshape(4, 3), np.arange(4)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 4
    np.testing.assert_array_equal(dataset[2][0], x[2])
    assert dataset[-1][1] == 3
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()
    with pytest.raises(ShapeError, match=r"same first size, got shapes \[\(4, 3\), \(3,\)\]"):
        TensorDataset(x, y[:3])
    with pytest.raises(ShapeError, match="same first size"):
        TensorDataset(np.float32(1).reshape(()))


def test_concat_dataset():
    dataset = Squares(3) + Squares(2) + Squares(4)
    assert list(dataset) == [0, 1, 4, 0, 1, 0, 1, 4, 9]
    assert [dataset[i] for i in range(-9, 0)] == list(dataset)
    for index in (9, -10):
        with pytest.raises(IndexError, match="out of range for 9 samples"):
            dataset[index]
    assert ConcatDataset([Squares(2), Squares(0), Squares(1)])[2] == 0
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="use ChainDataset"):
        ConcatDataset([Stream([1])])


def test_chain_dataset():
    chain = Stream([1, 2]) + Stream([3])
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [1, 2, 3]
    assert len(chain) == 3
    with pytest.raises(TypeError, match="expected IterableDataset, got Squares"):
        list(ChainDataset([Squares(2)]))


def test_stack_dataset():
    rows = StackDataset(Squares(3), Squares(3))
    assert rows[2] == (4, 4)
    assert rows.__getitems__([0, 2]) == [(0, 0), (4, 4)]
    named = StackDataset(a=Squares(3), b=TensorDataset(np.arange(3)))
    assert named[1] == {"a": 1, "b": (1,)}
    assert named.__getitems__([2]) == [{"a": 4, "b": (2,)}]
    assert len(named) == 3
    for args, kwargs in (((), {}), ((Squares(1),), {"a": Squares(1)})):
        with pytest.raises(ValueError, match="in order or by keyword"):
            StackDataset(*args, **kwargs)
    with pytest.raises(ValueError, match=r"one length, got \[3, 2\]"):
        StackDataset(Squares(3), Squares(2))


class Batched(Squares):
    def __getitems__(self, indices):
        return [-index for index in indices[: self.keep]]

    keep = None


def test_getitems_is_used_and_its_length_checked():
    dataset = Batched(5)
    assert [batch.tolist() for batch in DataLoader(dataset, 3)] == [[0, -1, -2], [-3, -4]]
    assert Subset(dataset, [4, 1]).__getitems__([0, 1]) == [-4, -1]
    dataset.keep = 1
    with pytest.raises(ValueError, match="__getitems__ gave 1 samples for 3 indices"):
        next(iter(DataLoader(dataset, 3)))


class Doubled(TensorDataset):
    def __getitem__(self, index):
        return tuple(2 * value for value in super().__getitem__(index))


def test_an_overridden_getitem_switches_the_fast_path_off():
    dataset = Doubled(np.arange(4))
    for source in (dataset, Subset(dataset, range(4)), Subset(dataset, np.arange(4))):
        ((batch,),) = DataLoader(source, 4)
        assert batch.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("kind", [list, np.array, tuple])
def test_subset_by_the_fast_path_equals_item_by_item(rng, kind):
    data = TensorDataset(rng.standard_normal((20, 3)), np.arange(20))
    subset = Subset(data, kind([7, 3, 3, 19, -1]))
    assert len(subset) == 5
    fast = next(iter(DataLoader(subset, 5)))
    slow = next(iter(DataLoader(subset, 5, collate_fn=lambda samples: samples)))
    np.testing.assert_array_equal(fast[0], np.stack([sample[0] for sample in slow]))
    assert fast[1].tolist() == [7, 3, 3, 19, 19]


def test_random_split_by_length():
    parts = random_split(Squares(10), [3, 7, 0], generator(1))
    assert [len(part) for part in parts] == [3, 7, 0]
    indices = [index for part in parts for index in part.indices]
    assert sorted(indices) == list(range(10))
    again = random_split(Squares(10), [3, 7, 0], generator(1))
    assert [part.indices for part in again] == [part.indices for part in parts]
    other = random_split(Squares(10), [3, 7, 0], generator(2))
    assert [part.indices for part in other] != [part.indices for part in parts]
    assert list(parts[0]) == [index * index for index in parts[0].indices]


@pytest.mark.parametrize(
    ("count", "fractions", "sizes"),
    [
        (10, [0.3, 0.7], [3, 7]),
        (30, [0.3, 0.3, 0.4], [9, 9, 12]),
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        (11, [0.5, 0.25, 0.25], [6, 3, 2]),
        (7, [1.0], [7]),
        (1000, [0.1] * 3 + [0.7], [100, 100, 100, 700]),
    ],
)
def test_random_split_by_fraction(count, fractions, sizes):
    assert [len(part) for part in random_split(Squares(count), fractions)] == sizes


def test_random_split_errors():
    with pytest.raises(ValueError, match="add up to 8, but the dataset has 10"):
        random_split(Squares(10), [3, 5])
    with pytest.raises(ValueError, match="must not be negative"):
        random_split(Squares(10), [-1, 11])
    with pytest.warns(UserWarning, match="index 1 is 0"):
        random_split(Squares(2), [0.9, 0.1])
