"""A stand-in for CuPy over NumPy: the few names that fastnn uses, so that device="cuda" runs without a GPU.

As strict as the real one where mistakes would hide: an array does not become a NumPy array by itself, mixed
arguments are refused, fresh memory is poison.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import cuda


class MemoryPointer:
    """An address in memory that `owner` keeps alive. Whoever asks for it is about to use the memory."""

    def __init__(self, owner: Any, address: int, device_id: int = 0) -> None:
        self.owner, self.address, self.device_id = owner, address, device_id

    @property
    def ptr(self) -> int:
        cuda.use(self.owner)
        return self.address

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.owner, self.address + offset, self.device_id)


class _Memory:
    """What NumPy needs to see foreign memory as an array."""

    def __init__(self, pointer: MemoryPointer, shape: tuple, strides: tuple, itemsize: int) -> None:
        self.pointer = pointer
        self.__array_interface__ = {
            "data": (pointer.address, False),
            "shape": shape,
            "strides": strides,
            "typestr": f"|V{itemsize}",
            "version": 3,
        }


def _unwrap(x: Any) -> Any:
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray) and x.ndim > 0:
        raise TypeError(f"Unsupported type {type(x)}: a NumPy array where a CuPy array is needed")
    if isinstance(x, (list, tuple)):
        return type(x)(_unwrap(v) for v in x)
    if isinstance(x, dict):
        return {k: _unwrap(v) for k, v in x.items()}
    return x


def _wrap(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return ndarray._of(x)
    if isinstance(x, np.generic):
        return ndarray._of(np.asarray(x))
    if isinstance(x, tuple):
        return tuple(_wrap(v) for v in x)
    if isinstance(x, list):
        return [_wrap(v) for v in x]
    return x


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array 'on the GPU': a NumPy array that only this class's methods reach."""

    __array_priority__ = 100
    _host: np.ndarray

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None
    ) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(dtype)
        if memptr is None:
            memptr = cuda.alloc(int(np.prod(shape)) * dtype.itemsize)
        if strides is None:
            strides = np.empty(shape, f"V{dtype.itemsize}").strides
        raw = np.asarray(_Memory(memptr, shape, tuple(strides), dtype.itemsize))
        self._host = raw.view(dtype)
        self.data = memptr

    @classmethod
    def _of(cls, host: np.ndarray) -> ndarray:
        out = cls.__new__(cls)
        out._host = host
        out.data = MemoryPointer(host, host.__array_interface__["data"][0])
        return out

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a "
            "NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _wrap(getattr(ufunc, method)(*_unwrap(inputs), **_unwrap(kwargs)))

    def __array_function__(self, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        return _wrap(func(*_unwrap(args), **_unwrap(kwargs)))

    @property
    def device(self) -> cuda.Device:
        return cuda.Device(self.data.device_id)

    def get(self) -> np.ndarray:
        cuda.use(self.data.owner)
        cuda.get_current_stream().synchronize()
        return self._host.copy()

    def set(self, a: np.ndarray) -> None:
        if not isinstance(a, np.ndarray):
            raise TypeError("only NumPy arrays can be set")
        cuda.use(self.data.owner)
        self._host[...] = a

    def item(self, *args: Any) -> Any:
        return self._host.item(*args)

    def __getitem__(self, key: Any) -> Any:
        return _wrap(self._host[_unwrap(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_unwrap(key)] = _unwrap(value)

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __index__(self) -> int:
        return self._host.__index__()

    def __repr__(self) -> str:
        return repr(self._host)


def _property(name: str) -> property:
    return property(lambda self: getattr(self._host, name))


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return _wrap(getattr(self._host, name)(*_unwrap(args), **_unwrap(kwargs)))

    return method


for _name in ("shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes", "flags"):
    setattr(ndarray, _name, _property(_name))
ndarray.T = property(lambda self: _wrap(self._host.T))
for _name in (
    "reshape", "transpose", "astype", "copy", "fill", "sum", "mean", "max", "min", "prod", "any", "all",
    "argmax", "argmin", "squeeze", "ravel", "view", "swapaxes", "tolist", "take", "nonzero", "clip",
):  # fmt: skip
    setattr(ndarray, _name, _method(_name))


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def array(a: Any, copy: bool = True, order: str = "K") -> ndarray:
    return _wrap(np.array(_unwrap(a) if isinstance(a, ndarray) else a, copy=copy, order=order))


def asarray(a: Any) -> ndarray:
    return a if isinstance(a, ndarray) else _wrap(np.array(a))


def asnumpy(a: ndarray) -> np.ndarray:
    return a.get()


class _Pool:
    def used_bytes(self) -> int:
        return cuda.used()

    def total_bytes(self) -> int:
        return cuda.used()

    def free_all_blocks(self) -> None:
        pass


def get_default_memory_pool() -> _Pool:
    return _Pool()
