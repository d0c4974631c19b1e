"""Batches of tensors: collation, the fast path, and the way from a worker."""

import numpy as np
import pytest

import fastnn
from fastnn._errors import DTypeError
from fastnn.utils.data import DataLoader, TensorDataset, default_collate, default_convert
from tests.utils import samples


def test_results_are_tensors():
    row, numbers, floats = default_collate([(np.zeros(3, np.int8), 1, 0.5)] * 2)
    assert all(isinstance(value, fastnn.Tensor) for value in (row, numbers, floats))
    assert (row.dtype, numbers.dtype, floats.dtype) == (fastnn.int8, fastnn.int64, fastnn.float64)
    assert row.shape == (2, 3)
    assert isinstance(default_convert(np.zeros(2)), fastnn.Tensor)
    tensor = fastnn.zeros(2)
    assert default_convert(tensor) is tensor


def test_tensors_are_stacked(rng):
    parts = [fastnn.from_numpy(rng.standard_normal((2, 3))) for _ in range(4)]
    result = default_collate(parts)
    np.testing.assert_array_equal(result.numpy(), np.stack([part.numpy() for part in parts]))
    assert default_collate([fastnn.tensor(1), fastnn.tensor(2)]).tolist() == [1, 2]


def test_gradients_pass_through_collation():
    leaf = fastnn.tensor([1.0, 2.0], requires_grad=True)
    default_collate([2 * leaf, leaf]).sum().backward()
    assert leaf.grad.tolist() == [3.0, 3.0]


def test_mixed_dtypes_are_promoted_as_tensors_are():
    batch = [np.ones(2, np.int64), np.ones(2, np.float32)]
    assert default_collate(batch).dtype == fastnn.float32  # NumPy would say float64
    tensors = [fastnn.from_numpy(array) for array in batch]
    assert default_collate(tensors).dtype == fastnn.float32


def test_dtypes_that_no_tensor_has():
    with pytest.raises(DTypeError, match="uint32"):
        default_collate([np.zeros(2, np.uint32)] * 2)


def test_mixed_types_are_refused():
    with pytest.raises(TypeError, match="Tensor at position 0 and ndarray at position 1"):
        default_collate([fastnn.zeros(2), np.zeros(2)])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_tensor_dataset(rng, num_workers):
    x = rng.standard_normal((10, 2)).astype(np.float32)
    dataset = TensorDataset(fastnn.from_numpy(x), fastnn.arange(10))
    batches = list(DataLoader(dataset, 4, num_workers=num_workers))
    assert [len(batch[0]) for batch in batches] == [4, 4, 2]
    rows, numbers = batches[1]
    assert isinstance(rows, fastnn.Tensor)
    np.testing.assert_array_equal(rows.numpy(), x[4:8])
    assert numbers.tolist() == [4, 5, 6, 7]
    assert dataset[3][1].item() == 3


def test_tensors_come_from_workers_unharmed():
    loader = DataLoader(samples.Calls(samples.tensors, 6), None, num_workers=2)
    for index, batch in enumerate(loader):
        expected = samples.tensors(index)
        assert batch.keys() == expected.keys()
        for key, tensor in batch.items():
            assert type(tensor) is type(expected[key])
            assert tensor.dtype == expected[key].dtype
            assert tensor.requires_grad == expected[key].requires_grad
            assert tensor.tolist() == expected[key].tolist()
        batch["plain"].add_(1)  # the memory is its own


def test_a_tensor_with_history_cannot_leave_a_worker():
    loader = DataLoader(samples.Calls(samples.with_history), None, num_workers=1)
    with pytest.raises(RuntimeError, match="detach"):
        next(iter(loader))


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_kernels_run_in_workers_after_they_ran_here(method):
    big = fastnn.ones(500, 500)
    assert (big @ big)[0, 0].item() == 500
    loader = DataLoader(
        samples.Calls(samples.product, 4), 2, num_workers=2, multiprocessing_context=method,
        timeout=60,
    )  # fmt: skip
    first, second = loader
    assert first.tolist() == [[0.0] * 3, [300.0] * 3]
    assert second.tolist() == [[1200.0] * 3, [2700.0] * 3]
