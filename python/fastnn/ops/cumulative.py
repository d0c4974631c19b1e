"""Running sums, products and extremes; differences of neighbours."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from .. import _core, dtypes
from ..autograd.node import Node, record, wants_grad
from ._util import (
    dim_of,
    normalize_dim,
    wide,
    wrap,
)
from .reduction import operand_as, result_as
from .results import named_result


def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The running sum along `dim`. Integers and bools add up in int64."""
    input, x = operand_as(input, dtype, "cumsum")
    d = normalize_dim(dim, x.ndim, "cumsum")
    if x.ndim == 0:
        return input.to(dtypes.of_array(x)).clone()
    result = wrap(result_as(dtype, _core.cumsum(x, d)))
    if wants_grad(input):
        record(result, _cumsum_backward, (input,), (), d)
    return result


def _cumsum_backward(node: Node, g: Any) -> Any:
    from .joining import flip

    d = node.ctx
    return flip(cumsum(flip(g, d), d), d)


def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The running product along `dim`."""
    input, x = operand_as(input, dtype, "cumprod")
    d = normalize_dim(dim, x.ndim, "cumprod")
    if x.ndim == 0:
        return input.to(dtypes.of_array(x)).clone()
    result = wrap(result_as(dtype, _core.cumprod(x, d)))
    if wants_grad(input):
        record(result, _cumprod_backward, (input,), (input,), d)
    return result


def _cumprod_backward(node: Node, g: Any) -> Any:
    """d out[j] / d x[i] is the product of the other factors up to j: right with zeros too.

    With suffix sums S[i] = g[i] + x[i+1] * S[i+1], the gradient is S[i] times the product of what stands before i.
    """
    from .joining import cat, stack

    (x,) = node.saved_tensors()
    d, n = node.ctx, x._data.shape[node.ctx]
    xs, gs = x.unbind(d), g.unbind(d)
    suffix = gs[-1] if n else None
    parts = []
    for i in range(n - 1, -1, -1):
        if i < n - 1:
            suffix = gs[i] + xs[i + 1] * suffix
        parts.append(suffix)
    if not parts:
        return g
    one = wrap(np.ones((*x._data.shape[:d], 1, *x._data.shape[d + 1 :]), x._data.dtype))
    before = cumprod(cat([one, x.narrow(d, 0, n - 1)], d), d)
    return stack(parts[::-1], d) * before


def diff(input: Any, n: int = 1, dim: int = -1) -> Any:
    """Differences of neighbours along `dim`, n times."""
    d = dim_of(input, dim, "diff")
    if input._data.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    for _ in range(builtins.min(n, input._data.shape[d])):
        length = input._data.shape[d]
        later, earlier = input.narrow(d, 1, length - 1), input.narrow(d, 0, length - 1)
        input = later ^ earlier if input._data.dtype == np.bool_ else later - earlier
    return input


def cummax(input: Any, dim: int) -> Any:
    """The largest value so far along `dim`, and its index (the latest of equals)."""
    return _running(input, dim, np.maximum, "cummax")


def cummin(input: Any, dim: int) -> Any:
    """The smallest value so far along `dim`, and its index (the latest of equals)."""
    return _running(input, dim, np.minimum, "cummin")


def _running(input: Any, dim: int, ufunc: Any, op: str) -> Any:
    result = named_result(op, "values", "indices")
    d = dim_of(input, dim, op)
    if input._data.ndim == 0:
        return result((input.clone(), wrap(np.zeros((), np.int64))))
    a = wide(input._data)
    best = ufunc.accumulate(a, axis=d)
    same = (a == best) | (np.isnan(a) if a.dtype.kind == "f" else False)
    position = np.arange(a.shape[d]).reshape([-1 if i == d else 1 for i in range(a.ndim)])
    index = np.maximum.accumulate(np.where(same, position, 0), axis=d)
    out = wrap(best.astype(input._data.dtype))
    if wants_grad(input):
        record(out, _running_backward, (input,), (), (d, index))
    return result((out, wrap(index)))


def _running_backward(node: Node, g: Any) -> Any:
    d, index = node.ctx
    from .creation import zeros_like
    from .gathering import scatter_add

    return scatter_add(zeros_like(g), d, wrap(index), g)


METHODS = "cumsum cumprod diff cummax cummin".split()
