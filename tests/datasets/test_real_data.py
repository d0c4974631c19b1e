"""The real datasets: what comes over the network is what was published."""

import subprocess

import numpy as np
import pytest

from fastnn.datasets import MNIST, BreastCancer, Digits, FashionMNIST, Iris, MNIST5k, Wine

# Label counts and pixel means as published for the original files.
_MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def _forbid_fetching(monkeypatch):
    def run(*args, **kwargs):
        raise AssertionError(f"tried to fetch: {args}")

    monkeypatch.setattr(subprocess, "run", run)


def test_mnist_is_the_published_one(fetched, monkeypatch):
    train = fetched(MNIST)
    _forbid_fetching(monkeypatch)
    test = MNIST(train=False)
    assert train.data.shape == (60000, 28, 28)
    assert test.data.shape == (10000, 28, 28)
    assert train.data.dtype == np.uint8
    assert train.targets.dtype == np.int64
    assert np.bincount(train.targets).tolist() == _MNIST_COUNTS
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert train.data.mean() == pytest.approx(33.318421449829934, abs=1e-9)
    assert test.data.mean() == pytest.approx(33.791224489795916, abs=1e-9)


def test_mnist_comes_from_the_cache_the_second_time(fetched, monkeypatch):
    first = fetched(MNIST, train=False)
    _forbid_fetching(monkeypatch)
    again = MNIST(train=False, download=False)
    np.testing.assert_array_equal(first.data, again.data)
    np.testing.assert_array_equal(first.targets, again.targets)


def test_fashion_mnist_is_the_published_one(fetched):
    train = fetched(FashionMNIST)
    assert train.data.shape == (60000, 28, 28)
    assert np.bincount(train.targets).tolist() == [6000] * 10
    assert train.data.mean() == pytest.approx(72.94035223214286, abs=1e-9)
    assert train.classes[train.targets[0]] == "Ankle boot"
    assert len(fetched(FashionMNIST, train=False)) == 10000


def test_mnist_5k_and_its_split(fetched):
    whole = fetched(MNIST5k)
    assert whole.data.shape == (5000, 28, 28)
    assert np.bincount(whole.targets).tolist() == [500] * 10
    train, test = fetched(MNIST5k, train=True), fetched(MNIST5k, train=False)
    assert np.bincount(train.targets).tolist() == [400] * 10
    assert np.bincount(test.targets).tolist() == [100] * 10
    np.testing.assert_array_equal(test.data, whole.data[4::5])


@pytest.mark.parametrize(
    ("dataset", "shape", "counts", "mean"),
    [
        (Digits, (1797, 8, 8), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], 4.884164579),
        (Iris, (150, 4), [50, 50, 50], 3.4645),
        (Wine, (178, 13), [59, 71, 48], 69.13367),
        (BreastCancer, (569, 30), [212, 357], 61.890712),
    ],
)
def test_small_sets(fetched, dataset, shape, counts, mean):
    whole = fetched(dataset)
    assert whole.data.shape == shape
    assert np.bincount(whole.targets).tolist() == counts
    assert len(whole.classes) == len(counts)
    assert whole.data.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-6)
    assert len(dataset(train=True)) + len(dataset(train=False)) == len(whole)
    if whole.data.ndim == 2:
        assert len(whole.feature_names) == shape[1]
