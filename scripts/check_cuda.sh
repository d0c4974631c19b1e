#!/usr/bin/env bash
# Every .cu compiles alone, for sm_80 (with its PTX) and sm_90a, without a register spill and without
# a warning. Needs nvcc, and no GPU; without nvcc it skips, and with --require that is a failure.
#
#   scripts/check_cuda.sh [--require] [file.cu ...]
set -euo pipefail
cd "$(dirname "$0")/.."

require=0
if [ "${1:-}" = --require ]; then
  require=1
  shift
fi
if ! command -v "${NVCC:-nvcc}" >/dev/null; then
  echo "$([ $require = 1 ] && echo FAILED || echo skipped): no nvcc (NVCC=/path/to/nvcc names one)"
  exit $require
fi
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(cuda/*.cu)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export NVCC=${NVCC:-nvcc} out

compile() {
  local log=$out/${1//\//_}.log start=$SECONDS
  if ! "$NVCC" -std=c++20 -O3 -Icsrc/include -Icuda -Xcompiler -Wall,-Wextra,-Wno-unused-function -Xptxas -v \
    --compress-mode=size -gencode arch=compute_80,code=[sm_80,compute_80] -gencode arch=compute_90a,code=sm_90a \
    -c "$1" -o "$log.o" >"$log" 2>&1; then
    cat "$log"
    echo "FAILED $1: does not compile"
    return 1
  fi
  local bad
  bad=$(grep -E 'warning|C75[0-9][0-9]|[1-9][0-9]* bytes spill|Potential Performance Loss' "$log" || true)
  if [ -n "$bad" ]; then
    grep -B2 -E '[1-9][0-9]* bytes spill' "$log" | grep -E 'Compiling|spill' | head -20
    echo "$bad" | sort | uniq -c | head -20
    echo "FAILED $1: spills or warnings"
    return 1
  fi
  printf 'ok     %-28s %3d s, %3d kernels, at most %3d registers, %5d KiB\n' "$1" $((SECONDS - start)) \
    "$(grep -c 'Compiling entry' "$log")" "$(sed -n 's/.*Used \([0-9]*\) registers.*/\1/p' "$log" | sort -n | tail -1)" \
    $(($(stat -c %s "$log.o") / 1024))
}
export -f compile

start=$SECONDS
printf '%s\n' "${files[@]}" | xargs -P "${JOBS:-$(nproc)}" -I{} bash -c 'compile {}'
echo "all in $((SECONDS - start)) s"
