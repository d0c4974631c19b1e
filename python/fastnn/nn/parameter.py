"""Parameter: a tensor that a Module registers by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops._util import TensorBase, require_tensor
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that counts as a parameter when it is set on a Module. Shares the memory of `data`."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        t = TensorBase.__new__(cls)
        if data is None:
            t._data = np.empty((0,), np.float32)
        else:
            require_tensor(data, "Parameter", "data")
            t._data = data._data
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
        t._data = np.empty((0,), np.float32) if data is None else data._data
        t.persistent = persistent
        return t

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        pass
