"""Matrix products: squares, transposes, skinny, odd, vectors, batches, linear with bias."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, tensor


def _product(
    m: int, k: int, n: int, ta: bool = False, tb: bool = False, share: float = 0.0
) -> Case:
    def build(t: Any) -> Any:
        a = tensor(t, k, m).t() if ta else tensor(t, m, k)
        b = tensor(t, n, k, seed=1).t() if tb else tensor(t, k, n, seed=1)
        return lambda: a @ b

    name = f"{m}x{k}x{n} {'T' if ta else 'N'}{'T' if tb else 'N'}"
    return Case(name, build, 2.0 * m * k * n, 4.0 * (m * k + k * n + m * n), 1.0, share)


def _batched(b: int, m: int, k: int, n: int) -> Case:
    def build(t: Any) -> Any:
        x, y = tensor(t, b, m, k), tensor(t, b, k, n, seed=1)
        return lambda: x @ y

    return Case(
        f"batch {b} of {m}x{k}x{n}", build, 2.0 * b * m * k * n, 4.0 * b * (m * k + k * n + m * n)
    )


def _linear(n: int, i: int, o: int) -> Case:
    def build(t: Any) -> Any:
        x, w, b = tensor(t, n, i), tensor(t, o, i, seed=1), tensor(t, o)
        return lambda: t.nn.functional.linear(x, w, b)

    return Case(
        f"linear {n}x{i} to {o}, bias", build, 2.0 * n * i * o, 4.0 * (n * i + i * o + n * o)
    )


CASES = [
    *[
        _product(n, n, n, share=0.85 if n >= 512 else 0.0)
        for n in (32, 64, 128, 256, 512, 1024, 2048)
    ],
    *[_product(512, 512, 512, a, b) for a, b in ((True, False), (False, True), (True, True))],
    _product(127, 129, 131),
    _product(64, 784, 512, tb=True),
    _product(8, 1024, 1024, tb=True),
    _product(1, 1024, 1024, tb=True),
    _product(1024, 1024, 1),
    _product(4096, 64, 64),
    _product(64, 4096, 64),
    _batched(32, 64, 64, 64),
    _batched(8, 256, 64, 256),
    _linear(64, 784, 512),
    _linear(64, 512, 10),
    _linear(1, 512, 512),
]
