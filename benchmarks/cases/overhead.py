"""Tiny tensors: what a call costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, Step, tensor

Build = Callable[[Any], Step]


def _of(f: Callable[[Any, Any], Any], *shape: int, grad: bool = False) -> Build:
    """f(t, x) on one small tensor."""

    def build(t: Any) -> Step:
        x = tensor(t, *shape, grad=grad)
        return lambda: f(t, x)

    return build


def _binary(t: Any) -> Step:
    a, b = tensor(t, 16), tensor(t, 16, seed=1)
    return lambda: a + b


def _times(t: Any) -> Step:
    a, b = tensor(t, 16), tensor(t, 16, seed=1)
    return lambda: a * b


def _add_in_place(t: Any) -> Step:
    a, b = tensor(t, 16), t.zeros(16)
    return lambda: a.add_(b)


def _recorded(t: Any) -> Step:
    a, b = tensor(t, 16, grad=True), tensor(t, 16, seed=1)
    return lambda: a * b


def _linear(t: Any) -> Step:
    x, w, b = tensor(t, 1, 16), tensor(t, 16, 16), tensor(t, 16)
    return lambda: t.nn.functional.linear(x, w, b)


def _matmul(n: int) -> Build:
    def build(t: Any) -> Step:
        a, b = tensor(t, n, n), tensor(t, n, n)
        return lambda: a @ b

    return build


def _one_element(t: Any) -> Step:
    x = tensor(t, 1).sum()
    return lambda: x.item()


# ---- backward --------------------------------------------------------------------------------------------------


def _short(t: Any) -> Step:
    w, x = tensor(t, 16, grad=True), tensor(t, 16)

    def step() -> None:
        w.grad = None
        (w * x + x).sum().backward()

    return step


def _chain(t: Any, x: Any) -> Any:
    y = x
    for _ in range(3):
        y = (y * 1.01 + 0.5).tanh()
    return y.sum()  # ten ops in all


def _chain_forward(t: Any) -> Step:
    x = tensor(t, 16, grad=True)
    return lambda: _chain(t, x)


def _chain_backward(t: Any) -> Step:
    """Backward alone: the graph is kept."""
    x = tensor(t, 16, grad=True)
    loss = _chain(t, x)

    def step() -> None:
        x.grad = None
        loss.backward(retain_graph=True)

    return step


def _mlp(t: Any) -> Any:
    nn = t.nn
    t.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)
    )


def _mlp_both(t: Any) -> Step:
    model, x = _mlp(t), tensor(t, 4, 16)

    def step() -> None:
        model.zero_grad()
        model(x).sum().backward()

    return step


def _mlp_backward(t: Any) -> Step:
    model, x = _mlp(t), tensor(t, 4, 16)
    loss = model(x).sum()

    def step() -> None:
        model.zero_grad()
        loss.backward(retain_graph=True)

    return step


# ---- modules and optimizers ------------------------------------------------------------------------------------


def _module(grad: bool) -> Build:
    def build(t: Any) -> Step:
        model = t.nn.Sequential(t.nn.Linear(16, 16), t.nn.ReLU())
        model.requires_grad_(grad)
        x = tensor(t, 1, 16)
        return lambda: model(x)

    return build


def _parameters(t: Any) -> list:
    parameters = [tensor(t, 4, 4, seed=i, grad=True) for i in range(20)]
    for p in parameters:
        p.grad = t.ones_like(p)
    return parameters


def _optimizer(name: str, **options: Any) -> Build:
    def build(t: Any) -> Step:
        return getattr(t.optim, name)(_parameters(t), lr=1e-6, **options).step

    return build


def _zero_grad(set_to_none: bool) -> Build:
    def build(t: Any) -> Step:
        optimizer = t.optim.SGD(_parameters(t), lr=0.1)
        return lambda: optimizer.zero_grad(set_to_none)

    return build


_BUILDS: list[tuple[str, Build]] = [
    ("a + b, 16 elements", _binary),
    ("a * b, 16 elements", _times),
    ("a * 2.0, 16 elements", _of(lambda t, x: x * 2.0, 16)),
    ("a.add_(b), 16 elements", _add_in_place),
    ("a * b, recorded", _recorded),
    ("exp, 16 elements", _of(lambda t, x: x.exp(), 16)),
    ("relu, 16 elements", _of(lambda t, x: t.relu(x), 16)),
    ("sum, 16 elements", _of(lambda t, x: x.sum(), 16)),
    ("mean, 16 elements", _of(lambda t, x: x.mean(), 16)),
    ("sum of a dimension, 4x4", _of(lambda t, x: x.sum(1), 4, 4)),
    ("view", _of(lambda t, x: x.view(4, 4), 16)),
    ("view, recorded", _of(lambda t, x: x.view(4, 4), 16, grad=True)),
    ("reshape", _of(lambda t, x: x.reshape(4, -1), 16)),
    ("flatten", _of(lambda t, x: x.flatten(1), 2, 2, 4)),
    ("transpose", _of(lambda t, x: x.transpose(0, 1), 4, 4)),
    ("permute", _of(lambda t, x: x.permute(2, 0, 1), 2, 2, 4)),
    ("x[1:3]", _of(lambda t, x: x[1:3], 16)),
    ("x[1:3], recorded", _of(lambda t, x: x[1:3], 16, grad=True)),
    ("x[:, 1]", _of(lambda t, x: x[:, 1], 4, 4)),
    ("x[0]", _of(lambda t, x: x[0], 4, 4)),
    ("squeeze", _of(lambda t, x: x.squeeze(0), 1, 16)),
    ("unsqueeze", _of(lambda t, x: x.unsqueeze(0), 16)),
    ("expand", _of(lambda t, x: x.expand(4, 16), 1, 16)),
    ("detach", _of(lambda t, x: x.detach(), 16)),
    ("item", _one_element),
    ("matmul 4x4", _matmul(4)),
    ("matmul 8x8", _matmul(8)),
    ("linear 1x16x16", _linear),
    ("mul, add, sum forward + backward", _short),
    ("chain of 10 ops, forward", _chain_forward),
    ("chain of 10 ops, backward", _chain_backward),
    ("MLP 16-16-16-16, batch 4, backward", _mlp_backward),
    ("MLP 16-16-16-16, batch 4, both", _mlp_both),
    ("Linear + ReLU module", _module(False)),
    ("Linear + ReLU module, recorded", _module(True)),
    ("SGD step, 20 tiny parameters", _optimizer("SGD")),
    ("SGD momentum step, 20 tiny parameters", _optimizer("SGD", momentum=0.9)),
    ("Adam step, 20 tiny parameters", _optimizer("Adam")),
    ("zero_grad to None, 20 parameters", _zero_grad(True)),
    ("zero_grad to 0, 20 parameters", _zero_grad(False)),
]
CASES = [Case(name, build, kind="overhead") for name, build in _BUILDS]
