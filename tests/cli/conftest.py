"""Runs of the command line on real data (from the cache, else fetched; skipped without either)."""

import sys
from types import SimpleNamespace

import pytest

from fastnn.cli import main
from fastnn.datasets import MNIST5k
from tests.data import or_skip


@pytest.fixture(scope="session")
def mnist5k():
    or_skip(MNIST5k)
    return "mnist5k"


@pytest.fixture
def fastnn(capsys):
    """Run one command in this process: its exit code, stdout and stderr."""

    def run(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


@pytest.fixture
def refused(fastnn, tmp_path, monkeypatch):
    """Run one command that must fail: exit code 2, one line with `words`, nothing new on disk."""

    def run(*argv, words):
        monkeypatch.chdir(tmp_path)
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        done = fastnn(*argv)
        assert done.code == 2
        assert done.err.count("\n") == 1 and done.err.startswith("fastnn"), done.err
        assert "Traceback" not in done.err
        for word in words if isinstance(words, tuple) else (words,):
            assert word in done.err, done.err
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before

    return run


@pytest.fixture(scope="session")
def command():
    """The start of a command line for a child process."""
    return [sys.executable, "-m", "fastnn"]
