"""The pictures of a run. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..serialization import atomic_path


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def curves(history: list[dict], path: Path) -> None:
    """Loss and error rate by epoch."""
    figure = _figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    epochs = [h["epoch"] for h in history]
    for part, style in (("train", "o--"), ("test", "o-")):
        left.plot(epochs, [h[f"{part}_loss"] for h in history], style, label=part)
        right.plot(epochs, [100 * (1 - h[f"{part}_accuracy"]) for h in history], style, label=part)
    left.set(title="loss", xlabel="epoch")
    right.set(title="error rate, %", xlabel="epoch", yscale="log")
    for axes in (left, right):
        axes.set_xticks(epochs)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: list[str], path: Path) -> None:
    """How often each class was taken for which."""
    n = len(classes)
    counts = np.zeros((n, n), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    figure = _figure(6.4, 5.8)
    axes = figure.subplots()
    wrong = counts.astype(float)
    np.fill_diagonal(wrong, 0)
    axes.imshow(wrong, cmap="Reds")
    for i in range(n):
        for j in range(n):
            if counts[i, j]:
                strong = i != j and wrong[i, j] > wrong.max() / 2
                axes.text(
                    j, i, counts[i, j], ha="center", va="center", fontsize=7,
                    color="white" if strong else "black", fontweight="bold" if i == j else "normal",
                )  # fmt: skip
    axes.set(xticks=range(n), yticks=range(n), xlabel="predicted", ylabel="true")
    slanted = {"rotation": 45, "ha": "right"} if max(map(len, classes)) > 3 else {}
    axes.set_xticklabels(classes, fontsize=8, **slanted)
    axes.set_yticklabels(classes, fontsize=8)
    axes.set_title(f"{int((labels != predicted).sum())} mistakes in {len(labels)}")
    _save(figure, path)


def mistakes(
    split: Any, predicted: np.ndarray, losses: np.ndarray, classes: list[str], path: Path
) -> None:
    """The worst mistakes: the images with the highest loss among the wrong ones."""
    wrong = np.flatnonzero(predicted != split.labels)
    worst = wrong[np.argsort(-losses[wrong], kind="stable")][:40]
    figure = _figure(9, 6)
    grid = figure.subplots(5, 8, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, row in zip(grid, worst, strict=False):
        axes.imshow(split.images[row], cmap="gray_r")
        axes.set_title(f"{classes[split.labels[row]]} → {classes[predicted[row]]}", fontsize=7)
    figure.suptitle(f"worst {len(worst)} of {len(wrong)} mistakes (true → predicted)")
    _save(figure, path)
