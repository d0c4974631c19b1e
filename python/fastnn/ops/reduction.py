"""Reductions: sums, means, products, truth."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError, ShapeError
from ..autograd.node import Node, record, state, wants_grad
from ._util import (
    as_array,
    cast,
    normalize_dims,
    require_tensor,
    sizes,
    store,
    wide,
    wrap,
)


def kept(shape: tuple, dims: tuple) -> tuple:
    return tuple(1 if i in dims else n for i, n in enumerate(shape))


def spread(g: Any, shape: tuple, dims: tuple) -> Any:
    """A reduced tensor (without its reduced dims) expanded to `shape` again."""
    return g.reshape(kept(shape, dims)).expand(shape)


def operand_as(input: Any, dtype: Any, op: str) -> tuple[Any, np.ndarray]:
    """The tensor as `dtype`, and its array; without a dtype integers and bools become int64."""
    require_tensor(input, op)
    if dtype is not None:
        input = input.to(dtype)
        return input, input._data
    x = input._data
    return input, cast(x, np.dtype(np.int64)) if x.dtype.kind in "iub" else x


def result_as(dtype: Any, a: np.ndarray) -> np.ndarray:
    """A result as `dtype`, if one was asked for: kernels add integers up in int64."""
    return a if dtype is None else cast(a, dtypes.as_dtype(dtype).numpy)


def sum(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The sum over all elements, or over `dim` (one or several). Integers and bools add up in int64."""
    require_tensor(input, "sum")
    x = input._data
    if dtype is not None:
        input = input.to(dtype)
        x = input._data
    elif x.dtype.kind in "iub":
        x = cast(x, np.dtype(np.int64))
    if dim is not None and type(dim) is not int:
        dim = normalize_dims(dim, x.ndim, "sum")
    total = _core.sum(x, dim, keepdim)
    result = wrap(total if dtype is None else result_as(dtype, total))
    if state.enabled and input.requires_grad:
        record(result, _sum_backward, (input,), (), (x.shape, dim))
    return result if out is None else store(out, result, "sum")


def _sum_backward(node: Node, g: Any) -> Any:
    shape, dim = node.ctx
    return spread(g, shape, normalize_dims(dim, len(shape), "sum"))


def sum_to_size(input: Any, *size: Any) -> Any:
    """The sum over the dimensions that broadcasting `size` to the input's shape would expand."""
    target = sizes(size if len(size) != 1 else size[0], "sum_to_size")
    shape = input._data.shape
    if shape == target:
        return input
    extra = len(shape) - len(target)
    fits = extra >= 0 and builtins.all(
        t in (1, n) for t, n in zip(target, shape[extra:], strict=True)
    )
    if not fits:
        raise ShapeError(
            f"sum_to_size: size {list(target)} is not expandable to size {list(shape)}"
        )
    dims = (
        *range(extra),
        *[
            i + extra
            for i, (t, n) in enumerate(zip(target, shape[extra:], strict=True))
            if t == 1 and n != 1
        ],
    )
    return sum(input, dims).reshape(target) if dims else input.reshape(target)


def mean(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The mean over all elements, or over `dim`."""
    require_tensor(input, "mean")
    if dtype is not None:
        input = input.to(dtype)
    x = input._data
    if x.dtype.kind in "iub":
        raise DTypeError(
            "mean(): could not infer output dtype. Input dtype must be a floating point dtype, got "
            f"{x.dtype}; use .float() first"
        )
    if dim is not None and type(dim) is not int:
        dim = normalize_dims(dim, x.ndim, "mean")
    result = wrap(_core.mean(x, dim, keepdim))
    if state.enabled and input.requires_grad:
        record(result, _mean_backward, (input,), (), (x.shape, dim))
    return result if out is None else store(out, result, "mean")


def _mean_backward(node: Node, g: Any) -> Any:
    shape, dim = node.ctx
    dims = normalize_dims(dim, len(shape), "mean")
    count = math.prod(shape[d] for d in dims)
    return spread(g * (1.0 / count) if count else g, shape, dims)


def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product of all elements, or along `dim`. Integers multiply in int64."""
    input, x = operand_as(input, dtype, "prod")
    dims = normalize_dims(dim, x.ndim, "prod")
    result = wrap(result_as(dtype, _core.prod(x, dims, keepdim)))
    if wants_grad(input):
        record(result, _prod_backward, (input,), (input,), dims)
    return result


def _prod_backward(node: Node, g: Any) -> Any:
    """The product of the other elements: cumulative products from both sides, right with zeros too."""
    (x,) = node.saved_tensors()
    dims, shape = node.ctx, x._data.shape
    rest = [d for d in range(len(shape)) if d not in dims]
    flat = x.permute(rest + list(dims)).reshape([shape[d] for d in rest] + [-1])
    n = flat._data.shape[-1]
    from .cumulative import cumprod
    from .joining import cat, flip

    one = wrap(np.ones((*flat._data.shape[:-1], 1), x._data.dtype))
    before = cumprod(cat([one, flat.narrow(-1, 0, builtins.max(n - 1, 0))], -1), -1)
    after = flip(
        cumprod(cat([one, flip(flat, -1).narrow(-1, 0, builtins.max(n - 1, 0))], -1), -1), -1
    )
    others = (before * after).reshape([shape[d] for d in rest] + [shape[d] for d in dims])
    order = rest + list(dims)
    inverse = [order.index(d) for d in range(len(shape))]
    return spread(g, shape, dims) * others.permute(inverse)


def _truth(ufunc: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    """A bool; of uint8, which was PyTorch's bool once, uint8."""
    x = require_tensor(input, ufunc.__name__)._data
    axes = normalize_dims(dim, x.ndim, ufunc.__name__)
    found = as_array(ufunc(wide(x) != 0, axis=axes, keepdims=keepdim))
    return wrap(found.astype(np.uint8) if x.dtype == np.uint8 else found)


def all(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether every element is true (not zero)."""
    return _truth(np.all, input, dim, keepdim)


def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether some element is true (not zero)."""
    return _truth(np.any, input, dim, keepdim)


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero."""
    return sum(require_tensor(input, "count_nonzero") != 0, dim)


METHODS = "sum sum_to_size mean prod all any count_nonzero".split()
