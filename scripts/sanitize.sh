#!/usr/bin/env bash
# Builds the native test driver with sanitizers and runs it: scripts/sanitize.sh address|thread|all [test area ...]
#   address: AddressSanitizer and UndefinedBehaviorSanitizer; thread: ThreadSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
}

run() {  # run <name> <sanitizers> <areas...>
  local build="build/sanitize-$1" sanitizers="$2"
  shift 2
  cmake -S . -B "$build" -G Ninja -DFASTNN_PYTHON=OFF -DFASTNN_NATIVE_TESTS=ON \
    -DFASTNN_SANITIZE="$sanitizers" >/dev/null
  cmake --build "$build" --target fastnn_native_tests
  # The fork tests start threads in children of a process with threads: allowed here, as the pool is made for it.
  ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    TSAN_OPTIONS=die_after_fork=0:second_deadlock_stack=1 \
    "$build/csrc/tests/fastnn_native_tests" "$@"
}

[ $# -ge 1 ] || usage
what="$1"
shift
case "$what" in
  address) run address address,undefined "$@" ;;
  thread) run thread thread "$@" ;;
  all)
    run address address,undefined "$@"
    run thread thread "$@"
    ;;
  *) usage ;;
esac
