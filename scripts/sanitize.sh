#!/usr/bin/env bash
# Builds our code with sanitizers and runs tests on it: scripts/sanitize.sh address|thread|all|python [what to run ...]
#   address: AddressSanitizer and UndefinedBehaviorSanitizer on the native test driver (areas may be named)
#   thread: ThreadSanitizer on the native test driver; all: both
#   python: AddressSanitizer and UndefinedBehaviorSanitizer on the extension, under pytest (files may be named)
# PYTHON names the interpreter that has the test dependencies (default: .venv's).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
}

# The fork tests start threads in children of a process with threads: allowed here, as the pool is made for it.
export TSAN_OPTIONS=die_after_fork=0:second_deadlock_stack=1
export UBSAN_OPTIONS=print_stacktrace=1

native() {  # native <name> <sanitizers> <areas...>
  local build="build/sanitize-$1" sanitizers="$2"
  shift 2
  cmake -S . -B "$build" -G Ninja -DFASTNN_PYTHON=OFF -DFASTNN_NATIVE_TESTS=ON \
    -DFASTNN_SANITIZE="$sanitizers" >/dev/null
  cmake --build "$build" --target fastnn_native_tests
  ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 "$build/csrc/tests/fastnn_native_tests" "$@"
}

# A second package, of links to the Python files beside a _core of its own: the one in python/ stays.
python_tests() {
  local build="$PWD/build/sanitize-python" python="${PYTHON:-$PWD/.venv/bin/python}" preload
  cmake -S . -B "$build" -G Ninja -DPython_EXECUTABLE="$python" -DFASTNN_SANITIZE=address,undefined \
    -DFASTNN_PACKAGE_DIR="$build/package/fastnn" >/dev/null
  rm -rf "$build/package"
  mkdir -p "$build/package/fastnn"
  ln -s "$PWD"/python/fastnn/* "$build/package/fastnn/"
  rm -f "$build"/package/fastnn/{_core*.so,__pycache__}
  cmake --build "$build" --target _core
  if [ $# = 0 ]; then
    # Every operator in all types, once; tensors, layers, optimizers; refused calls; random ones.
    set -- tests/ops/test_functional.py tests/ops/test_half.py tests/ops/test_elementwise.py tests/ops/test_reduce.py \
      tests/ops/test_cast.py tests/tensor tests/nn/test_module.py tests/optim tests/faults/test_bad_input.py \
      tests/faults/test_fuzz.py -k "not second_gradients and not random_shapes"
  fi
  # The interpreter has no sanitizer, so that its runtime comes first by preloading; libstdc++ with it, for throws.
  preload="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libstdc++.so)"
  # Python does not free everything at its end, and its allocator would hide overruns.
  PYTHONPATH="$build/package" LD_PRELOAD="$preload" PYTHONMALLOC=malloc \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 FASTNN_TEST_FULL=0 \
    "$python" -m pytest -q -p no:cacheprovider "$@"
}

[ $# -ge 1 ] || usage
what="$1"
shift
case "$what" in
  address) native address address,undefined "$@" ;;
  thread) native thread thread "$@" ;;
  all)
    native address address,undefined "$@"
    native thread thread "$@"
    ;;
  python) python_tests "$@" ;;
  *) usage ;;
esac
