"""What runs inside a worker process."""

from __future__ import annotations

import os
import pickle
import random
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import numpy as np

import fastnn
from fastnn import _core
from fastnn.utils.data._fetch import END, FetchPlan
from fastnn.utils.data._info import WorkerInfo, set_worker_info
from fastnn.utils.data._transport import Outbox, Parcel

# Tasks, from the loader to a worker; every FETCH gets one reply, in order.
NEW_EPOCH, FETCH, STOP = "new epoch", "fetch", "stop"
# Replies.
BATCH, EXHAUSTED, ERROR = "batch", "exhausted", "error"

START_HINT = (
    "With this start method, dataset, collate_fn and worker_init_fn must be defined in a module "
    "that can be imported (no lambdas, nothing from a notebook or a prompt), and a script must do "
    'its work under `if __name__ == "__main__":`. Else pass multiprocessing_context="fork".'
)


@dataclass(frozen=True)
class WorkerOrder:
    """What a worker process is told when it starts; `slots` is the most tasks it has at hand."""

    id: int
    num_workers: int
    seed: int
    slots: int


class RemoteError(Exception):
    """The traceback of an exception in a worker, shown as the cause of the exception it became."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def run(
    connection: Connection, parcel: Parcel, order: WorkerOrder, inherited: Sequence[Connection]
) -> None:
    """Serve tasks until told to stop. `inherited` are the loader's ends of connections, which a
    forked process has to close to see the loader's process end."""
    # Ctrl-C reaches the whole process group; the loader's process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in inherited:
        end.close()
    tasks: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    threading.Thread(target=_read_tasks, args=(connection, tasks), daemon=True).start()
    outbox = Outbox(connection, order.slots)
    try:
        start = _set_up(parcel, order).start
    except Exception as error:
        start = partial(_raise, error)  # the answer to every task
    fetch: Callable[[Any], Any] | None = None
    while True:
        kind, argument = tasks.get()
        if kind == STOP:
            return
        if kind == NEW_EPOCH:
            fetch = None
            continue
        try:
            if fetch is None:
                fetch = start()
            batch = fetch(argument)
            reply = (EXHAUSTED, None) if batch is END else (BATCH, batch)
            del batch
        except Exception as error:
            reply = (ERROR, _describe(error, order.id))
        try:
            outbox.send(reply)
        except ConnectionError:
            return
        except Exception as error:  # it cannot be pickled, or there is no memory for it
            outbox.send((ERROR, _describe(error, order.id)))
        del reply  # its arrays need not wait for the next task


def rebuild_error(description: tuple[bytes | None, str, str]) -> Exception:
    """The exception that a worker described, with the worker's traceback as its cause."""
    pickled, summary, trace = description
    try:
        error = RuntimeError(summary) if pickled is None else pickle.loads(pickled)
    except Exception:
        error = RuntimeError(summary)
    error.__cause__ = RemoteError(trace)
    return error


def _read_tasks(connection: Connection, tasks: SimpleQueue) -> None:
    """Take tasks off the connection at once, so that the loader never waits to send one while this
    process waits to send a batch; and end this process when the loader's is gone."""
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            os._exit(1)
        tasks.put(task)
        if task[0] == STOP:
            return


def _set_up(parcel: Parcel, order: WorkerOrder) -> FetchPlan:
    try:
        plan, worker_init_fn = parcel.open()
    except Exception as error:
        raise RuntimeError(
            f"DataLoader: worker {order.id} cannot rebuild what it was sent: "
            f"{type(error).__name__}: {error}\n{START_HINT}"
        ) from error
    _core.set_num_threads(1)  # the workers themselves are what runs in parallel
    random.seed(order.seed)
    words = np.random.SeedSequence(order.seed).generate_state(4)
    np.random.seed(words)  # noqa: NPY002 - datasets may draw from NumPy's global generator
    fastnn.random.manual_seed(order.seed)
    set_worker_info(WorkerInfo(order.id, order.num_workers, order.seed, plan.dataset))
    if worker_init_fn is not None:
        worker_init_fn(order.id)
    return plan


def _raise(error: Exception) -> Any:
    raise error


def _describe(error: Exception, worker: int) -> tuple[bytes | None, str, str]:
    trace = "".join(traceback.format_exception(error))
    trace = f'in DataLoader worker {worker}:\n"""\n{trace}"""'
    summary = f"{type(error).__name__} in DataLoader worker {worker}: {error}"
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:
        return None, summary, trace
    return pickled, summary, trace
