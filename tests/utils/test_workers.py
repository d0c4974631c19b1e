"""Worker processes: settings, transport of arrays, and faults."""

import dataclasses
import gc
import multiprocessing
import os
import signal
import time
from functools import partial

import numpy as np
import pytest

import fastnn
from fastnn._errors import ShapeError
from fastnn.utils.data import DataLoader, _pool, get_worker_info
from tests.utils import samples

METHODS = pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
QUICK_METHODS = pytest.mark.parametrize("method", ["fork", "forkserver"])


def children():
    return multiprocessing.active_children()


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    gc.collect()  # an exception's traceback may hold an iterator
    assert children() == []


@METHODS
def test_every_start_method(method):
    loader = DataLoader(
        samples.Calls(samples.pid), 1, num_workers=2, multiprocessing_context=method
    )
    pids = {int(batch[0]) for batch in loader}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_context_object_will_do():
    context = multiprocessing.get_context("fork")
    loader = DataLoader(
        samples.Calls(samples.pid), 4, num_workers=1, multiprocessing_context=context
    )
    assert len(list(loader)) == 2


def test_persistent_workers_stay():
    loader = DataLoader(samples.Calls(samples.pid), 1, num_workers=2, persistent_workers=True)
    pids = [{int(batch[0]) for batch in loader} for _ in range(3)]
    assert pids[0] == pids[1] == pids[2]
    del loader
    assert children() == []


def test_persistent_workers_after_an_epoch_that_was_left():
    loader = DataLoader(samples.Calls(int), 1, num_workers=2, persistent_workers=True)
    assert int(next(iter(loader))[0]) == 0
    assert [int(batch[0]) for batch in loader] == list(range(8))


def test_leaving_early_ends_the_workers():
    for batch in DataLoader(samples.Calls(int), 1, num_workers=2):
        assert int(batch[0]) == 0
        break
    del batch
    assert children() == []


def test_worker_info():
    assert get_worker_info() is None
    batches = list(DataLoader(samples.Info(), None, num_workers=3))
    assert batches == [{"id": i, "workers": 3, "same": True} for i in range(3)]


def test_workers_have_random_numbers_of_their_own():
    def epoch(seed):
        generator = fastnn.Generator().manual_seed(seed)
        loader = DataLoader(
            samples.Calls(samples.noise, 4), None, num_workers=2, generator=generator
        )
        return [tuple(float(value) for value in sample) for sample in loader]

    first = epoch(1)
    assert len(set(first)) == 4
    assert first[1][0] == first[0][0] + 1  # the seed and the worker's number
    assert epoch(1) == first
    assert set(epoch(2)).isdisjoint(first)


def test_worker_init_fn(tmp_path):
    init = partial(samples.write_name, tmp_path)
    list(DataLoader(samples.Calls(int), 2, num_workers=2, worker_init_fn=init))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.parametrize("in_order", [True, False])
def test_in_order_or_as_ready(tmp_path, in_order):
    dataset = samples.Calls(partial(samples.zero_after_three, tmp_path / "three"), 6)
    loader = DataLoader(dataset, None, num_workers=2, in_order=in_order)
    numbers = [int(number) for number in loader]
    assert sorted(numbers) == list(range(6))
    assert numbers.index(1) == (1 if in_order else 0)


# --- transport -----------------------------------------------------------------------------------


@pytest.mark.parametrize("init", [None, samples.switch_shared_memory_off])
def test_arrays_arrive_unharmed(init):
    loader = DataLoader(
        samples.Calls(samples.mixture, 12),
        1,
        num_workers=2,
        collate_fn=samples.identity,
        worker_init_fn=init,
    )
    arrived = [batch[0] for batch in loader]  # all kept: none may be overwritten by a later one
    for index, sample in enumerate(arrived):
        for key, value in samples.mixture(index).items():
            np.testing.assert_array_equal(sample[key], value)
            if isinstance(value, np.ndarray):
                assert sample[key].dtype == value.dtype
                assert sample[key].flags.writeable


def _open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts files in /proc")
@QUICK_METHODS
def test_nothing_leaks(method):
    def epoch():
        dataset = samples.Calls(samples.mixture, 6)
        loader = DataLoader(dataset, None, num_workers=2, multiprocessing_context=method)
        assert len(list(loader)) == 6
        next(iter(loader))

    epoch()
    before, shared = _open_files(), set(os.listdir("/dev/shm"))
    for _ in range(3):
        epoch()
    assert _open_files() == before
    assert set(os.listdir("/dev/shm")) <= shared


@METHODS
def test_workers_may_change_their_copy_and_share_what_is_shared(method):
    dataset = samples.Shared(multiprocessing.get_context(method))
    batches = list(
        DataLoader(dataset, None, num_workers=2, prefetch_factor=1, multiprocessing_context=method)
    )
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]]
    assert [np.asarray(batch).tolist() for batch in batches] == expected
    assert dataset.calls.value == 4
    assert not dataset.data.any()


def test_large_tasks_and_replies_do_not_block_each_other():
    count = 200_000  # indices of one batch: more than a socket holds
    loader = DataLoader(
        range(5 * count), count, num_workers=1, worker_init_fn=samples.switch_shared_memory_off,
        collate_fn=np.array, prefetch_factor=4, timeout=30,
    )  # fmt: skip
    total = 0
    for batch in loader:
        time.sleep(0.01)
        total += len(batch)
    assert total == 5 * count


# --- faults --------------------------------------------------------------------------------------


@QUICK_METHODS
@pytest.mark.parametrize(
    "kind", [KeyError, samples.Detailed, ConnectionResetError, FileNotFoundError]
)
def test_exceptions_keep_class_and_traceback(method, kind):
    loader = DataLoader(
        samples.Calls(partial(samples.raise_at_three, kind)),
        2,
        num_workers=2,
        multiprocessing_context=method,
    )
    with pytest.raises(kind, match="lost") as info:
        list(loader)
    assert type(info.value) is kind
    assert info.value.detail == 42
    assert "raise_at_three" in str(info.value.__cause__)
    assert "in DataLoader worker 1" in str(info.value.__cause__)


def test_an_exception_that_cannot_be_pickled():
    loader = DataLoader(
        samples.Calls(partial(samples.raise_at_three, samples.OddError)), 2, num_workers=1
    )
    with pytest.raises(RuntimeError, match="OddError in DataLoader worker 0: 1 and 2") as info:
        list(loader)
    assert "raise_at_three" in str(info.value.__cause__)


def test_the_epoch_can_go_on_after_an_exception():
    iterator = iter(
        DataLoader(samples.Calls(partial(samples.raise_at_three, KeyError)), 2, num_workers=2)
    )
    assert np.asarray(next(iterator)).tolist() == [0, 1]
    with pytest.raises(KeyError):
        next(iterator)
    assert [np.asarray(batch).tolist() for batch in iterator] == [[4, 5], [6, 7]]


def test_exceptions_before_the_first_batch():
    with pytest.raises(ZeroDivisionError, match="no good"):
        list(DataLoader(samples.Calls(int), num_workers=2, worker_init_fn=samples.fail))
    with pytest.raises(ZeroDivisionError, match="no good"):
        list(DataLoader(samples.BadStream(), num_workers=2))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_ragged_batch_names_the_shapes(num_workers):
    iterator = iter(DataLoader(samples.Calls(samples.ragged), 4, num_workers=num_workers))
    with pytest.raises(ShapeError, match=r"\(3,\) at position 0 and \(2,\) at position 2"):
        next(iterator)


def test_a_batch_that_cannot_be_sent():
    with pytest.raises(Exception, match="pickle") as info:
        list(DataLoader(samples.Calls(samples.make_lambda), None, num_workers=1))
    assert "in DataLoader worker 0" in str(info.value.__cause__)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_dataset_that_cannot_be_sent(method):
    loader = DataLoader(samples.Calls(lambda i: i), num_workers=2, multiprocessing_context=method)
    with pytest.raises(RuntimeError, match="worker 0 could not be started") as info:
        iter(loader)
    assert 'multiprocessing_context="fork"' in str(info.value)


@QUICK_METHODS
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit", "exited with code 7"),
        (signal.SIGKILL, r"was killed by SIGKILL .* \(the system does so when memory runs out"),
        (signal.SIGTERM, "was killed by SIGTERM"),
    ],
)
def test_a_worker_that_dies_is_an_error(method, how, message):
    loader = DataLoader(
        samples.Calls(partial(samples.end_at_five, how)),
        1,
        num_workers=2,
        multiprocessing_context=method,
        timeout=20,
    )
    seen = []
    with pytest.raises(RuntimeError, match=f"DataLoader worker 1 .*{message}"):
        seen.extend(int(batch[0]) for batch in loader)
    assert seen == [0, 1, 2, 3, 4]


def test_a_worker_killed_from_outside():
    iterator = iter(
        DataLoader(samples.Calls(samples.pid, 100), 1, num_workers=1, prefetch_factor=1)
    )
    pid = int(next(iterator)[0])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="was killed by SIGKILL"):
        for _ in iterator:
            pass


def test_persistent_workers_are_replaced_after_a_death():
    loader = DataLoader(samples.Calls(samples.pid, 6), 1, num_workers=2, persistent_workers=True)
    pids = [int(batch[0]) for batch in loader]
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="was killed by SIGKILL"):
        list(loader)
    again = [int(batch[0]) for batch in loader]
    assert set(again).isdisjoint(pids)


def test_a_stalled_worker_times_out():
    loader = DataLoader(samples.Calls(samples.stall_at_two), 1, num_workers=2, timeout=0.4)
    with pytest.raises(RuntimeError, match=r"timed out: DataLoader worker \d .* 0\.4 seconds"):
        list(loader)


def test_a_stopped_worker_times_out():
    iterator = iter(DataLoader(samples.Calls(samples.pid, 100), 1, num_workers=1, timeout=20))
    os.kill(int(next(iterator)[0]), signal.SIGSTOP)
    iterator._options = dataclasses.replace(iterator._options, timeout=0.2)
    with pytest.raises(RuntimeError, match="timed out"):
        for _ in iterator:
            pass


def test_without_timeout_there_is_a_warning(monkeypatch, tmp_path):
    def warn(message, stacklevel):
        assert "has given no batch for" in message
        (tmp_path / "warned").touch()  # which ends the wait

    monkeypatch.setattr(_pool, "_WARN_SECONDS", 0.1)
    monkeypatch.setattr(_pool.warnings, "warn", warn)
    waiting = partial(samples.when_there, tmp_path / "warned")
    assert len(list(DataLoader(samples.Calls(waiting, 2), 1, num_workers=1))) == 2


def test_workers_cannot_have_workers():
    with pytest.raises(RuntimeError, match="a worker process cannot have workers"):
        list(DataLoader(samples.Calls(samples.nested), num_workers=1))


def test_a_forked_copy_of_the_loader_leaves_the_workers_alone():
    iterator = iter(DataLoader(samples.Calls(int, 20), 1, num_workers=2))
    next(iterator)
    pid = os.fork()
    if pid == 0:
        del iterator
        gc.collect()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert [int(batch[0]) for batch in iterator] == list(range(1, 20))
