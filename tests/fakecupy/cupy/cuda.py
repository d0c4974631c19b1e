"""Devices, streams and memory of the stand-in."""

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
        _used += nbytes
        weakref.finalize(self, _give_back, nbytes)


def _give_back(nbytes: int) -> None:
    global _used
    _used -= nbytes


def alloc(nbytes: int) -> Any:
    from . import MemoryPointer

    block = _Block(nbytes)
    return MemoryPointer(block, block.ptr, _device)


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
        pass


class Stream:
    """A stream is only an address here."""

    def __init__(self, ptr: int = 8) -> None:
        self.ptr = ptr

    def __enter__(self) -> Stream:
        _streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _streams.pop()

    def synchronize(self) -> None:
        pass


_streams = [Stream(0)]


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
        return {"name": b"host shim"}
