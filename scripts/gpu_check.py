"""Everything that a machine with a GPU should be asked, in one command; each section's result is written at once.

    python scripts/gpu_check.py [--shim] [--out runs/gpu_check] [section ...]

Sections: build, calibration, tests, sanitizer, benchmarks (all of them when none is named). With --shim the whole course
runs on a machine without a GPU: kernels on the host shim, tests/fakecupy in CuPy's place, and in compute-sanitizer's the
shim's own checks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {
    "build": 240,
    "calibration": 30,
    "tests": 150,
    "sanitizer": 90,
    "benchmarks": 60,
}  # seconds: under ten minutes


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
        folder, targets = "build/dev", ["cuda_shim_module", "fastnn_cuda_tests"]
    else:
        configure = [
            "-B",
            "build/gpu",
            "-G",
            "Ninja",
            "-DFASTNN_CUDA=ON",
            f"-DPython_EXECUTABLE={sys.executable}",
        ]
        folder, targets = "build/gpu", ["cuda_module"]
    first = run(["cmake", "-S", ".", *configure], out, "configure", 60, dict(os.environ))
    if not first["ok"]:
        return first
    done = run(
        ["cmake", "--build", folder, "--target", "_core", *targets],
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
    files = ["tests/cuda", "tests/ops/test_functional.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    return run(command, out, "tests", LIMITS["tests"], environment(shim))


def sanitizer(out: Path, shim: bool) -> dict[str, Any]:
    if shim:  # what test_cuda_shim.sh runs, here in one schedule
        command = ["build/dev/cuda/tests/fastnn_cuda_tests", "--quick"]
        return run(command, out, "sanitizer", LIMITS["sanitizer"], dict(os.environ))
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


def calibration(out: Path, shim: bool) -> dict[str, Any]:
    """The lane maps as the hardware has them, beside the committed ones, with which CI compares the shim."""
    program = ROOT / ("build/dev/cuda/tests/fastnn_cuda_tests" if shim else "build/gpu/lane_maps")
    if not shim:
        compile_it = [
            "nvcc", "-std=c++20", "-arch=native", "-Icsrc/include", "-Icuda", "cuda/tests/lane_maps.cu",
            "-o", str(program),
        ]  # fmt: skip
        done = run(compile_it, out, "calibration", LIMITS["calibration"], dict(os.environ))
        if not done["ok"]:
            return done
    command = [str(program), *(["--lane-maps"] if shim else [])]
    done = run(command, out, "lane_maps", LIMITS["calibration"], dict(os.environ))
    found = (out / "lane_maps.log").read_text()
    committed = (ROOT / "tests/cuda/lane_maps.txt").read_text()
    done["ok"] &= found.partition("\n")[2] == committed.partition("\n")[2]
    done["source"] = found.partition("\n")[0]
    if not shim and done["ok"]:
        done["next"] = (
            f"commit {out / 'lane_maps.log'} as tests/cuda/lane_maps.txt: it comes from hardware"
        )
    return done


def benchmarks(out: Path, shim: bool) -> dict[str, Any]:
    command = [
        sys.executable,
        "scripts/cuda_bench.py",
        "--out",
        str(out),
        *(["--shim"] if shim else []),
    ]
    return run(command, out, "benchmarks", LIMITS["benchmarks"], environment(shim))


SECTIONS = {
    "build": build,
    "calibration": calibration,
    "tests": tests,
    "sanitizer": sanitizer,
    "benchmarks": benchmarks,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shim", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/gpu_check")
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    args = parser.parse_args()
    unknown = set(args.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {unknown.pop()!r}; choose from {', '.join(SECTIONS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.shim:  # on a small machine
        LIMITS.update({name: 4 * seconds for name, seconds in LIMITS.items()})
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
