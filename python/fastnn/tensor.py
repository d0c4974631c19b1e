"""Tensor: a thin object over a NumPy array, with PyTorch's names.

The fields live in C (``_core.TensorBase``); the methods are the functions of ``fastnn.ops``.
"""

from __future__ import annotations

import builtins
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import _core, autograd, dtypes
from ._errors import DTypeError
from ._printing import tensor_repr
from .autograd.node import Node, RemovableHandle
from .ops import (
    activation,
    arithmetic,
    creation,
    indexing,
    inplace,
    joining,
    linalg,
    masking,
    pointwise,
    random,
    reduction,
    sorting,
    transfer,
    views,
)
from .ops._util import TensorBase, cast, normalize_dim, require_tensor, shape_args, wrap


class device:
    """Where a tensor lives: ``device('cpu')``, ``device('cuda')``, ``device('cuda:1')``."""

    __slots__ = ("index", "type")

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        kind, number = transfer.parse(type)
        self.type = kind
        self.index = index if number is None else number

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


_CPU = device("cpu")


class Size(tuple):
    """A shape: a tuple of ints that prints as PyTorch's."""

    __slots__ = ()

    def numel(self) -> int:
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"fastnn.Size({list(self)})"


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
        return self._data.ndim

    def numel(self) -> int:
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
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
        if self.is_cuda:
            return self._data.data.ptr
        return self._data.__array_interface__["data"][0]

    def storage_offset(self) -> int:
        root = self if self._base is None else self._base
        return (self.data_ptr() - root.data_ptr()) // self._data.itemsize

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the memory is row-major (or channels-last, when asked for that)."""
        if memory_format is not None and memory_format.channels_last:
            return _to_channels_last(self._data).flags.c_contiguous
        return self._data.flags.c_contiguous

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
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
        return self._data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
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
        return False

    # ---- conversions -------------------------------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """To a dtype, a device, or the dtype of another tensor. Itself when nothing changes."""
        d, memory_format, place = _to_arguments(args, kwargs)
        out = self if place is None else transfer.move(self, place)
        if d is not None and d.numpy != self._data.dtype:
            out = pointwise.to_dtype(self, d)
        elif kwargs.get("copy") and out is self:
            out = pointwise.clone(self)
        if memory_format is not None:
            out = out.contiguous(memory_format=memory_format)
        return out

    def type(self, dtype: Any = None) -> Any:
        """As to(dtype); the dtype's name without one."""
        return f"fastnn.{self.dtype.name}" if dtype is None else self.to(dtypes.as_dtype(dtype))

    def type_as(self, other: Any) -> Any:
        return self.to(other.dtype)

    def float(self) -> Any:
        return self.to(dtypes.float32)

    def double(self) -> Any:
        return self.to(dtypes.float64)

    def half(self) -> Any:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        return self.to(dtypes.bfloat16)

    def int(self) -> Any:
        return self.to(dtypes.int32)

    def long(self) -> Any:
        return self.to(dtypes.int64)

    def short(self) -> Any:
        return self.to(dtypes.int16)

    def bool(self) -> Any:
        return self.to(dtypes.bool_)

    def byte(self) -> Any:
        return self.to(dtypes.uint8)

    def cpu(self) -> Any:
        """On the CPU: itself when it is there."""
        return transfer.move(self, ("cpu", None))

    def cuda(self, device: Any = None) -> Any:
        """On a GPU (the current one, or `device`): itself when it is there."""
        return transfer.move(self, transfer.parse("cuda" if device is None else device))

    def contiguous(self, *, memory_format: Any = None) -> Any:
        """Itself when the memory is row-major (or channels-last, as asked), else a copy that is."""
        if self.is_contiguous(memory_format):
            return self
        return pointwise.clone(self, memory_format=memory_format or contiguous_format)

    def new_tensor(self, data: Any, *, dtype: Any = None, requires_grad: Any = False) -> Any:
        return creation.tensor(
            data, dtype=dtype or self.dtype, device=self.device, requires_grad=requires_grad
        )

    def new_empty(self, *size: Any, dtype: Any = None, **kwargs: Any) -> Any:
        kwargs.setdefault("device", self.device)
        return creation.empty(*size, dtype=dtype or self.dtype, **kwargs)

    def new_zeros(self, *size: Any, dtype: Any = None, **kwargs: Any) -> Any:
        kwargs.setdefault("device", self.device)
        return creation.zeros(*size, dtype=dtype or self.dtype, **kwargs)

    def new_ones(self, *size: Any, dtype: Any = None, **kwargs: Any) -> Any:
        kwargs.setdefault("device", self.device)
        return creation.ones(*size, dtype=dtype or self.dtype, **kwargs)

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Any:
        kwargs.setdefault("device", self.device)
        return creation.full(size, fill_value, dtype=dtype or self.dtype, **kwargs)

    # ---- indexing ----------------------------------------------------------------------------------------------

    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem


class memory_format:
    """How the axes of an image tensor lie in memory."""

    __slots__ = ("channels_last", "name")

    def __init__(self, name: str, channels_last: bool) -> None:
        self.name = name
        self.channels_last = channels_last

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format", False)
preserve_format = memory_format("preserve_format", False)
channels_last = memory_format("channels_last", True)
channels_last_3d = memory_format("channels_last_3d", True)


def _to_channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, 1, -1) if a.ndim >= 3 else a


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


def _to_arguments(args: tuple, kwargs: dict) -> tuple[Any, Any, Any]:
    """The dtype, memory format and place that to() is asked for; None where nothing is."""
    d, place = kwargs.get("dtype"), None
    if kwargs.get("device") is not None:
        place = transfer.parse(kwargs["device"])
    for a in args:
        if isinstance(a, TensorBase):
            d, place = a.dtype, transfer.place_of(a._data)
        elif isinstance(a, (str, device)):
            place = transfer.parse(a)
        elif isinstance(a, bool):
            continue  # non_blocking, copy
        elif isinstance(a, builtins.int):
            place = transfer.parse(a)
        elif a is not None:
            d = a
    unknown = set(kwargs) - {"dtype", "device", "copy", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"to() got an unexpected keyword argument '{unknown.pop()}'")
    return None if d is None else dtypes.as_dtype(d), kwargs.get("memory_format"), place


def _attach() -> None:
    """Gives Tensor the ops as methods: each function whose first argument is the tensor."""
    modules = (
        arithmetic,
        pointwise,
        activation,
        reduction,
        views,
        joining,
        sorting,
        indexing,
        masking,
        linalg,
        inplace,
        random,
    )
    for module in modules:
        for name in module.METHODS:
            setattr(Tensor, name, getattr(module, name))
        for method, function in getattr(module, "OPERATORS", {}).items():
            setattr(Tensor, method, function)


_attach()
_core.set_tensor_type(Tensor, views.sync_view)
__all__ = ["DTypeError", "Size", "Tensor", "device", "memory_format"]
