"""Writes in place: what is allowed, the version bump, and the new history of the tensor and of its base."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import ShapeError
from ..autograd.node import Node, record, state, wants_grad
from ._integers import put
from ._util import TensorBase, as_tensor_operand, cast, require_tensor, wrap
from .transfer import move, place_of
from .views import replay


def guard(x: Any, op: str) -> None:
    """Refuses a write that PyTorch refuses, before anything changes."""
    if state.enabled and x.requires_grad and x._node is None:
        raise RuntimeError(
            f"{op}: a leaf Variable that requires grad is being used in an in-place operation. "
            "Hint: wrap the update in `with fastnn.no_grad():`"
        )
    if state.enabled and x._base is not None and x._base.requires_grad:
        if x._base._node is None:
            raise RuntimeError(
                f"{op}: a view of a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )
        if x._view is None:
            raise RuntimeError(
                f"{op}: a view was created in no_grad mode and is being modified inplace with grad "
                "mode enabled."
            )
    if not x._data.flags.writeable:
        if 0 in x._data.strides:
            raise RuntimeError(
                f"{op}: unsupported operation: more than one element of the written-to tensor refers "
                "to a single memory location. Please clone() the tensor before performing the "
                "operation."
            )
        raise ValueError(
            f"{op}: the tensor's memory is read-only; clone() it before writing in place"
        )


def bump(x: Any) -> None:
    """Notes that x's storage was written."""
    x._counter.value += 1


def check_result(x: Any, shape: tuple, d: np.dtype, op: str) -> None:
    """What a result must be to be stored in x."""
    if shape != x._data.shape:
        raise ShapeError(
            f"{op}: output with shape {list(x._data.shape)} doesn't match the broadcast shape "
            f"{list(shape)}"
        )
    if d != x._data.dtype:
        have, want = dtypes.as_dtype(d), dtypes.of_array(x._data)
        if not dtypes.can_cast(have, want):
            raise RuntimeError(
                f"{op}: result type {have.name} can't be cast to the desired output type {want.name}"
            )


def apply(x: Any, op: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``x.op_(…)`` for any out-of-place `function(x, …)`."""
    guard(require_tensor(x, op), op)
    if not wants_grad(x, *[a for a in (*args, *kwargs.values()) if isinstance(a, TensorBase)]):
        result = function(x, *args, **kwargs)
        check_result(x, result._data.shape, result._data.dtype, op)
        x._data[...] = cast(result._data, x._data.dtype)
        bump(x)
        return x
    # Record on a twin of x that keeps today's history and, where backward needs it, today's values.
    old = wrap(x._data)
    old._node, old._index, old._requires_grad = x._node, x._index, x.requires_grad
    result = function(old, *args, **kwargs)
    check_result(x, result._data.shape, result._data.dtype, op)
    node = result._node
    if node is not None and node.saves(old):
        old._data = x._data.copy()
    x._data[...] = cast(result._data, x._data.dtype)
    bump(x)
    if result._data.dtype != x._data.dtype:
        result = result.to(dtypes.of_array(x._data))
    rebase(x, result)
    return x


def in_place(name: str, function: Callable[..., Any], kernel: str = "") -> Any:
    """The method `name` that writes function(self, …) into self.

    kernel: the one that does it alone when there is no history and nothing to convert.
    """

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return apply(self, name, function, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The in-place form of {name.rstrip('_')}()."
    return _core.make_in_place(kernel, method) if kernel else method


def rebase(x: Any, result: Any) -> None:
    """From now on x's history is that of `result`; where x is a view, its base's history changes with it."""
    if not result.requires_grad:
        return
    if x._view is None:
        x._node, x._index, x._requires_grad = result._node, result._index, True
        return
    base = x._base
    after = wrap(base._data)
    record(after, _copy_slices_backward, (base, result), (), x._view)
    base._node, base._index, base._requires_grad = after._node, 0, True
    # x itself, like every other view of base, is now stale and finds its new history when asked.


def _copy_slices_backward(node: Node, g: Any) -> tuple:
    """base with a window replaced: the base's gradient has zeros there, the window's is what was there."""

    def window(t: Any) -> Any:
        return replay(node.ctx, t)

    rest = None
    if node.edges[0] is not None:
        rest = g.clone()
        window(rest).zero_()
    return rest, window(g).clone()


def _copy_any(self: Any, src: Any, non_blocking: bool = False) -> Any:
    guard(self, "copy_")
    src = move(as_tensor_operand(src, "copy_", "src"), place_of(self._data))
    data = src._data
    try:
        np.broadcast_to(data, self._data.shape)
    except ValueError:
        raise ShapeError(
            f"copy_: The size of src {list(data.shape)} must broadcast to {list(self._data.shape)}"
        ) from None
    self._data[...] = cast(data, self._data.dtype)
    bump(self)
    if wants_grad(self, src):
        moved = src.to(dtypes.of_array(self._data)).expand(self._data.shape)
        rebase(self, moved if moved.requires_grad else _constant(moved, self))
    return self


copy_ = _core.make_copy(_copy_any)


def _constant(value: Any, like: Any) -> Any:
    """`value` with a history that sends nothing anywhere: `like` is overwritten by a constant."""
    out = wrap(value._data)
    record(out, _zero_backward, (like,), ())
    return out


def _zero_backward(node: Node, g: Any) -> Any:
    return None


def _zero_any(self: Any) -> Any:
    return fill_(self, 0)


zero_ = _core.make_zero(_zero_any)


def fill_(self: Any, value: Any) -> Any:
    """Fills with a number (or a 0-d tensor)."""
    if isinstance(value, TensorBase):
        if value._data.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value._data.ndim} dimensions."
            )
        return copy_(self, value)
    if not isinstance(value, (bool, int, float, np.number, np.bool_)):
        raise TypeError(
            f"fill_: value must be a number or a 0-d Tensor, got {type(value).__name__}"
        )
    guard(self, "fill_")
    d = dtypes.of_array(self._data)
    value = put(value, d.numpy, "fill_")
    self._data.fill(np.asarray(value).astype(d.numpy) if d in dtypes.NARROW else value)
    bump(self)
    if wants_grad(self):
        rebase(self, _constant(self, self))
    return self


METHODS = "copy_ zero_ fill_".split()
