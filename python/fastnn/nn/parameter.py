"""Parameter: a tensor that a Module registers by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..ops._util import TensorBase, require_tensor
from ..tensor import Tensor


def _shared(data: Any) -> Any:
    """The memory of a tensor, for one that counts its own writes."""
    data._counter.exports += 1
    return data._data


class Parameter(Tensor):
    """A leaf tensor that counts as a parameter when it is set on a Module. Shares the memory of `data`."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        t = TensorBase.__new__(cls)
        if data is None:
            t._data = np.empty((0,), np.float32)
        else:
            require_tensor(data, "Parameter", "data")
            t._data = _shared(data)
        t.requires_grad = requires_grad
        return t

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that counts as a buffer when it is set on a Module."""

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        t = TensorBase.__new__(cls)
        t._data = np.empty((0,), np.float32) if data is None else _shared(data)
        t.persistent = persistent
        return t

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        pass


class _Uninitialized:
    """A tensor of no shape yet; it can be given one, and until then not be computed with."""

    __slots__ = ()  # laid out as what it becomes

    cls_to_become: Any
    _data: Any

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Gives it a shape (the numbers in it are anything) and makes it an ordinary parameter or buffer."""
        d = self._data.dtype if dtype is None else dtypes.as_dtype(dtype).numpy
        self._data = np.empty(tuple(shape), d)
        self.__class__ = self.cls_to_become

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _no_data(dtype: Any) -> np.ndarray:
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return np.empty((0,), d.numpy)


class UninitializedParameter(_Uninitialized, Parameter):
    """A Parameter whose shape is not known yet; see materialize()."""

    __slots__ = ()

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        t = TensorBase.__new__(cls)
        t._data = _no_data(dtype)
        t.requires_grad = requires_grad
        return t

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape is not known yet; see materialize()."""

    __slots__ = ()

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> Any:
        t = TensorBase.__new__(cls)
        t._data = _no_data(dtype)
        t.requires_grad = requires_grad
        return t

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        pass


def is_lazy(t: Any) -> bool:
    """Whether `t` is a parameter or buffer without a shape."""
    return isinstance(t, _Uninitialized)
