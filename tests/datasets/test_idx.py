"""IDX files and MNIST read from a folder."""

import gzip
import struct

import numpy as np
import pytest

import fastnn
from fastnn.datasets import MNIST, FashionMNIST, read_idx
from fastnn.datasets._base import ArrayDataset
from fastnn.utils.data import DataLoader


def idx_bytes(array, code=0x08):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def folder(tmp_path, rng):
    """A small data set in the original layout; the test part is packed."""
    for prefix, count in (("train", 7), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        parts = {"images-idx3-ubyte": images, "labels-idx1-ubyte": labels}
        for name, array in parts.items():
            raw = idx_bytes(array)
            if prefix == "train":
                (tmp_path / f"{prefix}-{name}").write_bytes(raw)
            else:
                (tmp_path / f"{prefix}-{name}.gz").write_bytes(gzip.compress(raw))
    return tmp_path


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_round_trip(tmp_path, rng, code, dtype, shape, pack):
    array = np.array(rng.standard_normal(shape) * 50).astype(dtype)
    path = tmp_path / "a-file"
    path.write_bytes(pack(idx_bytes(array, code)))
    result = read_idx(path)
    assert result.dtype == np.dtype(dtype)
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (b"\0\0\x07\1\0\0\0\1x", "not an IDX file"),
        (b"\0\0\x08\3\0\0\0\1", "ends inside its header"),
        (idx_bytes(np.zeros(4, np.uint8))[:-1], "but the file has 3"),
        (idx_bytes(np.zeros(4, np.uint8)) + b"!", "but the file has more"),
        (b"\0\0\x0e\3" + b"\xff" * 12 + b"few", "but the file has 3"),
        (gzip.compress(idx_bytes(np.zeros(99, np.uint8)))[:-12], "damaged gzip"),
        (b"\x1f\x8b" + b"\0" * 20, "damaged gzip"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as info:
        read_idx(path)
    assert "bad" in str(info.value)


@pytest.mark.parametrize("layout", [".", "MNIST/raw", "raw", "MNIST"])
def test_mnist_from_a_folder(folder, tmp_path_factory, layout):
    root = tmp_path_factory.mktemp("root")
    place = root / layout
    place.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    train, test = MNIST(root), MNIST(str(root), train=False)
    assert train.arrays()[0].shape == (7, 28, 28)
    assert test.targets.tolist() == [0, 1, 2, 3]


def test_items_and_transforms(folder):
    plain = MNIST(folder)
    image, label = plain[2]
    assert image.dtype == np.uint8
    assert type(label) is int
    image[:] = 0  # a copy: the dataset keeps its pixels
    np.testing.assert_array_equal(plain[2][0], plain.data[2])
    assert plain.data[2].any()
    with pytest.raises(IndexError):
        plain[7]
    changed = MNIST(folder, transform=lambda x: x / 255.0, target_transform=lambda t: -t)
    assert changed[3][0].max() <= 1
    assert changed[3][1] == -3
    assert len(list(iter(plain))) == 7


@pytest.mark.parametrize("transform", [None, np.float32])
def test_batches_of_a_loader(folder, transform):
    dataset = MNIST(folder, transform=transform)
    images, labels = next(iter(DataLoader(dataset, 5, sampler=[6, 0, 1])))
    assert images.dtype == (fastnn.float32 if transform else fastnn.uint8)
    assert labels.dtype == fastnn.int64
    np.testing.assert_array_equal(images.numpy(), dataset.data[[6, 0, 1]])
    assert labels.tolist() == [6, 0, 1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        FashionMNIST(tmp_path)


def test_images_and_labels_must_fit(folder):
    labels = folder / "train-labels-idx1-ubyte"
    good = labels.read_bytes()
    labels.write_bytes(idx_bytes(np.zeros(6, np.uint8)))
    with pytest.raises(ValueError, match=r"expected uint8 labels \(7,\)"):
        MNIST(folder)
    labels.write_bytes(idx_bytes(np.full(7, 10, np.uint8)))
    with pytest.raises(ValueError, match="label 10 is not below 10"):
        MNIST(folder)
    labels.write_bytes(good)
    images = folder / "train-images-idx3-ubyte"
    images.write_bytes(idx_bytes(np.zeros((7, 28, 27), np.uint8)))
    with pytest.raises(ValueError, match=r"expected uint8 images \(N, 28, 28\)"):
        MNIST(folder)


def test_repr_says_what_it_is():
    dataset = ArrayDataset(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))
    assert repr(dataset) == "ArrayDataset(data=float32(3, 2), classes=0)"
