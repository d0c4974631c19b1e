"""Data sets as the loop wants them: float32 images on demand, int64 labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..ops.creation import from_numpy

DATASETS: dict[str, Callable[..., Any]] = {
    "mnist": datasets.MNIST,
    "mnist5k": datasets.MNIST5k,
    "fashion-mnist": datasets.FashionMNIST,
    "digits": datasets.Digits,
}
# The share of the frame that an image's longer side takes (MNIST's digits: 20 of 28 pixels).
FILL = {"mnist": 20 / 28, "mnist5k": 20 / 28, "fashion-mnist": 1.0, "digits": 1.0}


@dataclass
class Split:
    """One part of a data set; pixels stay bytes until a batch is asked for."""

    images: np.ndarray
    labels: np.ndarray
    mean: float
    std: float

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, rows: Any) -> Any:
        """The images of these rows as a float32 tensor (N, 1, H, W), standardised."""
        x = self.images[rows].astype(np.float32)
        x -= np.float32(self.mean)
        x *= np.float32(1 / self.std)
        return from_numpy(x[:, None])

    def batch(self, rows: np.ndarray) -> tuple[Any, Any]:
        return self.pixels(rows), from_numpy(self.labels[rows])


@dataclass
class Data:
    """A train and a test split, with the standardisation of the training pixels."""

    name: str
    train: Split
    test: Split
    classes: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, *self.train.images.shape[1:])


def load(name: str, folder: str | Path | None = None, limit: int | None = None) -> Data:
    """The data set `name`, from `folder` where given.

    Of each split only `limit` rows, evenly spread: a file may be sorted by class.
    """
    make = DATASETS[name]
    where = {"root": folder} if folder is not None else {}
    parts = [make(train=part, **where) for part in (True, False)]
    arrays = [_spread(np.asarray(p.data), np.asarray(p.targets), limit) for p in parts]
    mean, std = _moments(arrays[0][0])
    splits = [Split(images, labels.astype(np.int64), mean, std) for images, labels in arrays]
    classes = [c.split(" - ")[0] for c in parts[0].classes]  # MNIST's own are like "0 - zero"
    return Data(name, splits[0], splits[1], classes)


def _spread(images: np.ndarray, labels: np.ndarray, limit: int | None) -> tuple[Any, Any]:
    if limit is None or limit >= len(labels):
        return images, labels
    rows = np.arange(limit) * len(labels) // limit
    return images[rows], labels[rows]


def _moments(images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, exact for bytes (from counts)."""
    if images.dtype == np.uint8:
        counts = np.bincount(images.reshape(-1), minlength=256).astype(np.float64)
        values = np.arange(256.0)
    else:
        values, counts = (a.astype(np.float64) for a in np.unique(images, return_counts=True))
    mean = float((values * counts).sum() / counts.sum())
    variance = float(((values - mean) ** 2 * counts).sum() / counts.sum())
    return mean, max(variance**0.5, 1e-6)
