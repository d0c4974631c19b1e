"""Optimizer steps over many parameters."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Step, tensor

SHAPES = [(512, 784), (512,), (512, 512), (512,), (10, 512), (10,), (1024, 1024), (1024, 1024)]


def _case(name: str, traffic: int, **kwargs: Any) -> Case:
    total = sum(s[0] * (s[1] if len(s) > 1 else 1) for s in SHAPES)

    def build(t: Any) -> Step:
        params = [tensor(t, *s, seed=i, grad=True) for i, s in enumerate(SHAPES)]
        for i, p in enumerate(params):
            p.grad = tensor(t, *p.shape, seed=100 + i)
        optimizer = getattr(t.optim, name)(params, lr=1e-4, **kwargs)
        return optimizer.step

    detail = ", ".join(f"{k}={v}" for k, v in kwargs.items())
    return Case(f"{name} {detail} 2.8 M parameters", build, 0.0, 4.0 * traffic * total, "memory")


CASES = [
    _case("SGD", 3),
    _case("SGD", 5, momentum=0.9),
    _case("Adam", 7),
    _case("AdamW", 7),
    _case("RMSprop", 5),
    _case("Adagrad", 5),
    _case("Adadelta", 7),
    _case("NAdam", 7),
]
