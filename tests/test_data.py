"""A test without its data is skipped, but fails in the gate."""

import pytest

from fastnn.datasets import FetchError
from tests.data import or_skip


def unreachable():
    raise FetchError("no network")


def test_skipped(monkeypatch):
    monkeypatch.delenv("FASTNN_REQUIRE_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no network"):
        or_skip(unreachable)


def test_fails_in_the_gate(monkeypatch):
    monkeypatch.setenv("FASTNN_REQUIRE_DATA", "1")
    with pytest.raises(FetchError):
        or_skip(unreachable)
