"""GPUs: which there are, the current stream, memory. Loaded at first use; without a GPU `is_available()` is False."""

from __future__ import annotations

from typing import Any

from . import _cuda


def is_available() -> bool:
    """Whether tensors can be made on a GPU. Never raises."""
    try:
        _cuda.load()
    except RuntimeError:
        return False
    return True


def why_unavailable() -> str | None:
    """What is missing for CUDA; None when nothing is."""
    try:
        _cuda.load()
    except RuntimeError as e:
        return str(e)
    return None


def device_count() -> int:
    """How many GPUs there are; 0 without CUDA."""
    return _cuda.load().cuda.runtime.getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the device on which new arrays are made."""
    return _cuda.load().cuda.runtime.getDevice()


def device(index: int) -> Any:
    """A context in which `index` is the current device."""
    return _cuda.load().cuda.Device(index)


def set_device(index: int) -> None:
    """Makes `index` the current device."""
    _cuda.load().cuda.Device(index).use()


def get_device_name(index: int | None = None) -> str:
    """The name of a device."""
    number = current_device() if index is None else index
    name = _cuda.load().cuda.runtime.getDeviceProperties(number)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def current_stream() -> Any:
    """CuPy's current stream: kernels are launched on it."""
    return _cuda.load().cuda.get_current_stream()


def stream(s: Any) -> Any:
    """A context in which `s` (a CuPy stream) is the current stream."""
    _cuda.load()
    return s


def Stream(*args: Any, **kwargs: Any) -> Any:
    """A new stream (CuPy's)."""
    return _cuda.load().cuda.Stream(*args, **kwargs)


def Event(*args: Any, **kwargs: Any) -> Any:
    """A new event (CuPy's): ``event.record(stream)``, then ``other_stream.wait_event(event)``."""
    return _cuda.load().cuda.Event(*args, **kwargs)


def synchronize() -> None:
    """Waits for all work on the current device."""
    _cuda.load().cuda.Device().synchronize()


def memory_allocated() -> int:
    """Bytes in use, of CuPy's memory pool."""
    return _cuda.load().get_default_memory_pool().used_bytes()


def memory_reserved() -> int:
    """Bytes that the pool holds, in use or for reuse."""
    return _cuda.load().get_default_memory_pool().total_bytes()


def memory_stats() -> dict[str, int]:
    """allocated, reserved and cached bytes of CuPy's memory pool."""
    allocated, reserved = memory_allocated(), memory_reserved()
    return {"allocated": allocated, "reserved": reserved, "cached": reserved - allocated}


def empty_cache() -> None:
    """Gives memory that is not in use back to the driver."""
    _cuda.load().get_default_memory_pool().free_all_blocks()
