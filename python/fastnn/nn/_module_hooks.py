"""How a module's hooks are kept, and how its backward hooks see the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.node import RemovableHandle
from ..ops._util import TensorBase


class Hooks:
    """A module's hooks by their numbers; true if there is one."""

    __slots__ = ("backward", "backward_pre", "forward", "forward_pre")

    def __init__(self) -> None:
        self.forward: dict[int, tuple] = {}
        self.forward_pre: dict[int, tuple] = {}
        self.backward: dict[int, tuple] = {}
        self.backward_pre: dict[int, tuple] = {}

    def __bool__(self) -> bool:
        return bool(self.forward or self.forward_pre or self.backward or self.backward_pre)


def hook_table(kind: str) -> property:
    """One of a module's tables of Hooks, which are made for the first hook: a call reads little of a module without."""

    def get(module: Any) -> dict:
        if module._call_hooks is None:
            module._call_hooks = Hooks()
        return getattr(module._call_hooks, kind)

    def set_(module: Any, hooks: dict) -> None:
        get(module)
        setattr(module._call_hooks, kind, hooks)

    return property(get, set_)


def register(hooks: dict, hook: Any, with_kwargs: bool, prepend: bool) -> RemovableHandle:
    """Hooks are kept as (hook, takes keyword arguments)."""
    handle = RemovableHandle(hooks, hook)
    hooks[handle.id] = (hook, with_kwargs)
    if prepend:
        for k in [k for k in hooks if k != handle.id]:
            hooks[k] = hooks.pop(k)
    return handle


def watch_inputs(args: tuple, grads_in: list) -> tuple:
    """Inputs passed through an alias each, so that their gradients can be seen together."""
    out = []
    for a in args:
        if isinstance(a, TensorBase) and a.requires_grad:
            a = a.alias()
        out.append(a)
    grads_in.extend(a for a in out if isinstance(a, TensorBase))
    return tuple(out)


def watch_outputs(module: Any, hooks: Hooks, result: Any, inputs: list) -> None:
    """Calls the module's backward hooks when the gradients have come through."""
    outs = list(result) if isinstance(result, (tuple, list)) else [result]
    tensors = [t for t in outs if isinstance(t, TensorBase) and t.requires_grad]
    if not tensors:
        return
    grad_output: list = [None] * len(outs)

    def saw_output(index: int) -> Callable[[Any], Any]:
        def hook(g: Any) -> Any:
            grad_output[index] = g
            for pre, _ in tuple(hooks.backward_pre.values()):
                changed = pre(module, tuple(grad_output))
                if changed is not None:
                    g = grad_output[index] = (
                        changed[index] if isinstance(changed, tuple) else changed
                    )
            if not any(t.requires_grad for t in inputs):
                for after, _ in tuple(hooks.backward.values()):
                    after(module, (None,) * len(inputs), tuple(grad_output))
            return g

        return hook

    for i, t in enumerate(outs):
        if isinstance(t, TensorBase) and t.requires_grad:
            t.register_hook(saw_output(i))
    wanted = [i for i, t in enumerate(inputs) if t.requires_grad]
    grad_input: list = [None] * len(inputs)

    def saw_input(index: int) -> Callable[[Any], Any]:
        def hook(g: Any) -> Any:
            grad_input[index] = g
            if all(grad_input[k] is not None for k in wanted):
                for after, _ in tuple(hooks.backward.values()):
                    changed = after(module, tuple(grad_input), tuple(grad_output))
                    if changed is not None:
                        grad_input[:] = changed if isinstance(changed, tuple) else (changed,)
            return grad_input[index]

        return hook

    for i in wanted:
        inputs[i].register_hook(saw_input(i))
