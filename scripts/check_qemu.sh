#!/usr/bin/env bash
# Runs the native test driver on emulated processors: scripts/check_qemu.sh [--require] aarch64|nehalem|all [test area ...]
#   aarch64: cross-compiled, under qemu-aarch64 (only the portable kernels)
#   nehalem: the x86-64 build on a CPU without AVX: any AVX instruction on the way to the baseline kernels is a crash
# Without the tools it says what to install and skips; with --require that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
export FASTNN_TEST_EMULATED=1

usage() {
  sed -n '2,5s/^# //p' "$0" >&2
  exit 2
}

require=0
if [ "${1-}" = --require ]; then
  require=1
  shift
fi

have() {  # have <what> <packages> <tools...>
  local what="$1" packages="$2" tool
  shift 2
  for tool in "$@"; do
    if ! command -v "$tool" >/dev/null; then
      echo "SKIPPED $what: $tool is missing; install it with: apt-get install $packages" >&2
      return 1
    fi
  done
}

skip() { [ "$require" = 0 ]; }

build() {  # build <directory> <cmake arguments...>
  local build="$1"
  shift
  cmake -S . -B "$build" -G Ninja -DFASTNN_PYTHON=OFF -DFASTNN_NATIVE_TESTS=ON "$@" >/dev/null
  cmake --build "$build" --target fastnn_native_tests
}

aarch64() {
  have aarch64 "g++-aarch64-linux-gnu qemu-user" aarch64-linux-gnu-g++ qemu-aarch64 || { skip; return; }
  build build/aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
  qemu-aarch64 -L /usr/aarch64-linux-gnu build/aarch64/csrc/tests/fastnn_native_tests "$@"
}

nehalem() {
  if [ "$(uname -m)" != x86_64 ]; then
    echo "SKIPPED nehalem: this machine is not x86-64" >&2
    return
  fi
  have nehalem qemu-user qemu-x86_64 || { skip; return; }
  build build/native
  qemu-x86_64 -cpu Nehalem build/native/csrc/tests/fastnn_native_tests "$@"
}

[ $# -ge 1 ] || usage
what="$1"
shift
case "$what" in
  aarch64 | nehalem) "$what" "$@" ;;
  all)
    aarch64 "$@"
    nehalem "$@"
    ;;
  *) usage ;;
esac
