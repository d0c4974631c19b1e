"""Tiny tensors: what a call costs."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, tensor


def _binary(t: Any) -> Any:
    a, b = tensor(t, 16), tensor(t, 16, seed=1)
    return lambda: a + b


def _number(t: Any) -> Any:
    a = tensor(t, 16)
    return lambda: a * 2.0


def _unary(t: Any) -> Any:
    a = tensor(t, 16)
    return lambda: a.exp()


def _relu(t: Any) -> Any:
    a = tensor(t, 16)
    return lambda: t.relu(a)


def _sum(t: Any) -> Any:
    a = tensor(t, 16)
    return lambda: a.sum()


def _view(t: Any) -> Any:
    a = tensor(t, 16)
    return lambda: a.view(4, 4)


def _slice(t: Any) -> Any:
    a = tensor(t, 16)
    return lambda: a[2:5]


def _linear(t: Any) -> Any:
    x, w, b = tensor(t, 1, 16), tensor(t, 16, 16), tensor(t, 16)
    return lambda: t.nn.functional.linear(x, w, b)


def _matmul(t: Any) -> Any:
    a, b = tensor(t, 4, 4), tensor(t, 4, 4)
    return lambda: a @ b


def _chain(t: Any) -> Any:
    w, x = tensor(t, 16, grad=True), tensor(t, 16)

    def step() -> None:
        w.grad = None
        (w * x + x).sum().backward()

    return step


CASES = [
    Case("a + b, 16 elements", _binary, kind="overhead"),
    Case("a * 2.0, 16 elements", _number, kind="overhead"),
    Case("exp, 16 elements", _unary, kind="overhead"),
    Case("relu, 16 elements", _relu, kind="overhead"),
    Case("sum, 16 elements", _sum, kind="overhead"),
    Case("view", _view, kind="overhead"),
    Case("slice", _slice, kind="overhead"),
    Case("4x4 matmul", _matmul, kind="overhead"),
    Case("linear 1x16x16", _linear, kind="overhead"),
    Case("mul, add, sum forward + backward", _chain, kind="overhead"),
]
