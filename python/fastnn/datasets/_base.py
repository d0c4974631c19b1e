"""What all datasets that fit in memory share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.utils.data.dataset import Dataset


class ArrayDataset(Dataset):
    """Samples and labels held in two arrays.

    Attributes:
        data: the samples, first axis N.
        targets: int64 labels (N,).
        classes: the names of the labels 0, 1, 2 …
        transform: called with a copy of one sample's array, gives what the sample becomes.
        target_transform: called with one label (a Python int).
    """

    classes: Sequence[str] = ()

    def __init__(
        self,
        data: np.ndarray,
        targets: np.ndarray,
        transform: Callable[[np.ndarray], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.data = data
        self.targets = targets
        self.transform = transform
        self.target_transform = target_transform

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """All samples and labels as they are stored: no copy, no transform."""
        return self.data, self.targets

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        sample: Any = self.data[index].copy()
        target: Any = int(self.targets[index])
        if self.transform is not None:
            sample = self.transform(sample)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return sample, target

    def __getbatch__(self, indices: np.ndarray) -> Any:
        if self.transform is not None or self.target_transform is not None:
            return NotImplemented
        return [self.data[indices], self.targets[indices]]

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        shape = tuple(self.data.shape)
        return f"{type(self).__name__}(data={self.data.dtype}{shape}, classes={len(self.classes)})"


def every_fifth(count: int, train: bool | None) -> np.ndarray | slice:
    """The fixed split of sets that come without one: every fifth sample is a test sample. Sets
    sorted by class stay balanced."""
    if train is None:
        return slice(None)
    is_test = np.arange(count) % 5 == 4
    return np.flatnonzero(is_test ^ train)
