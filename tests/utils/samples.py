"""What the loader tests load. Worker processes import this file: it has to be quick to import."""

import os
import random
import time

import numpy as np

import fastnn
from fastnn.utils.data import DataLoader, Dataset, IterableDataset, _transport, get_worker_info


class Calls(Dataset):
    """Items are what a function makes of the index."""

    def __init__(self, function, count=8):
        self.function = function
        self.count = count

    def __getitem__(self, index):
        return self.function(index)

    def __len__(self):
        return self.count


def pid(index):
    return os.getpid()


def noise(index):
    info = get_worker_info()
    return [info.seed, random.random(), np.random.random()]  # noqa: NPY002


class Info(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        yield {"id": info.id, "workers": info.num_workers, "same": info.dataset is self}


def write_name(folder, worker):
    (folder / str(worker)).write_text(str(get_worker_info().seed))


def when_there(path, value):
    """`value`, but not before there is a file `path`."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return value


def zero_after_three(path, index):
    if index == 3:
        path.touch()
    return when_there(path, index) if index == 0 else index


def mixture(index):
    rng = np.random.default_rng(index)
    return {
        "big": rng.standard_normal((index * 37, 501)),
        "strided": rng.standard_normal((40, 30)).T,
        "fortran": np.asfortranarray(rng.standard_normal((20, 30))),
        "empty": np.empty((0, 3), np.int8),
        "zero-d": np.array(index),
        "text": f"sample {index}",
        "halves": rng.integers(0, 9, 1000).astype(np.float16),
    }


def identity(batch):
    return batch


def switch_shared_memory_off(worker):
    _transport._HAS_MEMFD = False


class Shared(Dataset):
    """A large array, and a counter that all processes share."""

    def __init__(self, context):
        self.data = np.zeros(1 << 20)
        self.calls = context.Value("i", 0)

    def __getitem__(self, index):
        with self.calls.get_lock():
            self.calls.value += 1
        self.data[index] += 1  # in this process only
        return self.data[:4].copy()

    def __len__(self):
        return 4


class OddError(Exception):
    """An exception that cannot be pickled back."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class Detailed(KeyError):
    def __init__(self, key, detail=None):
        super().__init__(key)
        self.detail = detail


def raise_at_three(kind, index):
    if index == 3:
        if kind is OddError:
            raise OddError(1, 2)
        error = kind("lost")
        error.detail = 42
        raise error
    return index


def fail(*args):
    raise ZeroDivisionError("no good")


class BadStream(IterableDataset):
    __iter__ = fail


def ragged(index):
    return np.zeros(3 if index < 2 else index)


def make_lambda(index):
    return lambda: index


def end_at_five(how, index):
    if index == 5:
        if how == "exit":
            os._exit(7)
        os.kill(os.getpid(), how)
    return index


def stall_at_two(index):
    if index == 2:
        time.sleep(600)
    return index


def nested(index):
    return len(list(DataLoader(Calls(int), num_workers=1)))


class Table(Dataset):
    """Samples that are arrays and numbers, made one by one."""

    def __init__(self, count, width=3):
        self.values = np.arange(count * width, dtype=np.float32).reshape(count, width)

    def __getitem__(self, index):
        return {"row": self.values[index], "index": index}

    def __len__(self):
        return len(self.values)


class Count(IterableDataset):
    """0 … end - 1, shared out among the workers."""

    def __init__(self, end):
        self.end = end

    def __iter__(self):
        info = get_worker_info()
        if info is None:
            return iter(range(self.end))
        return iter(range(info.id, self.end, info.num_workers))

    def __len__(self):
        return self.end


class Stops(Dataset):
    def __getitem__(self, index):
        raise StopIteration

    def __len__(self):
        return 4


def tensors(index):
    rows = np.random.default_rng(index).standard_normal((300, 200)).astype(np.float32)
    return {
        "plain": fastnn.from_numpy(rows),
        "half": fastnn.from_numpy(rows).to(fastnn.bfloat16),
        "view": fastnn.from_numpy(rows)[::2].t(),
        "leaf": fastnn.ones(3, requires_grad=True),
        "parameter": fastnn.nn.Parameter(fastnn.ones(3) * index),
        "flag": fastnn.tensor(index % 2 == 0),
        "empty": fastnn.zeros(0, 4),
    }


def with_history(index):
    return 2 * fastnn.ones(3, requires_grad=True)


def product(index):
    a = fastnn.full((200, 300), float(index))
    return (a @ a.t())[0, :3]
