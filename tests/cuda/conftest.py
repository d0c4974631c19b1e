"""These tests need a GPU with CuPy and the plugin, or tests/fakecupy on PYTHONPATH (scripts/test_cuda_python.sh)."""

import pytest

import fastnn


@pytest.fixture(autouse=True)
def gpu():
    if not fastnn.cuda.is_available():
        pytest.skip(fastnn.cuda.why_unavailable())
