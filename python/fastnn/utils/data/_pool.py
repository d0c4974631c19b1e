"""The loader's side of its worker processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import warnings
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, NoReturn

from fastnn.utils.data._transport import Inbox, Parcel
from fastnn.utils.data._worker import (
    ERROR,
    EXHAUSTED,
    FETCH,
    NEW_EPOCH,
    START_HINT,
    STOP,
    WorkerOrder,
    rebuild_error,
    run,
)

_WARN_SECONDS = 60.0
_GRACE_SECONDS = 3.0
_TERMINATE_SECONDS = 1.0


@dataclass(frozen=True)
class PoolOptions:
    """See the arguments of :class:`fastnn.utils.data.DataLoader`."""

    num_workers: int
    prefetch_factor: int
    timeout: float
    in_order: bool
    persistent: bool


class _Worker:
    """One worker process, its connection, and whether its stream has more."""

    def __init__(self, context: Any, parcel: Parcel, order: WorkerOrder, others: list) -> None:
        self.id = order.id
        self.active = True
        self.connection, theirs = context.Pipe(duplex=True)
        self.inbox = Inbox(self.connection)
        self.forked = context.get_start_method() == "fork"
        ends = [self.connection, *(other.connection for other in others)]
        inherited = ends if self.forked else []
        self.process = context.Process(
            target=run,
            args=(theirs, parcel, order, inherited),
            name=f"fastnn-loader-{order.id}",
            daemon=True,
        )
        try:
            self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()  # or the end of the process would not close the connection

    def send(self, kind: str, argument: Any = None) -> None:
        # A worker that is gone is found out when its reply is due: earlier ones still count.
        with contextlib.suppress(ConnectionError):
            self.connection.send((kind, argument))

    def __str__(self) -> str:
        return f"DataLoader worker {self.id} (pid {self.process.pid})"


class WorkerIterator:
    """Epochs that are fetched by worker processes; `restart` begins one.

    Each worker has `prefetch_factor` tasks at hand. When its oldest one is answered it gets the
    next; so the batches of worker i of n are i, i + n, i + 2n …, each worker answers in order, and
    taking the workers in turn gives the order of the batches.
    """

    def __init__(self, options: PoolOptions, context: Any, content: Any, seed: int) -> None:
        if multiprocessing.current_process().daemon:
            raise RuntimeError("DataLoader: a worker process cannot have workers, num_workers=0")
        self._options = options
        self._workers: list[_Worker] = []
        self._pending: deque[_Worker] = deque()  # one entry for each unanswered task
        self._indices: Iterator[Any] = iter(())
        self.closed = False
        self._stop = weakref.finalize(self, _stop_workers, self._workers, os.getpid())
        context = context or _default_context()
        parcel = Parcel(content)
        for number in range(options.num_workers):
            worker_seed = (seed + number) % (1 << 63)
            order = WorkerOrder(number, options.num_workers, worker_seed, options.prefetch_factor)
            try:
                self._workers.append(_Worker(context, parcel, order, self._workers))
            except Exception as error:
                self.close(0)
                raise RuntimeError(_start_failure(number, context, error)) from error
            except BaseException:
                self.close(0)
                raise

    def __iter__(self) -> WorkerIterator:
        return self

    def __next__(self) -> Any:
        while self._pending:
            with self._closed_on_failure():
                worker, kind, value = self._receive()
                if kind == EXHAUSTED:
                    worker.active = False
                    continue
                self._give_task(worker)
            if kind == ERROR:
                raise rebuild_error(value)
            return value
        if not self._options.persistent:
            self.close()
        raise StopIteration

    def restart(self, indices: Iterator[Any]) -> None:
        """Begin a new epoch with the same workers."""
        with self._closed_on_failure():
            while self._pending:  # an epoch that was left early
                self._receive()
            self._indices = indices
            for worker in self._workers:
                worker.active = True
                worker.send(NEW_EPOCH)
            for _ in range(self._options.prefetch_factor):
                for worker in self._workers:
                    self._give_task(worker)

    def close(self, grace: float = _GRACE_SECONDS) -> None:
        """End the workers; those that are busy for longer than `grace` seconds are killed."""
        self.closed = True
        self._pending.clear()
        self._stop.detach()
        _stop_workers(self._workers, os.getpid(), grace)

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """Whatever interrupts an exchange with a worker may leave half a message behind, which must
        not be taken for the start of the next one."""
        try:
            yield
        except BaseException:
            self.close(0)
            raise

    def _give_task(self, worker: _Worker) -> None:
        if worker.active:
            for indices in self._indices:
                self._pending.append(worker)
                worker.send(FETCH, indices)
                return

    def _receive(self) -> tuple[_Worker, str, Any]:
        """The next reply: of the worker whose turn it is, or of any one that is ready."""
        if self._options.in_order:
            waiting = [self._pending[0]]
        else:
            waiting = list(dict.fromkeys(self._pending))
        ready = self._wait(waiting)
        worker = next(
            each for each in waiting if each.connection in ready or each.process.sentinel in ready
        )
        self._pending.remove(worker)
        try:
            # A process that ended may have replied before; and one that it started may have kept
            # its end of the connection open.
            if worker.connection not in ready and not worker.connection.poll():
                raise EOFError
            return worker, *worker.inbox.receive()
        except (EOFError, ConnectionError) as error:
            _raise_dead(worker, error)

    def _wait(self, waiting: list[_Worker]) -> list[Any]:
        """Wait for a reply or for the end of one of the workers."""
        timeout = self._options.timeout
        events = [worker.connection for worker in waiting]
        events += [worker.process.sentinel for worker in waiting]
        ready = connection.wait(events, timeout or _WARN_SECONDS)
        if not ready and timeout:
            raise RuntimeError(
                f"DataLoader timed out: {waiting[0]} gave no batch in {timeout} seconds"
            )
        if not ready:
            warnings.warn(
                f"{waiting[0]} has given no batch for {_WARN_SECONDS:.0f} seconds; still waiting. "
                "DataLoader(timeout=...) makes this an error",
                stacklevel=4,
            )
            ready = connection.wait(events)
        return ready


def _default_context() -> Any:
    """A start method that is safe whatever threads this process has."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # The server imports these once; every worker would need them (about 0.1 s each).
    context.set_forkserver_preload(["__main__", "fastnn.utils.data._worker"])
    return context


def _raise_dead(worker: _Worker, error: Exception) -> NoReturn:
    worker.process.join(_GRACE_SECONDS)
    code = worker.process.exitcode
    if code is None:
        ending = "closed its connection"
    elif code >= 0:
        ending = f"exited with code {code}"
    else:
        ending = f"was killed by {signal.Signals(-code).name}"
    text = f"{worker} {ending} before it gave its batch {worker.inbox.count}"
    if code == -signal.SIGKILL:
        text += " (the system does so when memory runs out)"
    elif code == 1 and worker.inbox.count == 0 and not worker.forked:
        text += f"\n{START_HINT}"
    raise RuntimeError(text) from error


def _start_failure(number: int, context: Any, error: Exception) -> str:
    method = context.get_start_method()
    text = f"DataLoader: worker {number} could not be started by {method}: {error}"
    return text if method == "fork" else f"{text}\n{START_HINT}"


def _stop_workers(workers: list[_Worker], owner: int, grace: float = _GRACE_SECONDS) -> None:
    """End all workers: by word, then by signal. Does nothing in a forked copy of the owner."""
    if os.getpid() != owner:
        return
    for worker in workers:
        with contextlib.suppress(OSError):  # it is gone already, or stopped and its inbox full
            os.set_blocking(worker.connection.fileno(), False)
            worker.connection.send((STOP, None))
    deadline = time.monotonic() + grace
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_TERMINATE_SECONDS)
        worker.process.kill()  # one that is stopped does not see the signal to terminate
        worker.process.join()
        worker.process.close()
        worker.connection.close()
    workers.clear()
