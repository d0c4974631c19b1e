"""Matrix products: squares, transposes, skinny, odd, vectors, batches, bfloat16, linear with bias and activation."""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.case import Case, Step, tensor


def _kind(m: int, k: int, n: int) -> str:
    least = min(m, k, n)
    if least == 1:
        return "gemv"
    if least > 512:
        return "gemm"
    return {512: "gemm 512", 256: "gemm 256", 64: "gemm 64"}.get(least, "gemm small")


def _product(
    m: int, k: int, n: int, ta: bool = False, tb: bool = False, dtype: str = "float32"
) -> Case:
    half = dtype != "float32"

    def build(t: Any) -> Step:
        a = tensor(t, k, m).T if ta else tensor(t, m, k)
        b = tensor(t, n, k, seed=1).T if tb else tensor(t, k, n, seed=1)
        if half:
            a, b = a.to(getattr(t, dtype)), b.to(getattr(t, dtype))
        return lambda: a @ b

    name = f"{m}x{k}x{n} {'T' if ta else 'N'}{'T' if tb else 'N'}{f' {dtype}' if half else ''}"
    width = 2.0 if half else 4.0
    return Case(
        name,
        build,
        2.0 * m * k * n,
        width * (m * k + k * n + m * n),
        "gemm bf16" if half else _kind(m, k, n),
        quick=max(m, k, n) < 4096 or min(m, k, n) <= 64,
        peak="flops_bfloat16" if half else "flops",
    )


def _batched(b: int, m: int, k: int, n: int) -> Case:
    def build(t: Any) -> Step:
        x, y = tensor(t, b, m, k), tensor(t, b, k, n, seed=1)
        return lambda: x @ y

    work, size = 2.0 * b * m * k * n, 4.0 * b * (m * k + k * n + m * n)
    return Case(f"batch {b} of {m}x{k}x{n}", build, work, size, "gemm small")


def _linear(n: int, i: int, o: int, activation: str = "") -> Case:
    def build(t: Any) -> Step:
        layers = [t.nn.Linear(i, o)] + [t.nn.ReLU()] * (activation == "ReLU")
        return peers.prepare_inference(t, t.nn.Sequential(*layers), tensor(t, n, i))

    name = f"linear {n}x{i} to {o}" + (f", {activation}" if activation else "")
    return Case(name, build, 2.0 * n * i * o, 4.0 * (n * i + i * o + n * o), "linear")


CASES = [
    *[_product(n, n, n) for n in (32, 64, 128, 256, 512, 1024, 2048, 4096)],
    *[
        _product(n, n, n, a, b)
        for n in (128, 512, 1024)
        for a, b in ((True, False), (False, True), (True, True))
    ],
    *[_product(n, n, n) for n in (31, 47, 65, 127, 255, 513, 1023)],
    _product(127, 129, 131),
    _product(64, 784, 512, tb=True),
    *[_product(m, 1024, 1024, tb=True) for m in (2, 4, 8, 16)],
    _product(4096, 64, 64),
    _product(64, 4096, 64),
    _product(64, 64, 4096),
    _product(4096, 512, 16),
    *[_product(1, n, n, tb=tb) for n in (256, 1024, 4096) for tb in (False, True)],
    *[_product(n, n, 1, ta=ta) for n in (1024, 4096) for ta in (False, True)],
    _batched(256, 8, 8, 8),
    _batched(32, 64, 64, 64),
    _batched(8, 256, 64, 256),
    _batched(64, 17, 33, 19),
    *[_product(n, n, n, dtype="bfloat16") for n in (512, 1024, 2048)],
    *[_linear(n, i, o) for n, i, o in ((1, 512, 512), (64, 784, 512), (64, 512, 10), (256, 784, 512), (8, 4096, 4096))],
    *[_linear(n, i, o, "ReLU") for n, i, o in ((1, 64, 64), (64, 784, 512), (256, 512, 512))],
]  # fmt: skip
