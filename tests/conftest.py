"""Shared fixtures and markers. Unknown markers and warnings are errors (pyproject.toml)."""

import numpy as np
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; deselect with -m 'not slow'")


@pytest.fixture(params=["cpu"])
def device(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)
