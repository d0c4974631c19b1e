"""Builds the plugin wheel fastnn-cuda13 and installs it on this machine, which need have no driver and no GPU.

    python scripts/check_cuda_wheel.py [--require]

Budgets: built in 6 minutes on 2 cores, under 25 MB. In an empty environment `import fastnn` has to work, and asking for
CUDA has to say what is missing: the plugin, then CuPy, then a GPU. Without nvcc it skips; with --require that is a
failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "build/wheels"  # where check_wheel.py has put fastnn's own
MAX_MB, MAX_SECONDS = 25.0, 360.0
SYSTEM = ("libm.so", "libgcc_s.so", "libc.so", "ld-linux", "libpthread", "libdl.so", "librt.so")

SMOKE = """
import sys
import fastnn
assert (fastnn.ones(2) + 1).tolist() == [2, 2] and "cupy" not in sys.modules
missing, available = fastnn.cuda.why_unavailable(), fastnn.cuda.is_available()
assert available == (missing is None) == (fastnn.cuda.device_count() > 0)
if available:
    assert (fastnn.ones(2, device="cuda") + 1).tolist() == [2, 2]
else:
    try:
        fastnn.ones(2, device="cuda")
    except RuntimeError as e:
        assert str(e) == missing
print(missing)
"""


def run(*command: str | Path) -> str:
    return subprocess.run(
        [str(c) for c in command], check=True, text=True, stdout=subprocess.PIPE, cwd=WHEELS
    ).stdout


def build() -> Path:
    for old in WHEELS.glob("fastnn_cuda13-*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run(*pip, "-w", WHEELS, ROOT / "cuda/plugin")
    (wheel,) = WHEELS.glob("fastnn_cuda13-*.whl")
    return wheel


def needed(wheel: Path, folder: str) -> list[str]:
    """Shared libraries that the module asks for, but for those of every system."""
    with zipfile.ZipFile(wheel) as z:
        (name,) = (n for n in z.namelist() if n.endswith(".so"))
        text = run("readelf", "-d", z.extract(name, folder))
    names = [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]
    return [n for n in names if not n.startswith(SYSTEM)]


def check_install(folder: str) -> None:
    venv.create(Path(folder) / "env", with_pip=True)
    python = Path(folder) / "env/bin/python"
    # By their files: the registry's names are not ours.
    (ours,), (plugin,) = WHEELS.glob("fastnn-*.whl"), WHEELS.glob("fastnn_cuda13-*.whl")
    pip = [python, "-m", "pip", "install", "-q"]
    steps = (
        ([ours], "the plugin fastnn-cuda13"),
        ([plugin], "CuPy"),
        ([f"fastnn[cuda13] @ {ours.as_uri()}"], "GPU"),
    )
    for packages, expected in steps:
        run(*pip, *packages)
        said = run(python, "-c", SMOKE).strip()
        print(f"with {packages[0]}: {said}", flush=True)
        assert said == "None" or expected in said, f"expected a word about {expected}"


def main() -> int:
    WHEELS.mkdir(parents=True, exist_ok=True)
    if not shutil.which(os.environ.get("CUDACXX", "nvcc")):
        print("no nvcc (CUDACXX=/path/to/nvcc names one)")
        return int("--require" in sys.argv)
    if not list(WHEELS.glob("fastnn-*.whl")):
        run(sys.executable, ROOT / "scripts/check_wheel.py")
    start = time.perf_counter()
    wheel = build()
    seconds, megabytes = time.perf_counter() - start, wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {megabytes:.2f} MB, built in {seconds:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        strangers = needed(wheel, folder)
        if strangers or megabytes > MAX_MB or seconds > MAX_SECONDS:
            print(f"over budget ({MAX_MB} MB, {MAX_SECONDS} s), or libraries needed: {strangers}")
            return 1
        check_install(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
