"""Tensor: a thin object over a NumPy array, with PyTorch's names.

The fields live in C (``_core.TensorBase``); the methods are the functions of ``fastnn.ops``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import _core, autograd, dtypes
from ._device import device
from ._printing import tensor_repr
from ._size import Size
from .autograd.node import Node, RemovableHandle
from .ops import (
    activation,
    arithmetic,
    comparison,
    conversion,
    creation,
    cumulative,
    extremes,
    gathering,
    indexing,
    inplace,
    joining,
    linalg,
    masking,
    pointwise,
    random,
    reduction,
    softmax,
    sorting,
    statistics,
    transfer,
    views,
)
from .ops._util import TensorBase, cast, normalize_dim, require_tensor, shape_args, wrap

_CPU = device("cpu")


class Tensor(TensorBase):
    """A multi-dimensional array with gradients. Make one with fastnn.tensor, zeros, randn, from_numpy …"""

    __slots__ = ()
    # NumPy must leave `array + tensor` to us.
    __array_priority__ = 1000
    __array_ufunc__ = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        t = super().__new__(cls)
        t._data = _legacy_array(args)
        return t

    # ---- what it is --------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._data.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        shape = self._data.shape
        return Size(shape) if dim is None else shape[normalize_dim(dim, len(shape), "size")]

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.of_array(self._data)

    @property
    def device(self) -> Any:
        if isinstance(self._data, np.ndarray):
            return _CPU
        return device("cuda", self._data.data.device_id)

    @property
    def ndim(self) -> int:
        return self._data.ndim

    def dim(self) -> int:
        """How many dimensions."""
        return self._data.ndim

    def numel(self) -> int:
        """How many elements."""
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return self._data.itemsize

    @property
    def itemsize(self) -> int:
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours, in elements."""
        steps = tuple(s // self._data.itemsize for s in self._data.strides)
        return steps if dim is None else steps[normalize_dim(dim, len(steps), "stride")]

    def data_ptr(self) -> int:
        """The address of the first element; whoever has it can write past the version counter."""
        self._counter.exports += 1
        return self._address()

    def _address(self) -> int:
        if self.is_cuda:
            return self._data.data.ptr
        return self._data.__array_interface__["data"][0]

    def storage_offset(self) -> int:
        """Elements between the start of the tensor that this is a view of and its own."""
        root = self if self._base is None else self._base
        return (self._address() - root._address()) // self._data.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float of any size."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """False: there are no complex dtypes."""
        return False

    @property
    def is_cuda(self) -> bool:
        return not isinstance(self._data, np.ndarray)

    @property
    def T(self) -> Any:
        return views.permute(self, tuple(range(self._data.ndim))[::-1])

    @property
    def mT(self) -> Any:
        return views.transpose(self, -2, -1)

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(views.unbind(self, 0))

    def __contains__(self, x: Any) -> bool:
        return bool((self == x).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return tensor_repr(self)

    def __format__(self, spec: str) -> str:
        if not self._data.ndim and type(self) is Tensor:
            return format(self.item(), spec)
        return repr(self) if not spec else object.__format__(self, spec)

    # ---- to Python and NumPy -----------------------------------------------------------------------------------

    item = _core.item

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        a = transfer.move_array(self._data, ("cpu", None))
        if self.dtype in dtypes.NARROW:
            return cast(a, np.dtype(np.float32)).tolist()
        return a.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The NumPy array underneath (shared). RuntimeError while a gradient is required; `force` detaches."""
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        if self.is_cuda:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the "
                "tensor to host memory first."
            )
        self._counter.exports += 1
        return self._data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        self._counter.exports += 1
        return self._data.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise RuntimeError(
                "Boolean value of Tensor with more than one value is ambiguous"
                if self._data.size
                else "Boolean value of Tensor with no values is ambiguous"
            )
        return bool(self._data.reshape(())[()])

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iub" or self._data.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol and pickling at the moment; detach() it first"
            )
        a = transfer.move_array(self._data, ("cpu", None))
        return _rebuild, (type(self), np.asarray(a, order="C"), bool(self.requires_grad))

    def __deepcopy__(self, memo: dict) -> Any:
        if self._node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment; detach() it first"
            )
        if id(self) in memo:
            return memo[id(self)]
        new = _rebuild(type(self), self._data.copy(order="K"), bool(self.requires_grad))
        memo[id(self)] = new
        if self._grad is not None:
            new._grad = self._grad.__deepcopy__(memo)
        return new

    # ---- gradients ---------------------------------------------------------------------------------------------

    def _set_requires_grad(self, value: Any) -> None:
        if not value and self._node is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if value and not self.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Sets requires_grad and returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Any:
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            require_tensor(value, "grad", "grad")
            if value._data.shape != self._data.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: {list(value._data.shape)} for a "
                    f"tensor of {list(self._data.shape)}"
                )
            if value._data.dtype != self._data.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: {value._data.dtype} for a tensor of "
                    f"{self._data.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def grad_fn(self) -> Node | None:
        return self._node

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    @property
    def retains_grad(self) -> bool:
        return bool(self._retains_grad)

    @property
    def data(self) -> Any:
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        require_tensor(value, "data", "value")
        value._counter.exports += 1  # writes through self are not counted there
        self._data = value._data

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Adds d(self)/d(leaf) to the ``.grad`` of every leaf. `gradient` is needed unless self is a scalar."""
        autograd.backward(
            self, None if gradient is None else [gradient], retain_graph, create_graph, inputs
        )

    def detach(self) -> Any:
        """A tensor on the same memory, outside of the graph."""
        out = wrap(self._data)
        out._counter = self._counter
        return out

    def detach_(self) -> Any:
        """Takes this tensor out of the graph."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node, self._requires_grad = None, False
        return self

    def retain_grad(self) -> None:
        """Makes backward fill ``.grad`` of this non-leaf tensor."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is None:
            return
        self._retains_grad = True
        _metadata(self._node).setdefault("retain", {})[self._index] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """``hook(grad)`` for each gradient of this tensor; what it returns (unless None) takes its place."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._node is None:
            if self._hooks is None:
                self._hooks = {}
            return RemovableHandle(self._hooks, hook)
        hooks = _metadata(self._node).setdefault("hooks", {}).setdefault(self._index, {})
        return RemovableHandle(hooks, hook)

    def is_inference(self) -> bool:
        """False: tensors made in inference mode are like any other."""
        return False

    # ---- indexing ----------------------------------------------------------------------------------------------

    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem


def _metadata(node: Node) -> dict:
    if node.metadata is None:
        node.metadata = {}
    return node.metadata


def _legacy_array(args: tuple) -> np.ndarray:
    """What Tensor(...) means: Tensor(2, 3) uninitialised, Tensor([1, 2]) data, both in the default dtype."""
    d = dtypes.get_default_dtype().numpy
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        return creation.tensor(args[0], dtype=d)._data
    if len(args) == 1 and isinstance(args[0], TensorBase):
        return args[0]._data
    return np.empty(shape_args(args, "Tensor"), d) if args else np.empty((0,), d)


def _rebuild(cls: type, array: np.ndarray, requires_grad: bool) -> Any:
    t = wrap(array)
    if cls is not Tensor:
        t = cls(t, requires_grad=requires_grad)
    t._requires_grad = requires_grad
    return t


def _attach() -> None:
    """Gives Tensor the ops as methods: each function whose first argument is the tensor."""
    modules = (
        arithmetic, comparison, pointwise, conversion, creation, activation, softmax, reduction, extremes, statistics,
        cumulative, views, joining, sorting, gathering, masking, linalg, inplace, random,
    )  # fmt: skip
    for module in modules:
        for name in module.METHODS:
            setattr(Tensor, name, getattr(module, name))
        for method, function in getattr(module, "OPERATORS", {}).items():
            setattr(Tensor, method, function)


_attach()
_core.set_tensor_type(Tensor, views.sync_view)
__all__ = ["Size", "Tensor", "device"]
