"""How objects with large arrays travel between a loader and its worker processes.

The structure of an object is pickled; the bytes of its arrays go through anonymous shared memory.
Anonymous memory has no name that could be left behind: the kernel frees it when the last process
that maps it ends, however it ends. Blocks are used again and again, so their pages are warm. Where
there is no such memory (os.memfd_create is Linux) the bytes go through the socket with the rest.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
from collections.abc import Iterable
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import ml_dtypes
import numpy as np

_ALIGNMENT = 64
_HAS_MEMFD = hasattr(os, "memfd_create")

Span = tuple[int, int]


class Parcel:
    """What every worker gets when it starts.

    A forked worker inherits the content. For the other start methods it is pickled as part of the
    process object (so that locks and queues may be in it, too), and the workers share one copy of
    its arrays, which they may change: a page that is written to becomes the writer's own.
    """

    def __init__(self, content: Any) -> None:
        self._content = content
        self._stream = b""
        self._spans: list[Span] = []
        self._shared: tuple[Any, int] | None = None
        # While these buffers are kept, no other array can have their addresses.
        self._buffers: list[pickle.PickleBuffer] = []
        self._block: _Block | None = None

    def __getstate__(self) -> tuple[bytes, list[Span], tuple[Any, int] | None]:
        buffers: list[pickle.PickleBuffer] = []
        stream = _dumps(self._content, buffers)
        spans, size = _layout(buffers)
        if size == 0 or not _HAS_MEMFD:
            return _dumps(self._content, None), [], None
        if self._block is None or _addresses(buffers) != _addresses(self._buffers):
            self._block = _Block(size)
            self._block.write(buffers, spans)
            self._buffers = buffers
        return stream, spans, (reduction.DupFd(self._block.fd), size)

    def __setstate__(self, state: tuple[bytes, list[Span], tuple[Any, int] | None]) -> None:
        self._content = None
        self._stream, self._spans, self._shared = state

    def open(self) -> Any:
        """The content; in a worker of its own copy (called once)."""
        if not self._stream:
            return self._content
        if self._shared is None:
            return pickle.loads(self._stream)
        handle, size = self._shared
        fd = handle.detach()
        memory = memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_COPY))
        os.close(fd)
        return pickle.loads(self._stream, buffers=[memory[a:b] for a, b in self._spans])


class Outbox:
    """The worker's side: sends replies, keeping up to `slots` unread ones in shared memory.

    The reader must have read all but `slots` - 1 of the replies before the next one is sent.
    """

    def __init__(self, connection: Connection, slots: int) -> None:
        self._connection = connection
        self._blocks: list[_Block | None] = [None] * slots
        self._count = 0

    def send(self, reply: Any) -> None:
        """Send; when this raises because `reply` cannot be pickled, nothing was sent."""
        buffers: list[pickle.PickleBuffer] = []
        stream = _dumps(reply, buffers)
        spans, size = _layout(buffers)
        slot = self._count % len(self._blocks)
        if size == 0 or not _HAS_MEMFD:
            inline = [bytearray(buffer.raw()) for buffer in buffers]  # unlike bytes, writable
            self._connection.send((stream, inline, None, 0))
        else:
            block = self._blocks[slot]
            capacity = 0
            if block is None or block.size < size:
                capacity = max(size, 2 * block.size if block else 0)
                block = self._blocks[slot] = _Block(capacity)
            block.write(buffers, spans)
            self._connection.send((stream, spans, slot, capacity))
            if capacity:
                reduction.send_handle(self._connection, block.fd, 0)  # the receiver: any
        self._count += 1


class Inbox:
    """The loader's side of one worker: receives replies."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks: dict[int, mmap.mmap] = {}
        self.count = 0

    def receive(self) -> Any:
        """Wait for the next reply. Its arrays are copies, free to keep and to change.

        Raises:
            EOFError, OSError: the worker is gone.
        """
        stream, parts, slot, capacity = self._connection.recv()
        self.count += 1
        if slot is None:
            return pickle.loads(stream, buffers=parts)
        if capacity:
            fd = reduction.recv_handle(self._connection)
            self._blocks[slot] = mmap.mmap(fd, capacity, access=mmap.ACCESS_READ)
            os.close(fd)
        shared = np.frombuffer(self._blocks[slot], np.uint8)
        return pickle.loads(stream, buffers=[shared[a:b].copy() for a, b in parts])


class _Block:
    """Anonymous shared memory, mapped for writing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("fastnn-loader", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size)

    def write(self, buffers: Iterable[pickle.PickleBuffer], spans: Iterable[Span]) -> None:
        memory = np.frombuffer(self._memory, np.uint8)
        for buffer, (start, end) in zip(buffers, spans, strict=True):
            memory[start:end] = np.frombuffer(buffer.raw(), np.uint8)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def _dumps(content: Any, buffers: list[pickle.PickleBuffer] | None) -> bytes:
    file = io.BytesIO()
    callback = None if buffers is None else buffers.append
    pickler = pickle.Pickler(file, 5, buffer_callback=callback)
    # What multiprocessing can send (connections, locks, shared values), this can send as well.
    table = reduction.ForkingPickler(io.BytesIO()).dispatch_table
    table[np.ndarray] = _reduce_array
    pickler.dispatch_table = table
    pickler.dump(content)
    return file.getvalue()


def _reduce_array(array: np.ndarray) -> Any:
    if array.dtype != ml_dtypes.bfloat16:
        return array.__reduce_ex__(5)
    # NumPy hands out buffers of its own types only.
    return np.ndarray.view, (array.view(np.uint16), array.dtype)


def _layout(buffers: Iterable[pickle.PickleBuffer]) -> tuple[list[Span], int]:
    spans = []
    end = 0
    for buffer in buffers:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = start + buffer.raw().nbytes
        spans.append((start, end))
    return spans, end


def _addresses(buffers: Iterable[pickle.PickleBuffer]) -> list[Span]:
    arrays = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
    return [(array.ctypes.data, array.nbytes) for array in arrays]
