"""Builds the wheel, installs it into an empty environment, and checks what a user would get.

Budgets: the wheel under 5 MB; `import fastnn` at most 0.1 s beyond NumPy (best of several); dependencies as declared.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "build/wheels"  # scripts/check_cuda_wheel.py takes it from there
MAX_WHEEL_MB = 5.0
MAX_IMPORT_SECONDS = 0.1

SMOKE = """
import numpy as np
import fastnn
from fastnn import nn
fastnn.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))
loss = nn.functional.cross_entropy(model(fastnn.randn(2, 1, 8, 8)), fastnn.tensor([1, 2]))
loss.backward()
assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in model.parameters())
print("wheel works: loss", round(loss.item(), 4))
"""


def run(*command: str | Path, **kwargs: object) -> str:
    done = subprocess.run(
        [str(c) for c in command], check=True, text=True, stdout=subprocess.PIPE, **kwargs
    )
    return done.stdout


def best_seconds(python: Path, statement: str, cwd: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return min(float(run(python, "-c", code, cwd=cwd)) for _ in range(7))


def main() -> int:
    with tempfile.TemporaryDirectory() as tmp:
        start = time.perf_counter()
        for old in WHEELS.glob("fastnn-*.whl"):
            old.unlink()
        run(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            WHEELS,
            ROOT,
        )
        (wheel,) = WHEELS.glob("fastnn-*.whl")
        megabytes = wheel.stat().st_size / 1e6
        print(f"{wheel.name}: {megabytes:.2f} MB, built in {time.perf_counter() - start:.0f} s")
        names = zipfile.ZipFile(wheel).namelist()
        stray = [n for n in names if not n.startswith(("fastnn/", "fastnn-"))]
        if stray or not any(n.endswith("py.typed") for n in names):
            print(f"the wheel's contents are wrong: stray {stray}, py.typed must be there")
            return 1
        venv.create(Path(tmp) / "env", with_pip=True)
        python = Path(tmp) / "env" / "bin" / "python"
        run(python, "-m", "pip", "install", "-q", wheel)
        print(run(python, "-c", SMOKE, cwd=tmp).strip())
        numpy = best_seconds(python, "import numpy", tmp)
        ours = best_seconds(python, "import numpy, fastnn", tmp)
        print(f"import: numpy {numpy:.3f} s, with fastnn {ours:.3f} s")
        if megabytes > MAX_WHEEL_MB or ours - numpy > MAX_IMPORT_SECONDS:
            print(f"over budget: {MAX_WHEEL_MB} MB, {MAX_IMPORT_SECONDS} s beyond NumPy")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
