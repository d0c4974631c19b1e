"""User-defined ops: ``class Square(Function)`` with forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .. import _core
from .._errors import ShapeError
from .node import OUTPUT, Node, no_grad, record, wants_grad


class FunctionCtx:
    """What forward leaves for backward."""

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        self._to_save: tuple = ()
        self._dirty: tuple = ()
        self._non_differentiable: tuple = ()
        self._materialize = True
        self._node: Node | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Tensors that backward reads as ``ctx.saved_tensors`` (inputs, outputs or others; None allowed)."""
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple:
        if self._node is None:
            return self._to_save
        return tuple(self._node.saved_tensors())

    def mark_dirty(self, *tensors: Any) -> None:
        """Inputs that forward changed in place (and returns)."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Outputs that have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (True, the default) or None for outputs that nobody used."""
        self._materialize = value


def _is_tensor(x: Any) -> bool:
    return isinstance(x, _core.TensorBase)


class Function:
    """Base class of user-defined differentiable ops.

    Write ``forward(ctx, *args)`` (or ``forward(*args)`` with ``setup_context(ctx, inputs, output)``) and
    ``backward(ctx, *grad_outputs)``, both static, and call ``MyFunction.apply(*args)``. backward returns one gradient (or
    None) for each argument of forward.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Any) -> None:
        """Saves in `ctx` what backward needs, where forward does not take a ctx itself."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """The gradient of each input of forward, from those of its results; None where there is none."""
        raise NotImplementedError(
            "You must implement either the backward method for your custom autograd.Function to use "
            "it with backward()."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Calls forward and records backward; this is how a Function is called."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(_is_tensor(a) and a.requires_grad for a in args)
        separate = cls.setup_context is not Function.setup_context
        with no_grad():
            if separate:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        outs = result if isinstance(result, tuple) else (result,)
        tensors = tuple(a for a in args if _is_tensor(a))
        for t in ctx._dirty:
            t._counter.value += 1
        if not wants_grad(*tensors):
            return result
        outs = tuple(_fresh(o, tensors, ctx) for o in outs)
        _record(cls, ctx, args, tensors, outs)
        return outs if isinstance(result, tuple) else outs[0]


def _fresh(out: Any, inputs: tuple, ctx: FunctionCtx) -> Any:
    """An input that is returned as it came gets a new tensor, so that its own history stays."""
    if any(out is i for i in inputs) and not any(out is d for d in ctx._dirty):
        return out.detach()
    return out


def _record(
    cls: type[Function], ctx: FunctionCtx, args: tuple, tensors: tuple, outs: tuple
) -> None:
    positions = [i for i, a in enumerate(args) if _is_tensor(a)]
    shapes = [tuple(a._data.shape) for a in tensors]
    out_meta = [(tuple(o._data.shape), o._data.dtype) if _is_tensor(o) else None for o in outs]
    differentiable = tuple(
        o if _is_tensor(o) and not any(o is n for n in ctx._non_differentiable) else None
        for o in outs
    )
    saved = []
    for t in ctx._to_save:
        index = next(
            (i for i, o in enumerate(outs) if o is t and differentiable[i] is not None), None
        )
        saved.append(t if index is None else ((OUTPUT, index) if len(outs) > 1 else OUTPUT))

    def backward(node: Node, *grads: Any) -> tuple:
        full = tuple(
            _zeros(m) if g is None and m is not None and ctx._materialize else g
            for g, m in zip(grads, out_meta, strict=True)
        )
        ctx._node = node
        try:
            returned = cls.backward(ctx, *full)
        finally:
            ctx._node = None
        if not isinstance(returned, tuple):
            returned = (returned,)
        return _checked(cls, returned, len(args), positions, shapes)

    ctx._to_save = ()
    record(differentiable, backward, tensors, tuple(saved))
    made = next((o._node for o in differentiable if o is not None), None)
    if made is not None:
        made.label = cls.__name__ + "Backward"


def _zeros(meta: tuple) -> Any:
    import numpy as np

    return _core.wrap(np.zeros(*meta))


def _checked(cls: type, grads: tuple, count: int, positions: list[int], shapes: list) -> tuple:
    if len(grads) > count and all(g is None for g in grads[count:]):
        grads = grads[:count]
    if len(grads) != count:
        raise RuntimeError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients (expected "
            f"{count}, got {len(grads)})"
        )
    out = []
    for position, shape in zip(positions, shapes, strict=True):
        g = grads[position]
        if g is not None and not _is_tensor(g):
            raise TypeError(
                f"function {cls.__name__}Backward returned a {type(g).__name__} at index {position}; "
                "expected a Tensor or None"
            )
        if g is not None and tuple(g._data.shape) != shape:
            try:
                g = g.sum_to_size(shape)
            except RuntimeError:
                raise ShapeError(
                    f"Function {cls.__name__}Backward returned an invalid gradient at index {position} "
                    f"- got {list(g._data.shape)} but expected shape compatible with {list(shape)}"
                ) from None
        out.append(None if g is None else g.alias())
    return tuple(out)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a backward that is not differentiable itself."""

    @functools.wraps(backward)
    def wrapped(ctx: FunctionCtx, *grads: Any) -> Any:
        with no_grad():
            return backward(ctx, *grads)

    return wrapped
