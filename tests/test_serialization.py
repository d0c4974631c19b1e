"""save and load: everything comes back, atomically, and no damaged file is taken."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

import fastnn
from fastnn import nn


def test_everything_comes_back(tmp_path):
    state = {
        "model": nn.Linear(3, 2).state_dict(),
        "numbers": [1, 2.5, float("inf"), True, None, "text"],
        "pair": (1, {"deep": fastnn.arange(3)}),
        "state": {0: {"step": fastnn.tensor(5.0), "m": fastnn.ones(2, dtype=fastnn.bfloat16)}},
        "empty": fastnn.zeros(0, 3),
        "strided": fastnn.arange(6).reshape(2, 3).t(),
        "dtype": fastnn.float64,
        "array": np.arange(2.0),
    }
    path = tmp_path / "state.safetensors"
    fastnn.save(state, path)
    back = fastnn.load(path)
    assert back["numbers"] == state["numbers"] and back["dtype"] is fastnn.float64
    assert isinstance(back["pair"], tuple) and back["pair"][1]["deep"].tolist() == [0, 1, 2]
    assert 0 in back["state"] and back["state"][0]["m"].dtype is fastnn.bfloat16
    assert back["empty"].shape == (0, 3) and back["strided"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert isinstance(back["array"], np.ndarray)
    np.testing.assert_array_equal(back["model"]["weight"].numpy(), state["model"]["weight"].numpy())
    back["model"]["weight"].add_(1)  # what was loaded can be written


def test_other_readers_see_the_arrays(tmp_path):
    path = tmp_path / "m.safetensors"
    fastnn.save(nn.Linear(3, 2).state_dict(), path)
    assert set(safetensors.numpy.load_file(path)) == {"weight", "bias"}
    other = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"x": np.arange(3.0)}, other)
    assert fastnn.load(other)["x"].tolist() == [0, 1, 2]


def test_a_refused_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "s.safetensors"
    fastnn.save({"x": fastnn.ones(2)}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="function at 'bad'"):
        fastnn.save({"bad": test_everything_comes_back}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["s.safetensors"]
    with pytest.raises(OSError):
        fastnn.save({"x": fastnn.ones(2)}, tmp_path / "no" / "such" / "folder")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    code = """
import resource, signal, sys
import fastnn
path = sys.argv[1]
fastnn.save({"x": fastnn.ones(2)}, path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fastnn.save({"x": fastnn.ones(1_000_000)}, path)
except Exception as e:
    print("refused", type(e).__name__)
assert fastnn.load(path)["x"].tolist() == [1, 1]
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "refused" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ["s"]


def test_killed_while_saving(tmp_path):
    path = tmp_path / "s.safetensors"
    code = """
import sys
import fastnn
n = 0
while True:
    n += 1
    fastnn.save({"n": n, "x": fastnn.full((500_000,), float(n))}, sys.argv[1])
"""
    rng = np.random.default_rng(0)
    for _ in range(int(os.environ.get("FASTNN_KILLS", "6"))):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)])
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.05)))
        child.send_signal(signal.SIGKILL)
        child.wait()
        state = fastnn.load(path)
        assert (state["x"].numpy() == state["n"]).all()
        assert len(os.listdir(tmp_path)) <= 2
    fastnn.save({"n": 0}, path)
    assert os.listdir(tmp_path) == ["s.safetensors"]


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    fastnn.save({"x": fastnn.arange(100), "y": [1, 2]}, path)
    good = path.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    for cut in [*range(0, header, 7), header, header + 1, len(good) - 1]:
        path.write_bytes(good[:cut])
        with pytest.raises(ValueError, match="safetensors"):
            fastnn.load(path)
    for position in range(0, header, 5):
        bad = bytearray(good)
        bad[position] ^= 0x15
        path.write_bytes(bytes(bad))
        with contextlib.suppress(ValueError):  # refused or harmless
            fastnn.load(path)
    path.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ValueError):
        fastnn.load(path)
    with pytest.raises(FileNotFoundError):
        fastnn.load(tmp_path / "nothing")


def without_sums(blob):
    """The file as a version without checksums wrote it."""
    size = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:size])
    del header["__metadata__"]["fastnn.crc32"]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + blob[size:]


def test_every_flipped_bit_of_the_data_is_found(tmp_path):
    path, names = tmp_path / "s", ("float32", "bfloat16", "int8", "bool")
    state = {n: fastnn.arange(3).to(getattr(fastnn, n)) for n in names}
    fastnn.save({**state, "empty": fastnn.zeros(0, 2), "lr": 0.001}, path)
    good = path.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    for bit in range(8 * header, 8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(bad))
        with pytest.raises(ValueError, match=r"tensor '(float32|bfloat16|int8|bool)' does not"):
            fastnn.load(path)
    for old, new in (
        (b"0.001", b"0.003"),
        (b'"dtype":"I8"', b'"dtype":"U8"'),
        (b'"shape":[0,2]', b'"shape":[2,0]'),
    ):
        assert old in good
        path.write_bytes(good.replace(old, new))
        with pytest.raises(ValueError, match="does not match its checksum"):
            fastnn.load(path)
    path.write_bytes(without_sums(good))
    assert fastnn.load(path)["lr"] == 0.001


def test_tensors_without_dimensions_keep_their_shape(tmp_path):
    fastnn.save({"count": fastnn.tensor(3)}, tmp_path / "x")
    loaded = fastnn.load(tmp_path / "x")["count"]
    assert loaded.shape == ()
    assert loaded.item() == 3


def test_the_same_state_gives_the_same_bytes(tmp_path):
    """In every process: what is hashed on the way must not show."""
    code = "import sys, fastnn; fastnn.save({'a': fastnn.ones(3), 'ä': [1, {'b': fastnn.zeros(2, 0)}]}, sys.argv[1])"
    files = [tmp_path / str(i) for i in range(4)]
    for f in files:
        subprocess.run([sys.executable, "-c", code, f], check=True)
    assert len({f.read_bytes() for f in files}) == 1
    assert fastnn.load(files[0])["a"].tolist() == [1, 1, 1]
