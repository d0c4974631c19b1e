"""Shared fixtures and markers. Unknown markers and warnings are errors (pyproject.toml)."""

import signal
import sys

import numpy as np
import pytest

import fastnn


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; deselect with -m 'not slow'")
    # A job in the background starts with Ctrl-C ignored, and so would the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeds():
    """A test draws the same numbers in every run, alone or among others."""
    fastnn.manual_seed(20240607)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(20240607)


@pytest.fixture(params=["cpu"])
def device(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)
