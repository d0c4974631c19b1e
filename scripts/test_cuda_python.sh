#!/usr/bin/env bash
# device="cuda" on a machine without a GPU: the kernels on the host shim, tests/fakecupy in CuPy's place.
#
#   scripts/test_cuda_python.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
cmake -S . -B build/dev -DFASTNN_CUDA=OFF -DFASTNN_CUDA_SHIM=ON >/dev/null
cmake --build build/dev --target _core cuda_shim_module
export PYTHONPATH=$PWD/python:$PWD/tests/fakecupy FASTNN_TEST_DEVICE=cuda
if [ $# -gt 0 ]; then
  exec "$python" -m pytest -q "$@"
fi
FASTNN_TEST_FULL=0 "$python" -m pytest -q -p no:cacheprovider tests/cuda tests/ops/test_functional.py
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for device in cpu cuda; do
  "$python" -m fastnn train lenet5 --smoke --no-plots --device $device --out "$out/$device"
done
"$python" - "$out" <<'PY'
import json, sys
losses = [
    json.load(open(f"{sys.argv[1]}/{d}/metrics.json"))["epochs"][-1]["train_loss"] for d in ("cpu", "cuda")
]
print("train loss on the CPU and with device=cuda:", *losses)
assert abs(losses[0] - losses[1]) < 2e-3 * losses[0], losses
PY
