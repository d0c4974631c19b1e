"""utils.data against PyTorch's: signatures, collation and splits."""

import inspect
from collections import namedtuple

import numpy as np
import pytest

import fastnn
from fastnn.utils import data

torch = pytest.importorskip("torch")
torch_data = pytest.importorskip("torch.utils.data")

Point = namedtuple("Point", ["x", "y"])

CALLABLES = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "RandomSampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
]


@pytest.mark.parametrize("name", CALLABLES)
def test_signatures(name):
    ours = inspect.signature(getattr(data, name)).parameters.values()
    theirs = inspect.signature(getattr(torch_data, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in ours] == [
        (p.name, p.kind, p.default) for p in theirs
    ]


def plain(value):
    """Structure, types and values, with tensors of either library written alike."""
    if isinstance(value, torch.Tensor | fastnn.Tensor):
        dtype = str(value.dtype).rpartition(".")[2]
        return ("tensor", dtype, tuple(value.shape), value.tolist())
    if isinstance(value, dict):
        return (type(value).__name__, {key: plain(entry) for key, entry in value.items()})
    if isinstance(value, list | tuple):
        return (type(value).__name__, [plain(entry) for entry in value])
    return value


BATCHES = [
    [1, 2],
    [True, False],
    [1.5, 2.5],
    [1, 2.5],
    [1.5, 2],
    ["a", "b"],
    [b"a", b"b"],
    [(1, "a"), (2, "b")],
    [[1, 2.0], [3, 4.0]],
    [{"a": 1, "b": (2.0, "c")}] * 3,
    [Point(1, 2.0), Point(3, 4.0)],
    [np.arange(3), np.arange(3)],
    [np.float32(1), np.float32(2)],
    [np.array(1.0), np.array(2.0)],
    [np.int16(1), np.int16(2)],
    [np.bool_(True)],
    [np.zeros((2, 0), np.uint8)] * 2,
]


@pytest.mark.parametrize("batch", BATCHES, ids=[repr(batch)[:30] for batch in BATCHES])
def test_collate_and_convert(batch):
    assert plain(data.default_collate(batch)) == plain(torch_data.default_collate(batch))
    assert plain(data.default_convert(batch)) == plain(torch_data.default_convert(batch))


@pytest.mark.parametrize(
    "batch", [[None], [object()], [{1}], [[1], [1, 2]], [np.zeros(2), np.zeros(3)], [1j]]
)
def test_collate_refuses_what_torch_refuses(batch):
    with pytest.raises((TypeError, RuntimeError)) as theirs:
        torch_data.default_collate(batch)
    with pytest.raises(theirs.type):
        data.default_collate(batch)


@pytest.mark.parametrize("lengths", [[3, 7], [0.3, 0.7], [1 / 3] * 3, [0.25, 0.25, 0.5], [10]])
def test_split_sizes(lengths):
    ours = [len(part) for part in data.random_split(range(10), lengths)]
    assert ours == [len(part) for part in torch_data.random_split(range(10), lengths)]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 10, 11])
def test_batches(drop_last, batch_size):
    ours = data.DataLoader(range(10), batch_size, drop_last=drop_last)
    theirs = torch_data.DataLoader(range(10), batch_size, drop_last=drop_last)
    assert len(ours) == len(theirs)
    assert [batch.tolist() for batch in ours] == [batch.tolist() for batch in theirs]
