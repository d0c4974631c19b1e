"""Radial basis function networks: k-means centres, Gaussian units, a linear layer (Moody and Darken, 1989)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..autograd.node import no_grad
from ..ops.creation import empty
from ..ops.linalg import matmul
from ..ops.random import rand, randint


def squared_distances(x: Any, centres: Any) -> Any:
    """``|x_i - c_j|²`` of all pairs: (N, D), (K, D) to (N, K), as one matrix product."""
    cross = matmul(x, centres.t())
    return (x.square().sum(1, True) - cross * 2.0 + centres.square().sum(1)).clamp_min(0.0)


@no_grad()
def kmeans(x: Any, k: int, iterations: int = 20, generator: Any = None) -> Any:
    """k centres of the rows of x (N, D) by Lloyd's algorithm from a k-means++ start (Arthur and Vassilvitskii, 2007).

    Raises ValueError when there are fewer rows than centres. An empty cluster takes the row farthest from its centre.
    """
    n = x.shape[0]
    if not 1 <= k <= n:
        raise ValueError(f"kmeans: k must be between 1 and the number of rows {n}, got {k}")
    centres = _spread_start(x, k, generator)
    labels = None
    for _ in range(iterations):
        d = squared_distances(x, centres)
        now = d.argmin(1).numpy()
        if labels is not None and np.array_equal(now, labels):
            break
        labels = now
        centres = _cluster_means(x.numpy(), labels, k, d.min(1)[0].numpy())
    return centres


def _spread_start(x: Any, k: int, generator: Any) -> Any:
    """k-means++: each next centre is a row drawn with probability proportional to its squared distance.

    Of many rows it looks at 8 for each centre, evenly spread; more cost time and do not give better centres.
    """
    n = min(x.shape[0], 8 * k)
    x = x[np.arange(n) * x.shape[0] // n]
    lengths = x.square().sum(1)
    draws = rand(k, generator=generator).numpy()
    rows = [int(randint(0, n, (1,), generator=generator))]
    nearest = np.full(n, np.inf)
    for i in range(1, k):
        last = rows[-1]
        d = lengths - matmul(x, x[last]) * 2.0 + lengths[last]
        nearest = np.minimum(nearest, d.numpy()).clip(0.0)
        weights = np.cumsum(nearest)
        rows.append(min(int(np.searchsorted(weights, draws[i] * weights[-1], "right")), n - 1))
    return x[rows].clone()


def _cluster_means(x: np.ndarray, labels: np.ndarray, k: int, distance: np.ndarray) -> Any:
    from ..ops.creation import from_numpy

    counts = np.bincount(labels, minlength=k)
    order = np.argsort(labels, kind="stable")
    some = counts > 0  # reduceat has no empty ranges
    means = np.empty((k, x.shape[1]), x.dtype)
    sums = np.add.reduceat(x[order], (np.cumsum(counts) - counts)[some], axis=0)
    means[some] = sums / counts[some, None]
    for j, far in zip(np.flatnonzero(counts == 0), np.argsort(-distance), strict=False):
        means[j] = x[far]
    return from_numpy(means)


class RBFNetwork(nn.Module):
    """Gaussian units around learnt centres, then a linear layer: (N, D) to (N, num_classes). Images are flattened.

    ``fit_centres`` sets centres by k-means and widths from the distances between neighbouring centres; then only the
    linear layer is trained, unless ``train_centres``.
    """

    def __init__(
        self,
        in_features: int = 784,
        centres: int = 300,
        num_classes: int = 10,
        train_centres: bool = False,
    ) -> None:
        super().__init__()
        self.centres = nn.Parameter(empty(centres, in_features), requires_grad=train_centres)
        self.log_width = nn.Parameter(empty(centres), requires_grad=train_centres)
        self.linear = nn.Linear(centres, num_classes)
        nn.init.normal_(self.centres)
        nn.init.zeros_(self.log_width)

    @no_grad()
    def fit_centres(self, x: Any, neighbours: int = 2, iterations: int = 20) -> None:
        """Centres by k-means on the rows of x; each width is the mean distance to the nearest other centres."""
        x = x.flatten(1)
        self.centres.copy_(kmeans(x, self.centres.shape[0], iterations))
        d = squared_distances(self.centres, self.centres)
        nearest = d.sort(1)[0][:, 1 : neighbours + 1]
        self.log_width.copy_((nearest.sqrt().mean(1) + 1e-6).log())

    def forward(self, x: Any) -> Any:
        d = squared_distances(x.flatten(1), self.centres)
        log_width: Any = self.log_width
        scale = (log_width * -2.0).exp()
        return self.linear((d * scale * -0.5).exp())
