"""The largest and the smallest, and where they are."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from ..autograd.node import OUTPUT, Node, record, wants_grad
from ._util import (
    dim_of,
    dims_of,
    normalize_dim,
    require_tensor,
    wrap,
)
from .pointwise import where, zero_like_number
from .reduction import spread, sum
from .results import named_result

_MaxResult = named_result("max", "values", "indices")
_MinResult = named_result("min", "values", "indices")


def _require_elements(x: np.ndarray, dims: tuple, op: str) -> None:
    if builtins.any(x.shape[d] == 0 for d in dims):
        raise IndexError(
            f"{op}(): Expected reduction dim to have non-zero size, got shape {x.shape}"
        )


def _extreme(name: str, kernel: Any, result_type: Any) -> tuple[Callable[..., Any], ...]:
    def everywhere(input: Any, dims: tuple, keepdim: bool) -> Any:
        x = input._data
        _require_elements(x, dims, name)
        values, _ = kernel(x, dims, keepdim, False)
        result = wrap(values)
        if wants_grad(input):
            record(result, even_backward, (input,), (input, OUTPUT), dims)
        return result

    def even_backward(node: Node, g: Any) -> Any:
        """Ties share the gradient evenly."""
        x, y = node.saved_tensors()
        dims, shape = node.ctx, x._data.shape
        hit = (x == spread(y, shape, dims)) | (x.isnan() & spread(y, shape, dims).isnan())
        count = sum(hit, dims).to(g.dtype)
        return where(
            hit, spread(g / count.reshape(g._data.shape), shape, dims), zero_like_number(g)
        )

    def along(input: Any, dim: int, keepdim: bool) -> Any:
        d, x = dim_of(input, dim, name), input._data
        if x.ndim == 0:
            return result_type((input.clone(), wrap(np.zeros((), np.int64))))
        _require_elements(x, (d,), name)
        values, indices = kernel(x, (d,), keepdim, True)
        out = wrap(values)
        if wants_grad(input):
            record(out, pick_backward, (input,), (), (x.shape, d, indices, keepdim))
        return result_type((out, wrap(indices)))

    def pick_backward(node: Node, g: Any) -> Any:
        from .gathering import scatter_add

        shape, d, indices, keepdim = node.ctx
        if not keepdim:
            g, indices = g.unsqueeze(d), np.expand_dims(indices, d)
        return scatter_add(wrap(np.zeros(shape, g._data.dtype)), d, wrap(indices), g)

    even_backward.__name__ = pick_backward.__name__ = name + "_backward"
    return everywhere, along


_max_all, _max_along = _extreme("max", _core.max, _MaxResult)
_min_all, _min_along = _extreme("min", _core.min, _MinResult)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with `dim` values and indices (first of equals); with a tensor, maximum()."""
    if hasattr(dim, "_data"):
        from .arithmetic import maximum

        return maximum(input, dim)
    if dim is None:
        return _max_all(input, dims_of(input, None, "max"), False)
    return _max_along(input, dim, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with `dim` values and indices (first of equals); with a tensor, minimum()."""
    if hasattr(dim, "_data"):
        from .arithmetic import minimum

        return minimum(input, dim)
    if dim is None:
        return _min_all(input, dims_of(input, None, "min"), False)
    return _min_along(input, dim, keepdim)


def amax(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The largest element over dims; equals share the gradient."""
    return _max_all(input, dims_of(input, dim, "amax"), keepdim)


def amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest element over dims; equals share the gradient."""
    return _min_all(input, dims_of(input, dim, "amin"), keepdim)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """amin and amax."""
    require_tensor(input, "aminmax")
    dims = () if dim is None else dim
    return named_result("aminmax", "min", "max")(
        (amin(input, dims, keepdim), amax(input, dims, keepdim))
    )


def _arg(name: str, kernel: Any) -> Callable[..., Any]:
    def op(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        x = require_tensor(input, name)._data
        if dim is None:
            _require_elements(x.reshape(-1), (0,), name)
            index = kernel(x.reshape(-1), (0,), False, True)[1]
            return wrap(index.reshape((1,) * x.ndim) if keepdim else index)
        d = normalize_dim(dim, x.ndim, name)
        if x.ndim == 0:
            return wrap(np.zeros((), np.int64))
        _require_elements(x, (d,), name)
        return wrap(kernel(x, (d,), keepdim, True)[1])

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"The index of the {'largest' if name == 'argmax' else 'smallest'} element (first of equals)."
    return op


argmax = _arg("argmax", _core.max)
argmin = _arg("argmin", _core.min)


METHODS = "max min amax amin aminmax argmax argmin".split()
