"""Datasets are fetched once a session into a folder of their own."""

import pytest

from tests.data import or_skip


@pytest.fixture(scope="session")
def session_home(tmp_path_factory):
    return tmp_path_factory.mktemp("fastnn-home")


@pytest.fixture
def fetched(session_home, monkeypatch):
    """Make a dataset from real data, or skip the test (tests/data.py)."""
    monkeypatch.setenv("FASTNN_HOME", str(session_home))
    return or_skip
