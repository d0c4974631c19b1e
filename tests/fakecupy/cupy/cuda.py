"""Devices, streams and memory of the stand-in; using memory on a stream that has not waited for it is an error."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

_used = 0
_device = 0


def used() -> int:
    return _used


class _Block:
    """Poisoned memory, aligned as a GPU's is; counts what is in use."""

    def __init__(self, nbytes: int) -> None:
        global _used
        self.room = np.full(nbytes + 512, 0xFF, np.uint8)
        start = self.room.__array_interface__["data"][0]
        self.ptr = (start + 255) // 256 * 256
        self.last_use = _streams[-1].next_work()
        _used += nbytes
        weakref.finalize(self, _give_back, nbytes)


def _give_back(nbytes: int) -> None:
    global _used
    _used -= nbytes


def alloc(nbytes: int) -> Any:
    from . import MemoryPointer

    if nbytes > memory_limit:
        raise OutOfMemoryError(f"Out of memory allocating {nbytes:,} bytes")
    block = _Block(nbytes)
    return MemoryPointer(block, block.ptr, _device)


memory_limit = 1 << 40  # tests lower it


class OutOfMemoryError(MemoryError):
    pass


class Device:
    """One of the stand-in's devices."""

    def __init__(self, id: int | None = None) -> None:
        self.id = _device if id is None else id

    def use(self) -> None:
        global _device
        _device = self.id

    def __enter__(self) -> Device:
        self.before = _device
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        Device(self.before).use()

    def synchronize(self) -> None:
        for stream in _all_streams:
            stream.synchronize()


# ---- Streams: who has waited for whom ----
#
# Work on a stream is numbered. A stream knows up to which number it comes after the work of each other one. Kernels have
# run when a launch returns, so a missing wait shows in no value: it is found here, when memory is used.


class Stream:
    """A queue of work; ``null`` and blocking streams wait for each other, as the legacy default stream does."""

    def __init__(self, null: bool = False, non_blocking: bool = False, device_id: int = -1) -> None:
        self.ptr = 0 if null else 8 * (1 + len(_all_streams))
        self.null, self.non_blocking, self.device_id = null, non_blocking, device_id
        self.work = self.finished = 0  # numbered so far; that the host has waited for
        self.after: dict[int, int] = {}
        _all_streams.append(self)

    def next_work(self) -> tuple[Stream, int]:
        self.work += 1
        return self, self.work

    def is_after(self, other: Stream, work: int) -> bool:
        implicit = (self.null and not other.non_blocking) or (other.null and not self.non_blocking)
        known = max(other.finished, self.after.get(id(other), 0))
        return self is other or implicit or work <= known

    def wait_event(self, event: Event) -> None:
        for stream, work in event.after.items():
            self.after[stream] = max(work, self.after.get(stream, 0))

    def synchronize(self) -> None:
        self.finished = self.work
        for stream in _all_streams:
            stream.finished = max(stream.finished, self.after.get(id(stream), 0))

    def __enter__(self) -> Stream:
        _streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _streams.pop()


class Event:
    """A point in a stream's work."""

    def __init__(self, **_: Any) -> None:
        self.after: dict[int, int] = {}

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or get_current_stream()
        self.after = {**stream.after, id(stream): stream.work}

    def synchronize(self) -> None:
        for stream in _all_streams:
            stream.finished = max(stream.finished, self.after.get(id(stream), 0))


class StreamOrderError(RuntimeError):
    """Memory is used on a stream that does not wait for what was done with it on another."""


def use(block: Any) -> None:
    """The current stream is about to use a block of memory."""
    if not isinstance(block, _Block):  # NumPy's own, of a result that the stand-in computed
        return
    stream, (last, work) = _streams[-1], block.last_use
    if not stream.is_after(last, work):
        raise StreamOrderError(
            f"an array was last used on stream {last.ptr} and is now used on stream {stream.ptr}, which has waited "
            "neither for an event of that stream nor for the device"
        )
    block.last_use = stream.next_work()


_all_streams: list[Stream] = []
_streams = [Stream(null=True)]


def get_current_stream() -> Stream:
    return _streams[-1]


class runtime:
    @staticmethod
    def getDeviceCount() -> int:
        return 1

    @staticmethod
    def getDevice() -> int:
        return _device

    @staticmethod
    def getDeviceProperties(index: int) -> dict:
        return {"name": b"host shim", "major": 8, "minor": 0}
