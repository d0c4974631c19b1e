"""Datasets are fetched once a session into a folder of their own."""

import pytest

from fastnn.datasets import FetchError


@pytest.fixture(scope="session")
def session_home(tmp_path_factory):
    return tmp_path_factory.mktemp("fastnn-home")


@pytest.fixture
def fetched(session_home, monkeypatch):
    """Make a dataset from real data; skip only where they cannot be fetched at all (a wrong
    checksum or a parsing error still fails)."""
    monkeypatch.setenv("FASTNN_HOME", str(session_home))

    def make(dataset, **arguments):
        try:
            return dataset(**arguments)
        except FetchError as error:
            pytest.skip(f"no data: {error}")

    return make
