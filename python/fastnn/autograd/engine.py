"""Runs backward functions from roots to leaves: iterative, newest node first, freeing as it goes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._core import TensorBase
from .._errors import ShapeError
from .node import Node, edge_of, state

_wrap = _core.wrap


class _Run:
    """One backward pass."""

    def __init__(self, retain_graph: bool, create_graph: bool, targets: dict | None) -> None:
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.targets = targets  # edge key -> captured gradient; None: every leaf accumulates
        self.buffers: dict[Node, list] = {}
        self.heap: list[tuple[int, Node]] = []
        self.needed: set[Node] | None = None  # with targets: the nodes on the way to them
        # Arrays that somebody owns already: a leaf may not take such an array as its .grad without a copy.
        self.taken: set[int] = set()

    def add(self, edge: Any, grad: Any) -> None:
        """Gives `grad` to where `edge` points."""
        if type(edge) is not tuple:
            self._to_leaf(edge, grad)
            return
        node, index = edge
        buffer = self.buffers.get(node)
        if buffer is None:
            if (
                self.needed is not None
                and node not in self.needed
                and edge not in (self.targets or ())
            ):
                return
            self.buffers[node] = buffer = [None] * node.outputs
            heapq.heappush(self.heap, (-node.sequence, node))
        known = buffer[index]
        buffer[index] = grad if known is None else known + grad

    def _to_leaf(self, leaf: Any, grad: Any) -> None:
        if leaf._hooks:
            for hook in tuple(leaf._hooks.values()):
                grad = _replaced(hook(grad), grad)
        if grad._data.shape != leaf._data.shape:
            raise ShapeError(
                f"backward: a gradient of shape {tuple(grad._data.shape)} came for a tensor of shape "
                f"{tuple(leaf._data.shape)}"
            )
        if grad._data.dtype != leaf._data.dtype:
            grad = grad.to(leaf.dtype)
        if self.targets is not None:
            key = id(leaf)
            if key in self.targets:
                known = self.targets[key]
                self.targets[key] = grad if known is None else known + grad
            return
        known = leaf._grad
        if self.create_graph:
            leaf._grad = grad if known is None else known + grad
        elif known is None:
            leaf._grad = self._own(grad)
        elif (
            id(known._data) in self.taken
        ):  # a second gradient in this run: others may read the first
            leaf._grad = self._own(known + grad)
        else:
            known.add_(grad)
        _run_post_accumulate(leaf)

    def _own(self, grad: Any) -> Any:
        """A tensor whose array nobody else has."""
        a = grad._data
        if id(a) in self.taken or isinstance(a.base, np.ndarray) or not _dense(a):
            a = a.copy()
        self.taken.add(id(a))
        return _wrap(a)

    def loop(self) -> None:
        heap, buffers = self.heap, self.buffers
        while heap:
            node = heapq.heappop(heap)[1]
            grads = buffers.pop(node)
            if node.metadata is not None:
                _output_hooks(node, grads)
            if self.targets is not None:
                self._capture(node, grads)
                if self.needed is not None and node not in self.needed:
                    continue
            self._step(node, grads)

    def _capture(self, node: Node, grads: list) -> None:
        for i, g in enumerate(grads):
            if g is not None and (node, i) in self.targets:  # type: ignore[operator]
                self.targets[(node, i)] = g  # type: ignore[index]

    def _step(self, node: Node, grads: list) -> None:
        if node.prehooks:
            for hook in tuple(node.prehooks.values()):
                grads = list(_replaced(hook(tuple(grads)), grads))
        results = node.backward(node, *grads)
        edges = node.edges
        if type(results) is not tuple:
            results = (results,)
        if len(results) != len(edges):
            raise RuntimeError(
                f"{node.display_name()} returned {len(results)} gradients for {len(edges)} inputs"
            )
        if node.hooks:
            for hook in tuple(node.hooks.values()):
                results = _replaced(hook(results, tuple(grads)), results)
        if not self.retain_graph:
            node.free()
        for edge, grad in zip(edges, results, strict=True):
            if edge is not None and grad is not None:
                self.add(edge, grad)


def _replaced(result: Any, before: Any) -> Any:
    return before if result is None else result


def _dense(a: np.ndarray) -> bool:
    """Row-major, or dense in another order of axes (channels-last): what a .grad may be."""
    flags = a.flags
    return bool(flags.c_contiguous or flags.f_contiguous or _packed(a))


def _packed(a: np.ndarray) -> bool:
    step = a.itemsize
    for stride, n in sorted((s, n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if stride != step:
            return False
        step *= n
    return True


def _output_hooks(node: Node, grads: list) -> None:
    """Hooks on non-leaf tensors, and retain_grad."""
    for index, hooks in node.metadata.get("hooks", {}).items():  # type: ignore[union-attr]
        if grads[index] is not None:
            for hook in tuple(hooks.values()):
                grads[index] = _replaced(hook(grads[index]), grads[index])
    for index, ref in node.metadata.get("retain", {}).items():  # type: ignore[union-attr]
        tensor = ref()
        g = grads[index]
        if tensor is not None and g is not None:
            tensor._grad = g.clone() if tensor._grad is None else tensor._grad + g


def _run_post_accumulate(leaf: Any) -> None:
    hooks = getattr(leaf, "_post_accumulate", None)
    if hooks:
        for hook in tuple(hooks.values()):
            hook(leaf)


def _reachable(roots: list) -> list[Node]:
    seen: set[Node] = set()
    stack = [e[0] for e in roots if type(e) is tuple]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack.extend([e[0] for e in node.edges if type(e) is tuple])
    return sorted(seen, key=lambda n: n.sequence)


def _needed_nodes(root_edges: list, targets: dict) -> set[Node]:
    """The nodes through which a target is reached."""
    needed: set[Node] = set()
    for node in _reachable(root_edges):
        for e in node.edges:
            if e is None:
                continue
            if type(e) is tuple:
                if e[0] in needed or e in targets:
                    needed.add(node)
                    break
            elif id(e) in targets:
                needed.add(node)
                break
    return needed


def _root_grads(tensors: Sequence[Any], grads: Sequence[Any] | None, op: str) -> list:
    if grads is None:
        grads = [None] * len(tensors)
    if len(grads) != len(tensors):
        raise RuntimeError(f"{op}: got {len(tensors)} tensors and {len(grads)} gradients")
    roots = []
    for t, g in zip(tensors, grads, strict=True):
        if not isinstance(t, TensorBase):
            raise TypeError(f"{op}: expected Tensors, got {type(t).__name__}")
        if not t.requires_grad:
            raise RuntimeError(
                f"{op}: element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if g is None:
            if t._data.size != 1:
                raise RuntimeError(
                    f"{op}: grad can be implicitly created only for scalar outputs, got shape "
                    f"{tuple(t._data.shape)}; pass gradient="
                )
            g = _wrap(np.ones(t._data.shape, t._data.dtype))
        elif not isinstance(g, TensorBase):
            raise TypeError(f"{op}: gradients must be Tensors or None, got {type(g).__name__}")
        elif tuple(g._data.shape) != tuple(t._data.shape):
            raise ShapeError(
                f"{op}: Mismatch in shape: gradient has shape {tuple(g._data.shape)} and the tensor "
                f"has shape {tuple(t._data.shape)}"
            )
        elif g._data.dtype != t._data.dtype:
            g = g.to(t.dtype)
        roots.append((edge_of(t), g))
    return roots


def run_backward(
    tensors: Sequence[Any],
    grads: Sequence[Any] | None,
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Any] | None,
    op: str = "backward",
    accumulate: bool = True,
) -> list[Any]:
    """One backward pass; returns the gradients of `inputs` (when they are captured, not accumulated)."""
    roots = _root_grads(tensors, grads, op)
    keys: list = []
    targets: dict | None = None
    if inputs is not None:
        for t in inputs:
            if not t.requires_grad:
                raise RuntimeError(f"{op}: One of the differentiated Tensors does not require grad")
            e = edge_of(t)
            keys.append(e if type(e) is tuple else id(e))
        targets = dict.fromkeys(keys)
    run = _Run(retain_graph, create_graph, targets)
    if targets is not None:
        run.needed = _needed_nodes([e for e, _ in roots], targets)
    before = state.enabled
    state.enabled = create_graph
    try:
        for edge, g in roots:
            run.taken.add(id(g._data))
            run.add(edge, g)
        run.loop()
    finally:
        state.enabled = before
    if targets is None:
        return []
    captured = [targets[k] for k in keys]
    if accumulate:
        for t, g in zip(inputs or (), captured, strict=True):
            if g is not None:
                t._grad = g.clone() if t._grad is None else t._grad + g
    return captured
