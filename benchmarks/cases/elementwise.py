"""Elementwise ops, reductions and softmax on cache-sized and memory-sized tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, Step, forward_backward, tensor

SIZES = {"64 KB": (128, 128), "4 MB": (1024, 1024), "64 MB": (4096, 4096)}


def _case(
    name: str, size: str, function: Callable[[Any, Any, Any], Any], traffic: int, grad: bool = False
) -> Case:
    shape = SIZES[size]

    def build(t: Any) -> Step:
        a, b = tensor(t, *shape, grad=grad), tensor(t, *shape, seed=1)
        if grad:
            return forward_backward(lambda: function(t, a, b), [a], t)
        return lambda: function(t, a, b)

    return Case(
        f"{name}{', training' if grad else ''}, {size}",
        build,
        0.0,
        4.0 * traffic * shape[0] * shape[1],
        "tanh" if name == "tanh" else "memory",
    )


OPS: list[tuple[str, Callable[[Any, Any, Any], Any], int]] = [
    ("add", lambda t, a, b: a + b, 3),
    ("mul by number", lambda t, a, b: a * 2.5, 2),
    ("exp", lambda t, a, b: t.exp(a), 2),
    ("tanh", lambda t, a, b: t.tanh(a), 2),
    ("relu", lambda t, a, b: t.relu(a), 2),
    ("sigmoid", lambda t, a, b: a.sigmoid(), 2),
    ("silu", lambda t, a, b: t.nn.functional.silu(a), 2),
    ("gelu", lambda t, a, b: t.nn.functional.gelu(a), 2),
    ("sum", lambda t, a, b: a.sum(), 1),
    ("sum rows", lambda t, a, b: a.sum(1), 1),
    ("sum columns", lambda t, a, b: a.sum(0), 1),
    ("softmax", lambda t, a, b: a.softmax(1), 2),
    ("log_softmax", lambda t, a, b: a.log_softmax(1), 2),
]
CASES = [
    *[_case(name, size, f, n) for name, f, n in OPS for size in ("64 KB", "4 MB")],
    _case("add", "64 MB", OPS[0][1], 3),
    *[
        _case(name, "4 MB", f, 2 * n + 1, grad=True)
        for name, f, n in OPS
        if name in ("relu", "tanh", "sigmoid", "silu", "gelu", "softmax", "log_softmax")
    ],
]
