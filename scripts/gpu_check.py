"""Everything that a machine with a GPU should be asked, in one command; each section's result is written at once.

    python scripts/gpu_check.py [--shim] [--out runs/gpu_check] [section ...]

Sections: build, tests, sanitizer, benchmarks (all of them when none is named). With --shim the whole course runs on a
machine without a GPU: kernels on the host shim, tests/fakecupy in CuPy's place, no compute-sanitizer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"build": 400, "tests": 150, "sanitizer": 120, "benchmarks": 120}  # seconds


def run(
    command: list[str], out: Path, name: str, limit: int, env: dict[str, str]
) -> dict[str, Any]:
    """Runs a command with its output in a file; how it ended."""
    start = time.monotonic()
    with open(out / f"{name}.log", "w") as log:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=log, timeout=limit, env=env, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = 124
        except FileNotFoundError as e:
            log.write(str(e))
            code = 127
    return {"ok": code == 0, "exit": code, "seconds": round(time.monotonic() - start, 1)}


def environment(shim: bool) -> dict[str, str]:
    paths = [ROOT / "python", ROOT / "tests/fakecupy" if shim else ROOT / "build/gpu/python"]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "FASTNN_TEST_DEVICE": "cuda",
        "FASTNN_TEST_FULL": "0",
    }


def build(out: Path, shim: bool) -> dict[str, Any]:
    if shim:
        configure = ["-B", "build/dev", "-DFASTNN_CUDA=OFF", "-DFASTNN_CUDA_SHIM=ON"]
        folder, target = "build/dev", "cuda_shim_module"
    else:
        configure = [
            "-B",
            "build/gpu",
            "-G",
            "Ninja",
            "-DFASTNN_CUDA=ON",
            f"-DPython_EXECUTABLE={sys.executable}",
        ]
        folder, target = "build/gpu", "cuda_module"
    first = run(["cmake", "-S", ".", *configure], out, "configure", 60, dict(os.environ))
    if not first["ok"]:
        return first
    done = run(
        ["cmake", "--build", folder, "--target", "_core", target],
        out,
        "build",
        LIMITS["build"],
        dict(os.environ),
    )
    if done["ok"] and not shim:
        package = ROOT / "build/gpu/python/fastnn_cuda"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        for module in (ROOT / "build/gpu/cuda").glob("_cuda*.so"):
            shutil.copy(module, package)
    return done


def tests(out: Path, shim: bool) -> dict[str, Any]:
    files = [
        "tests/cuda",
        *(f"tests/ops/test_{op}.py" for op in ("conv", "gemm", "pool", "softmax", "cross_entropy")),
    ]
    files = [f for f in files if (ROOT / f).exists()][: 1 if shim else None]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    return run(command, out, "tests", LIMITS["tests"], environment(shim))


def sanitizer(out: Path, shim: bool) -> dict[str, Any]:
    if shim:
        return {"ok": True, "skipped": "scripts/test_cuda_shim.sh --sanitize stands for it"}
    results: dict[str, Any] = {"ok": True}
    for tool in ("memcheck", "racecheck", "synccheck"):
        command = [
            "compute-sanitizer", "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q", "-x",
            "tests/cuda/test_device.py", "-k", "training or there_and_back",
        ]  # fmt: skip
        results[tool] = run(
            command, out, f"sanitizer-{tool}", LIMITS["sanitizer"] // 3, environment(shim)
        )
        results["ok"] &= results[tool]["ok"]
    return results


def benchmarks(out: Path, shim: bool) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        "--measure",
        "--out",
        str(out),
        *(["--shim"] if shim else []),
    ]
    return run(command, out, "benchmarks", LIMITS["benchmarks"], environment(shim))


def measure(out: Path, shim: bool) -> None:
    """Our time and PyTorch's, taken in turn on the same GPU with the same random numbers; medians."""
    import fastnn

    try:
        import torch

        peers = [fastnn, torch] if shim is False and torch.cuda.is_available() else [fastnn]
    except ImportError:
        peers = [fastnn]
    size, image = (64, 8) if shim else (4096, 64)
    repeats = 2 if shim else 20
    cases: dict[str, Callable[[Any], Callable[[], Any]]] = {
        "gemm float32": lambda m: _bound(m.matmul, *_randn(m, 2, (size, size))),
        "gemm bfloat16": lambda m: _bound(m.matmul, *_randn(m, 2, (size, size), "bfloat16")),
        "add": lambda m: _bound(m.add, *_randn(m, 2, (size, size))),
        "sum": lambda m: _bound(m.sum, *_randn(m, 1, (size, size))),
        "softmax": lambda m: _bound(lambda x: m.softmax(x, -1), *_randn(m, 1, (size, size))),
        "max_pool2d": lambda m: _bound(
            lambda x: m.nn.functional.max_pool2d(x, 2), *_randn(m, 1, (image, 64, 56, 56))
        ),
    }
    results = {}
    for name, make in cases.items():
        calls = [make(m) for m in peers]
        times: list[list[float]] = [[] for _ in peers]
        for repeat in range(repeats + 1):
            for module, call, own in zip(peers, calls, times, strict=True):
                module.cuda.synchronize()
                start = time.perf_counter()
                call()
                module.cuda.synchronize()
                if repeat:
                    own.append(time.perf_counter() - start)
        medians = [statistics.median(t) for t in times]
        results[name] = {m.__name__: s for m, s in zip(peers, medians, strict=True)}
        print(name, results[name], flush=True)
        (out / "benchmarks.json").write_text(json.dumps(results, indent=1))


def _randn(module: Any, count: int, shape: tuple, dtype: str = "float32") -> list[Any]:
    return [module.randn(shape, device="cuda").to(getattr(module, dtype)) for _ in range(count)]


def _bound(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


SECTIONS = {"build": build, "tests": tests, "sanitizer": sanitizer, "benchmarks": benchmarks}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shim", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/gpu_check")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    args = parser.parse_args()
    unknown = set(args.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {unknown.pop()!r}; choose from {', '.join(SECTIONS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.measure:
        measure(args.out, args.shim)
        return 0
    summary: dict[str, Any] = {"on_hardware": not args.shim}
    for name in args.sections or SECTIONS:
        summary[name] = SECTIONS[name](args.out, args.shim)
        print(
            f"{'ok' if summary[name]['ok'] else 'FAILED':7} {name:11} {summary[name]}", flush=True
        )
        (args.out / "summary.json").write_text(json.dumps(summary, indent=1))
    return 0 if all(s["ok"] for s in summary.values() if isinstance(s, dict)) else 1


if __name__ == "__main__":
    sys.exit(main())
