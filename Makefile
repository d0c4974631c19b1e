# Everything sets up what it needs by itself, in .venv and build/.
#
#   make demo    train LeNet-5 on MNIST: the main job
#   make test    all tests
#   make bench   benchmarks, side by side with PyTorch where it can be installed
#   make lint    formatting, style, types
#
#   make ladder       the matrix product and the convolution, from plain loops to the shipped kernel (docs/gemm.md)
#   make check-long   half an hour of random calls, kills, sanitizers; its results go to tests/results/

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check -q
CMAKE  := $(VENV)/bin/cmake -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(VENV)/bin/ninja)
BENCH  ?=
TESTS  ?= tests

LONG_SECONDS ?= 300

.PHONY: demo test check-long bench ladder lint format build native clean check-tools

demo: build
	$(PY) -m fastnn train lenet5 --data mnist --out runs/lenet5

test: build
	$(PY) -m pytest -q $(TESTS)

check-long: build
	PATH="$(abspath $(VENV)/bin):$$PATH" $(PY) scripts/check_long.py --seconds $(LONG_SECONDS)

bench: build $(VENV)/.peers
	$(PY) -m fastnn bench $(BENCH)

ladder: $(VENV)/.deps
	$(CMAKE) -S . -B build/ladder -DFASTNN_PYTHON=OFF -DFASTNN_NATIVE_BENCH=ON >/dev/null
	$(VENV)/bin/cmake --build build/ladder --target bench_gemm_ladder bench_conv_ladder
	build/ladder/csrc/tests/bench_gemm_ladder
	build/ladder/csrc/tests/bench_conv_ladder

lint: $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	git ls-files 'csrc/*.h' 'csrc/*.cpp' 'cuda/*.h' 'cuda/*.cu' 'cuda/*.cpp' | xargs -r $(VENV)/bin/clang-format --dry-run -Werror

format: $(VENV)/.lint
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	git ls-files 'csrc/*.h' 'csrc/*.cpp' 'cuda/*.h' 'cuda/*.cu' 'cuda/*.cpp' | xargs -r $(VENV)/bin/clang-format -i

# The extension is (re)built into python/fastnn/, and .venv imports the package from the source tree.
build: $(VENV)/.deps
	@test -f build/dev/build.ninja || $(CMAKE) -S . -B build/dev -DPython_EXECUTABLE=$(abspath $(PY)) >build/configure.log || { cat build/configure.log; exit 1; }
	$(VENV)/bin/cmake --build build/dev

# The kernels' own test driver, without Python.
native: $(VENV)/.deps
	$(CMAKE) -S . -B build/native -DFASTNN_PYTHON=OFF -DFASTNN_NATIVE_TESTS=ON
	$(VENV)/bin/cmake --build build/native
	build/native/csrc/tests/fastnn_native_tests

check-tools:
	@command -v $(PYTHON) >/dev/null || { echo "fastnn: no $(PYTHON) found; install Python 3.11 or newer (Debian/Ubuntu: apt-get install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fastnn: $(PYTHON) is $$($(PYTHON) -V); Python 3.11 or newer is needed (say make PYTHON=python3.12 ...)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "fastnn: $(PYTHON) has no venv; install it (Debian/Ubuntu: apt-get install python3-venv)"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || { echo "fastnn: no C++ compiler found; install one (Debian/Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++)"; exit 1; }

$(VENV)/.deps: pyproject.toml | check-tools
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group build --group test --group train 'numpy>=2.1' 'ml_dtypes>=0.5' 'safetensors>=0.5'
	echo '$(abspath python)' >"$$($(PY) -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/fastnn.pth"
	@mkdir -p build
	@touch $@

$(VENV)/.lint: pyproject.toml | $(VENV)/.deps
	$(PIP) install --group lint
	@touch $@

# Peers are optional: without them the benchmark shows our own figures only.
$(VENV)/.peers: | $(VENV)/.deps
	-$(PY) -c 'import torch' 2>/dev/null || $(PIP) install torch==2.13.0
	@touch $@

clean:
	rm -rf build dist $(VENV) python/fastnn/_core*.so
