"""What all losses share: the reduction."""

from __future__ import annotations

import warnings
from typing import Any

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # codes of the kernels


def legacy_reduction(size_average: Any, reduce: Any, reduction: str, op: str) -> str:
    """The reduction that the arguments ask for; size_average and reduce are PyTorch's old names.

    Raises ValueError for an unknown reduction.
    """
    if size_average is not None or reduce is not None:
        if reduce is False:
            reduction = "none"
        else:
            reduction = "mean" if size_average is not False else "sum"
        warnings.warn(
            "size_average and reduce args will be deprecated, please use "
            f"reduction='{reduction}' instead.",
            stacklevel=3,
        )
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{op}: {reduction!r} is not a valid value for reduction; use 'none', 'mean' or 'sum'"
        )
    return reduction


def reduced(loss: Any, reduction: str) -> Any:
    """A tensor of losses reduced by ops."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss
