"""Worker processes import their parent's main module; pytest's is slow and not needed there."""

import sys

import pytest


@pytest.fixture(autouse=True)
def main_module_stays_out_of_workers(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.delattr(main, "__file__", raising=False)
