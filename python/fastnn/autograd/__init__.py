"""Automatic differentiation: the tape, the backward pass, user-defined functions, gradient checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _core
from . import node as _node
from .engine import backward_to as _backward_to
from .function import Function, FunctionCtx, once_differentiable
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .node import (
    Node,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Node",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]


def _listed(x: Any) -> list | None:
    if x is None:
        return None
    return [x] if isinstance(x, _core.TensorBase) else list(x)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of `tensors` to the ``.grad`` of the leaves (or of `inputs` only)."""
    roots = [tensors] if isinstance(tensors, _core.TensorBase) else list(tensors)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        _core.run_backward(roots, _listed(grad_tensors), keep, create_graph)
        return
    wanted = _listed(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    _backward_to(wanted, roots, _listed(grad_tensors), keep, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`; ``.grad`` of no tensor changes.

    Raises RuntimeError when an input was not used, unless `allow_unused` (then None) or `materialize_grads` (then zeros).
    """
    if is_grads_batched:
        raise NotImplementedError(
            "autograd.grad: is_grads_batched is not supported; loop over the rows"
        )
    roots, wanted = _listed(outputs) or [], _listed(inputs) or []
    keep = create_graph if retain_graph is None else retain_graph
    found: Sequence[Any] = _core.run_backward(
        roots, _listed(grad_outputs), keep, create_graph, wanted, "grad"
    )
    if materialize_grads:
        from ..ops.creation import zeros_like

        return tuple(zeros_like(t) if g is None else g for t, g in zip(wanted, found, strict=True))
    if not allow_unused and any(g is None for g in found):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior."
        )
    return tuple(found)


def __getattr__(name: str) -> Any:  # graph.Node lives in torch.autograd.graph
    if name == "graph":
        return _node
    raise AttributeError(f"module 'fastnn.autograd' has no attribute '{name}'")
