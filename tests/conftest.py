"""Shared fixtures and markers. Unknown markers and warnings are errors (pyproject.toml)."""

import sys

import numpy as np
import pytest

import fastnn


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; deselect with -m 'not slow'")


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
