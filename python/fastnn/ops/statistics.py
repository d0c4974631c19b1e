"""Variances, norms and the like: reductions made of others."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import _core, dtypes
from ..autograd.node import OUTPUT, Node, record, wants_grad
from ._util import (
    dims_of,
    require_tensor,
    wide,
    wrap,
)
from .extremes import amax, amin
from .pointwise import where, zero_like_number
from .reduction import mean, spread, sum


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The variance over dims: squared deviations summed, divided by N - correction (1 unless given)."""
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    c = (1 if unbiased else 0) if correction is None else correction
    dims = dims_of(input, dim, "var")
    n = math.prod(input._data.shape[d] for d in dims)
    centred = input - mean(input, dims, True)
    divisor = builtins.max(n - c, 0)
    total = sum(centred * centred, dims, keepdim)
    return total / divisor if divisor else total * float("nan")


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The square root of var()."""
    return var(input, dim, unbiased, keepdim, correction=correction).sqrt()


def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple:
    """var() and mean()."""
    require_tensor(input, "var_mean")
    centre = mean(input, None if isinstance(dim, bool) else dim, keepdim)
    return var(input, dim, unbiased, keepdim, correction=correction), centre


def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple:
    """std() and mean()."""
    spread, centre = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return spread.sqrt(), centre


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """``log(sum(exp(input)))`` over dims, without overflow; of integers in the default dtype."""
    if require_tensor(input, "logsumexp")._data.dtype.kind in "iub":
        input = input.to(dtypes.get_default_dtype())
    dims = dims_of(input, dim, "logsumexp")
    top = wide(input._data).max(axis=dims, keepdims=True, initial=-np.inf)
    shift = wrap(np.where(np.isfinite(top), top, 0).astype(input._data.dtype))
    out = sum((input - shift).exp(), dims, True).log() + shift
    return (
        out
        if keepdim
        else out.reshape([n for i, n in enumerate(input._data.shape) if i not in dims])
    )


def norm(
    input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The p-norm over dims ('fro' is 2); p may be infinite or 0."""
    require_tensor(input, "norm")
    if dtype is not None:
        input = input.to(dtype)
    if p is None or p == "fro":
        p = 2
    dims = dims_of(input, dim, "norm")
    magnitude = input.abs()
    if p == math.inf:
        return amax(magnitude, dims, keepdim)
    if p == -math.inf:
        return amin(magnitude, dims, keepdim)
    if p == 0:
        return sum((input != 0).to(input.dtype), dims, keepdim)
    if p == 1:
        return sum(magnitude, dims, keepdim)
    if p == 2:
        return _norm2(input, dims, keepdim)
    return sum(magnitude**p, dims, keepdim) ** (1.0 / p)


def _norm2(input: Any, dims: tuple, keepdim: bool) -> Any:
    """The Euclidean norm; its gradient at 0 is 0."""
    result = wrap(_core.sqrt(_core.sum(_core.mul(input._data, input._data), dims, keepdim)))
    if wants_grad(input):
        record(result, _norm_backward, (input,), (input, OUTPUT), dims)
    return result


def _norm_backward(node: Node, g: Any) -> Any:
    x, y = node.saved_tensors()
    shape = x._data.shape
    scale = where(y == 0, zero_like_number(g), g / y)
    return x * spread(scale, shape, node.ctx)


def dist(input: Any, other: Any, p: Any = 2) -> Any:
    """The p-norm of the difference."""
    return norm(input - other, p)


METHODS = "var std logsumexp norm dist".split()
