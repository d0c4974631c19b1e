#!/usr/bin/env bash
# The CUDA kernels on the host shim (no nvcc, no GPU), against the CPU's straight loops, in several
# schedules: scripts/test_cuda_shim.sh [--sanitize] [--quick] [area ...]
#   --sanitize: the CUDA half under AddressSanitizer and UndefinedBehaviorSanitizer (scripts/sanitize.sh: the CPU's)
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/shim sanitize=""
[ ! -f build/dev/build.ninja ] || build=build/dev  # the CPU's kernels are there already
if [ "${1:-}" = --sanitize ]; then
  build=build/shim-address sanitize=address,undefined
  shift
fi
python=OFF
[ "$build" != build/dev ] || python=ON
cmake -S . -B "$build" -G Ninja -DFASTNN_PYTHON=$python -DFASTNN_CUDA=OFF -DFASTNN_CUDA_SHIM=ON \
  -DFASTNN_SHIM_SANITIZE="$sanitize" >/dev/null
cmake --build "$build" --target fastnn_cuda_tests
# Shared memory and stacks of the shim are freed when threads end: nothing for the leak checker.
ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 "$build/cuda/tests/fastnn_cuda_tests" "$@"
