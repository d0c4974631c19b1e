"""The tape: one node per op call, and the switch that says whether ops record.

A node knows its backward function, where each gradient goes (its edges), and the tensors that backward needs. It never
holds its own output tensor, only that tensor's array, so a graph has no reference cycles. Its storage and
``record(out, backward, inputs, saved=(), ctx=None)`` are C's (``csrc/bindings/node.cpp``): `out` is the fresh output
tensor or a tuple of them, `saved` what backward needs (inputs, or OUTPUT), `ctx` anything else that it needs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from .. import _core

state = _core.grad_mode  # .enabled: whether ops are recorded in this thread
record = _core.record
wants_grad = _core.wants_grad
OUTPUT = _core.OUTPUT  # in `saved`: the op's output (for the n-th of several outputs: (OUTPUT, n))


class Node(_core.NodeBase):
    """One recorded op call.

    ``backward(node, *grads)`` gives one gradient (or None) for each edge. An edge is None (no gradient wanted), a leaf
    tensor (the gradient is added to its ``.grad``), or a pair (node, output index).
    """

    __slots__ = ()

    def _modified(self, data: Any, now: int, expected: int) -> str:
        return (
            "one of the variables needed for gradient computation has been modified by an inplace "
            f"operation: [{data.dtype} {list(data.shape)}], saved by {self.name()}, is at "
            f"version {now}; expected version {expected} instead. Hint: replace the in-place op on "
            "it (x.add_(y), x[i] = y, ...) by one that makes a new tensor, or clone it first."
        )

    # ---- PyTorch's view of a node --------------------------------------------------------------------------------

    def name(self) -> str:
        """As PyTorch names its nodes: MmBackward0."""
        if self.label is None:
            stem = self.backward.__name__.strip("_").removesuffix("_backward")
            self.label = "".join(p.capitalize() for p in stem.split("_")) + "Backward0"
        return self.label

    @property
    def next_functions(self) -> tuple:
        pairs: list[tuple[Any, int]] = []
        for e in self.edges:
            if e is None:
                pairs.append((None, 0))
            elif type(e) is tuple:
                pairs.append(e)
            else:
                pairs.append((AccumulateGrad(e), 0))
        return tuple(pairs)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(grad_inputs, grad_outputs)``, after this node's backward ran."""
        if self.hooks is None:
            self.hooks = {}
        return RemovableHandle(self.hooks, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(grad_outputs)``, before this node's backward runs."""
        if self.prehooks is None:
            self.prehooks = {}
        return RemovableHandle(self.prehooks, hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad:
    """How a leaf shows up in ``next_functions``."""

    def __init__(self, variable: Any) -> None:
        self.variable = variable
        self.next_functions: tuple = ()

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook off again."""

    _ids = itertools.count()

    def __init__(self, hooks: dict, hook: Callable[..., Any]) -> None:
        if not callable(hook):
            raise TypeError(f"hook must be callable, got {type(hook).__name__}")
        self.id = next(RemovableHandle._ids)
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


_core.set_node_type(Node)


class _GradMode:
    """Base of the context managers that are decorators too."""

    _value = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(state.enabled)
        state.enabled = self._value

    def __exit__(self, *exc: object) -> None:
        state.enabled = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._copy():
                return function(*args, **kwargs)

        return wrapped

    def _copy(self) -> _GradMode:
        return type(self)()


class no_grad(_GradMode):
    """Within it (or in a function it decorates) ops are not recorded."""

    _value = False

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__()  # type: ignore[misc]
        return made(function)  # `@no_grad` without parentheses

    def __init__(self, function: Any = None) -> None:
        super().__init__()


class enable_grad(no_grad):
    """Within it ops are recorded again, also inside of no_grad."""

    _value = True


class inference_mode(_GradMode):
    """As no_grad (fastnn has no further restrictions to lift); ``inference_mode(False)`` does nothing."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._on = mode

    def __enter__(self) -> None:
        self._before.append(state.enabled)
        if self._on:
            state.enabled = False

    def _copy(self) -> _GradMode:
        return inference_mode(self._on)


class set_grad_enabled(_GradMode):
    """Switches recording on or off, at once; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._value = mode
        self._before.append(state.enabled)
        state.enabled = bool(mode)

    def __enter__(self) -> None:
        state.enabled = self._value

    def __exit__(self, *exc: object) -> None:
        state.enabled = self._before[0]

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        state.enabled = self._before[0]  # as a decorator it acts only inside the function
        return super().__call__(function)

    def _copy(self) -> _GradMode:
        return set_grad_enabled(self._value)


def is_grad_enabled() -> bool:
    """Whether ops are recorded in this thread now."""
    return state.enabled
