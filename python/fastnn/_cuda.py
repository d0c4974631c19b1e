"""All that fastnn knows of CuPy: arrays on a GPU, streams, memory. Loaded when CUDA is first asked for.

``import fastnn`` never imports this file. Kernels get addresses and CuPy's current stream; outputs and
workspaces come from CuPy's memory pool, so that they are ordered on that stream.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from . import _core

_cupy: ModuleType | None = None
_failure: str | None = None
_supported: set[int] = set()

_MISSING = (
    "CUDA is not available: {what}. fastnn on a GPU needs an NVIDIA driver for CUDA 13, CuPy "
    "(`pip install cupy-cuda13x`) and the plugin fastnn-cuda13 (`pip install ./cuda/plugin` in a clone)"
)


def _import(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise RuntimeError(_MISSING.format(what=f"{what} ({e})")) from None


def load() -> ModuleType:
    """CuPy, with the plugin's kernels made known to fastnn; RuntimeError says what is missing."""
    global _cupy, _failure
    if _cupy is not None:
        return _cupy
    if _failure is not None:
        raise RuntimeError(_failure)
    try:
        plugin = _import("fastnn_cuda._cuda", "the plugin fastnn-cuda13 cannot be imported")
        cupy = _import("cupy", "CuPy cannot be imported")
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as e:
            raise RuntimeError(_MISSING.format(what=f"no GPU can be used ({e})")) from None
        if count == 0:
            raise RuntimeError(_MISSING.format(what="there is no GPU"))
        _check_supported(cupy, cupy.cuda.runtime.getDevice())
        _core.set_cuda(cupy.ndarray, plugin.backend, _make, _window, _stream)
    except RuntimeError as e:
        _failure = str(e)
        raise
    _cupy = cupy
    return cupy


def _check_supported(cupy: ModuleType, device: int) -> None:
    """The kernels are compiled for compute capability 8.0 (Ampere) and up."""
    if device in _supported:  # asking takes longer than most kernels
        return
    gpu = cupy.cuda.runtime.getDeviceProperties(device)
    if gpu["major"] < 8:
        name = gpu["name"].decode() if isinstance(gpu["name"], bytes) else gpu["name"]
        what = f"cuda:{device} ({name}) has compute capability {gpu['major']}.{gpu['minor']}; 8.0 or higher is needed"
        raise RuntimeError(_MISSING.format(what=what))
    _supported.add(device)


# ---- what C++ calls --------------------------------------------------------------------------------------------


def _make(shape: tuple, strides: tuple | None, dtype: np.dtype) -> Any:
    """A new array, uninitialised, on the current device and stream; strides in bytes."""
    cupy = load()
    try:
        if strides is None or strides == _row_major(shape, dtype.itemsize):
            return cupy.empty(shape, dtype)
        memory = cupy.cuda.alloc(int(np.prod(shape)) * dtype.itemsize)
        return cupy.ndarray(shape, dtype, memory, strides=strides)
    except MemoryError as e:
        raise _out_of_memory(cupy, e) from None


def _out_of_memory(cupy: ModuleType, error: MemoryError) -> MemoryError:
    pool = cupy.get_default_memory_pool()
    return MemoryError(
        f"CUDA out of memory: {error}; tensors use {pool.used_bytes():,} bytes of the {pool.total_bytes():,} that "
        "fastnn.cuda.memory_reserved() counts. A smaller batch needs less; fastnn.cuda.empty_cache() gives unused "
        "memory back"
    )


def _row_major(shape: tuple, itemsize: int) -> tuple:
    strides = []
    for n in reversed(shape):
        strides.append(itemsize)
        itemsize *= max(n, 1)
    return tuple(reversed(strides))


def _window(array: Any, offset: int, shape: tuple, strides: tuple) -> Any:
    """Part of the array's memory, seen in another shape."""
    return load().ndarray(shape, array.dtype, array.data + offset, strides=strides)


def _stream(device: int) -> int:
    """The address of the current stream, which must be one of `device`."""
    cupy = load()
    current = cupy.cuda.runtime.getDevice()
    if current != device:
        raise RuntimeError(
            f"the tensors are on cuda:{device}, but the current device is cuda:{current}; enter "
            f"`with fastnn.cuda.device({device}):` first"
        )
    stream = cupy.cuda.get_current_stream()
    if stream.device_id not in (
        -1,
        device,
    ):  # -1: the default stream, of whichever device is current
        raise RuntimeError(
            f"the tensors are on cuda:{device}, but the current stream belongs to cuda:{stream.device_id}; use a "
            "stream that was made on their device"
        )
    return stream.ptr


# ---- moving arrays ---------------------------------------------------------------------------------------------


def is_array(a: Any) -> bool:
    """Whether this is an array on a GPU."""
    return not isinstance(a, np.ndarray) and _core.is_device_array(a)


def to_device(a: Any, index: int | None) -> Any:
    """The array on a device (None: the current one): itself when it lies there."""
    cupy = load()
    target = cupy.cuda.runtime.getDevice() if index is None else index
    count = cupy.cuda.runtime.getDeviceCount()
    if not 0 <= target < count:
        raise RuntimeError(f"device cuda:{target} does not exist; there are {count} CUDA devices")
    if is_array(a) and a.data.device_id == target:
        return a
    with cupy.cuda.Device(target):
        _check_supported(cupy, target)
        try:
            if is_array(a):
                return cupy.array(a, copy=True, order="K")
            return _upload(cupy, a)
        except MemoryError as e:
            raise _out_of_memory(cupy, e) from None


def _upload(cupy: ModuleType, a: np.ndarray) -> Any:
    """Row-major, or dense with the axes in another order (channels-last) where `a` is that."""
    order = sorted(range(a.ndim), key=lambda d: -a.strides[d])
    if not a.flags.c_contiguous and a.transpose(order).flags.c_contiguous:
        back = [order.index(d) for d in range(a.ndim)]
        return _upload(cupy, a.transpose(order)).transpose(back)
    out = cupy.ndarray(a.shape, a.dtype, cupy.cuda.alloc(max(a.nbytes, 1)))
    if a.size:  # bytes travel: CuPy need not know the dtype
        bits = _bits(a.dtype)
        out.view(bits).set(np.asarray(a, order="C").view(bits))
    return out


def _bits(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint16) if dtype.kind == "V" or dtype.name == "bfloat16" else dtype


def to_host(a: Any) -> np.ndarray:
    """A NumPy copy; waits for the stream."""
    row_major = a if a.flags.c_contiguous else _core.contiguous(a)
    return row_major.view(_bits(a.dtype)).get().view(a.dtype)
