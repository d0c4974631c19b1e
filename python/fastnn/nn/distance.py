"""Distances between vectors as layers."""

from __future__ import annotations

from typing import Any

from ..ops import loss_margin
from .module import Module


class PairwiseDistance(Module):
    """pairwise_distance()."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        return loss_margin.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """cosine_similarity()."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Any, x2: Any) -> Any:
        return loss_margin.cosine_similarity(x1, x2, self.dim, self.eps)
