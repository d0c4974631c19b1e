"""What the backward pass (``csrc/bindings/engine.cpp``) asks of Python, and the gradients of chosen tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _core
from .node import Node


def _output_hooks(node: Node, grads: list) -> None:
    """Hooks on non-leaf tensors, and retain_grad."""
    for index, hooks in node.metadata.get("hooks", {}).items():
        for hook in tuple(hooks.values()):
            if grads[index] is not None:
                changed = hook(grads[index])
                grads[index] = grads[index] if changed is None else changed
    for index, ref in node.metadata.get("retain", {}).items():
        tensor = ref()
        g = grads[index]
        if tensor is not None and g is not None:
            tensor._grad = g.clone() if tensor._grad is None else tensor._grad + g


_core.set_output_hooks(_output_hooks)


def backward_to(
    inputs: Sequence[Any],
    tensors: Sequence[Any],
    grads: Sequence[Any] | None,
    retain_graph: bool,
    create_graph: bool,
) -> None:
    """Adds gradients to the ``.grad`` of `inputs` only."""
    found = _core.run_backward(tensors, grads, retain_graph, create_graph, inputs)
    for t, g in zip(inputs, found, strict=True):
        if g is not None:
            t._grad = g.clone() if t._grad is None else t._grad + g
