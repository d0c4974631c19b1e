"""Our time beside PyTorch's and CuPy's on the same GPU: taken in turn, on the same random numbers; medians in seconds.

    python scripts/cuda_bench.py [--shim] [--out folder]

Part of scripts/gpu_check.py, which sets the paths. With --shim the shapes are tiny, and the times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastnn

Call = Callable[[], Any]


def arrays(m: Any, count: int, shape: tuple, dtype: str = "float32") -> list[Any]:
    if m.__name__ == "cupy":
        return [m.asarray(t.cpu().numpy()) for t in arrays(fastnn, count, shape, dtype)]
    return [m.randn(shape, device="cuda").to(getattr(m, dtype)) for _ in range(count)]


def product(m: Any, n: int, dtype: str) -> Call:
    a, b = arrays(m, 2, (n, n), dtype)
    return lambda: a @ b


def add(m: Any, n: int) -> Call:
    a, b = arrays(m, 2, (n, n))
    return lambda: a + b


def total(m: Any, n: int) -> Call:
    (a,) = arrays(m, 1, (n, n))
    return lambda: a.sum()


def softmax(m: Any, n: int) -> Call:
    (a,) = arrays(m, 1, (n, n))
    return lambda: m.softmax(a, -1)


def pool(m: Any, n: int) -> Call:
    (x,) = arrays(m, 1, (max(n // 64, 1), 64, 56, 56))
    return lambda: m.nn.functional.max_pool2d(x, 2)


def convolution(m: Any, n: int, dtype: str) -> Call:
    (x,), (w,) = (
        arrays(m, 1, (max(n // 64, 1), 64, 56, 56), dtype),
        arrays(m, 1, (64, 64, 3, 3), dtype),
    )
    return lambda: m.nn.functional.conv2d(x, w, padding=1)


def lenet5_step(m: Any, n: int) -> Call:
    nn, batch = m.nn, 64 if n > 64 else 4
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
        nn.Linear(84, 10),
    ).to("cuda")  # fmt: skip
    (x,), y = arrays(m, 1, (batch, 1, 28, 28)), m.zeros(batch, dtype=m.int64, device="cuda")
    optimizer = m.optim.Adam(model.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def layer_call(m: Any, n: int) -> Call:
    """The host's time of a call: nothing waits for the GPU between 20 of them."""
    layer, (x,) = m.nn.Linear(8, 8).to("cuda"), arrays(m, 1, (8, 8))

    def calls() -> None:
        for _ in range(20):
            layer(x)

    return calls


TENSORS, ALL = ("fastnn", "torch"), ("fastnn", "torch", "cupy")
CASES: dict[str, tuple[Callable[..., Call], tuple, tuple]] = {
    "gemm float32": (product, ("float32",), ALL),
    "gemm bfloat16": (product, ("bfloat16",), TENSORS),
    "gemm float16": (product, ("float16",), ALL),
    "add": (add, (), ALL),
    "sum": (total, (), ALL),
    "softmax": (softmax, (), TENSORS),
    "max_pool2d": (pool, (), TENSORS),
    "conv2d float32": (convolution, ("float32",), TENSORS),
    "conv2d bfloat16": (convolution, ("bfloat16",), TENSORS),
    "lenet5 training step": (lenet5_step, (), TENSORS),
    "20 calls of a layer": (layer_call, (), TENSORS),
}


def peers(shim: bool) -> dict[str, Any]:
    import cupy

    found = {"fastnn": fastnn, "cupy": cupy}
    if not shim:
        try:
            import torch
        except ImportError:
            return found
        if torch.cuda.is_available():
            found["torch"] = torch
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return found


def in_turn(calls: dict[str, Call], repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):  # the first warms up
        for name, call in calls.items():
            fastnn.cuda.synchronize()  # of the device, whoever gave it work
            start = time.perf_counter()
            call()
            fastnn.cuda.synchronize()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shim", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_check"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found, results = peers(args.shim), {}
    for name, (make, options, who) in CASES.items():
        n = 32 if args.shim else 4096
        calls = {p: make(found[p], n, *options) for p in who if p in found}
        results[name] = in_turn(calls, 2 if args.shim else 30)
        print(name, {k: f"{v * 1e6:.0f} us" for k, v in results[name].items()}, flush=True)
        (args.out / "benchmarks.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
