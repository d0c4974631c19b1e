"""Plants faults in the CUDA kernels, one at a time, and shows that the tests on the host shim catch each.

    python scripts/planted_faults.py [--list] [name ...]

Needs the shim tests built: scripts/test_cuda_shim.sh. The sources stay as they are: a fault is put into a copy, the
.cu files that it touches are compiled again and linked before the good ones.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class NotCaughtError(RuntimeError):
    pass


class Fault(NamedTuple):
    """`right` in `file` becomes `wrong`; `unit` is compiled again, test area `area` must fail."""

    name: str
    file: str
    right: str
    wrong: str
    unit: str
    area: str


FAULTS = [
    Fault("missing-barrier", "common/block.h", "  __syncthreads();\n  value = room[0];", "  value = room[0];",
          "softmax", "softmax"),
    Fault("off-by-one-tile", "common/tiles.h", "m0 + row < s.m;", "m0 + row <= s.m;", "gemm", "gemm"),
    Fault("uninitialised-shared-read", "common/tile_gemm.h", "        *target = p ? widen_to<C>(p[shift]) : C(0);",
          "        if (p) *target = widen_to<C>(p[shift]);", "gemm", "gemm"),
    Fault("misaligned-cp-async", "common/tile_gemm.h", "cp_async<4>(target, p ? p + shift : operand.data, p ? 4 : 0)",
          "cp_async<8>(target, p ? p + shift : operand.data, p ? 4 : 0)", "gemm", "gemm"),
    Fault("misaligned-vector-store", "elementwise.cu", "|| !aligned16(out.data)) return false;", ") return false;",
          "elementwise", "elementwise"),
    Fault("wrong-lane-map", "common/mma_tile.h", "lane_half = i / 8 % 2, k_half = i / 16;",
          "lane_half = i / 16, k_half = i / 8 % 2;", "gemm", "gemm"),
    Fault("wrong-lane-map-of-sums", "common/mma_gemm.h", "8 * half + lane / 4, c = column + 8 * j + lane % 4 * 2",
          "8 * half + lane % 8, c = column + 8 * j + lane / 8 * 2", "gemm", "gemm"),
    Fault("wrong-shuffle", "common/block.h", "__shfl_xor_sync(kFullMask, value, lanes)",
          "__shfl_xor_sync(kFullMask, value, lanes / 2)", "reduce", "reduce"),
    Fault("missing-stage-wait", "common/mma_gemm.h", "cp_async_wait<kStages - 2>();",
          "cp_async_wait<kStages - 1>();", "gemm", "gemm"),
    Fault("missing-stage-barrier", "common/mma_gemm.h",
          "__syncthreads();  // this slice is there for all warps, and the one before no longer read", "", "gemm", "gemm"),
    Fault("lost-zero-fill", "common/mma_tile.h", "cp_async<16>(to, from, count * static_cast<int>(sizeof(T)))",
          "cp_async<16>(to, from, count ? 16 : 0)", "gemm", "gemm"),
    Fault("missing-wait", "common/tile_gemm.h", "cp_async_wait<0>();", "cp_async_wait<1>();", "gemm", "gemm"),
    Fault("missing-tile-barrier", "common/tile_gemm.h",
          "__syncthreads();  // the slice is there, and the other buffer is no longer read", "", "gemm", "gemm"),
    Fault("divergent-shuffle", "common/block.h", "    const T other = shuffle_xor(value, d);",
          "    T other = value;\n    if (threadIdx.x % 32 < 31) other = shuffle_xor(value, d);", "softmax", "softmax"),
    Fault("out-of-bounds-store", "pool.cu", "  if (i >= a.count) return;", "  if (i > a.count) return;", "pool", "pool"),
    Fault("lost-partial-sum", "common/tiles.h", "p < s.splits; ++p", "p + 1 < s.splits; ++p", "conv", "conv"),
    Fault("wrong-stream-order", "common/tiles.h", '{"join_splits", stream,', '{"join_splits", nullptr,',
          "conv", "conv"),
    Fault("lost-tail", "common/map.h", "threadIdx.x < tail", "threadIdx.x + 1 < tail", "elementwise", "elementwise"),
    Fault("wrong-tensor-of-a-list", "optim.cu", "blockIdx.x >= t.first_block[k + 1]",
          "blockIdx.x > t.first_block[k + 1]", "optim", "optim"),
    Fault("wrong-word-of-a-draw", "random.cu", "words.w[e] <= a.threshold", "words.w[3 - e] <= a.threshold", "random",
          "random"),
]  # fmt: skip


CONTROL = Fault("no-fault", "softmax.cu", "softmax", "softmax", "softmax", "softmax")


def build_folder() -> Path:
    for name in ("dev", "shim"):
        if (ROOT / "build" / name / "cuda/tests/fastnn_cuda_tests").exists():
            return ROOT / "build" / name
    sys.exit("planted_faults: the shim tests are not built; run scripts/test_cuda_shim.sh first")


def run(command: list[str], folder: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )


def plant(fault: Fault, build: Path) -> str:
    """What the tests said of the fault; raises when it was not caught."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "cuda", folder / "cuda")
        (folder / "csrc").symlink_to(ROOT / "csrc")
        path = folder / "cuda" / fault.file
        text = path.read_text()
        if fault.right not in text:
            raise RuntimeError(f"{fault.file} has no text {fault.right!r} any more; update FAULTS")
        path.write_text(text.replace(fault.right, fault.wrong))
        cxx = os.environ.get("CXX", "c++")
        includes = [f"-I{folder}/cuda", f"-I{ROOT}/csrc", f"-I{ROOT}/csrc/include"]
        flags = ["-std=c++20", "-O0", "-fPIC", "-ffp-contract=off", "-w", "-DFASTNN_X86=1"]
        unit = f"cuda/{fault.unit}.cu"
        made = run([cxx, *flags, *includes, "-x", "c++", "-c", unit, "-o", "faulty.o"], folder)
        if made.returncode:
            raise RuntimeError(f"does not compile: {made.stderr[-500:]}")
        objects = sorted((build / "cuda/tests/CMakeFiles/fastnn_cuda_tests.dir").glob("*.o"))
        libraries = [build / "cuda/host/libfastnn_cuda_shim.a", build / "libfastnn_kernels.a"]
        linked = run(
            [cxx, *map(str, objects), "faulty.o", *map(str, libraries), "-lpthread", "-o", "tests"],
            folder,
        )
        if linked.returncode:
            raise RuntimeError(f"does not link: {linked.stderr[-500:]}")
        return complaint([str(folder / "tests"), fault.area])


def complaint(tests: list[str], seconds: int = 120) -> str:
    """The first failure of the tests, which are stopped there."""
    with subprocess.Popen(
        tests, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        line = process.stderr.readline() if process.stderr else ""
        if line:
            process.kill()
        process.wait()
        timer.cancel()
    if not line and process.returncode == 0:
        raise NotCaughtError("the tests pass")
    if not line and process.returncode == -signal.SIGKILL:
        raise NotCaughtError(f"the tests neither pass nor fail within {seconds} s")
    return line.strip() or f"exit status {process.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="only name the faults")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    chosen = [f for f in FAULTS if not args.names or f.name in args.names]
    if args.list:
        print("\n".join(f"{f.name:26} {f.file}" for f in chosen))
        return 0
    build, start, missed = build_folder(), time.monotonic(), 0
    with contextlib.suppress(NotCaughtError):
        sys.exit(f"planted_faults: the sources as they are fail too: {plant(CONTROL, build)}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [(f, pool.submit(plant, f, build)) for f in chosen]
        for fault, future in futures:
            try:
                print(f"caught  {fault.name:26} {future.result()[:150]}", flush=True)
            except (RuntimeError, subprocess.TimeoutExpired) as e:
                missed += 1
                print(f"MISSED  {fault.name:26} {e}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught in {time.monotonic() - start:.0f} s")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
