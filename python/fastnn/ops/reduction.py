"""Reductions: sums, means, extremes, norms, cumulative sums."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core, dtypes
from .._errors import DTypeError, ShapeError
from ..autograd.node import OUTPUT, Node, record, state, wants_grad
from ._util import (
    cast,
    dim_of,
    dims_of,
    normalize_dim,
    normalize_dims,
    require_tensor,
    sizes,
    store,
    wide,
    wrap,
)
from .pointwise import where, zero_like_number
from .results import named_result

_MaxResult = named_result("max", "values", "indices")
_MinResult = named_result("min", "values", "indices")


def _kept(shape: tuple, dims: tuple) -> tuple:
    return tuple(1 if i in dims else n for i, n in enumerate(shape))


def _spread(g: Any, shape: tuple, dims: tuple) -> Any:
    """A reduced tensor (without its reduced dims) expanded to `shape` again."""
    return g.reshape(_kept(shape, dims)).expand(shape)


def _operand(input: Any, dtype: Any, op: str) -> tuple[Any, np.ndarray]:
    """The tensor as `dtype`, and its array; without a dtype integers and bools become int64."""
    require_tensor(input, op)
    if dtype is not None:
        input = input.to(dtype)
        return input, input._data
    x = input._data
    return input, cast(x, np.dtype(np.int64)) if x.dtype.kind in "iub" else x


def _in(dtype: Any, a: np.ndarray) -> np.ndarray:
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
    result = wrap(total if dtype is None else _in(dtype, total))
    if state.enabled and input.requires_grad:
        record(result, _sum_backward, (input,), (), (x.shape, dim))
    return result if out is None else store(out, result, "sum")


def _sum_backward(node: Node, g: Any) -> Any:
    shape, dim = node.ctx
    return _spread(g, shape, normalize_dims(dim, len(shape), "sum"))


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
    return _spread(g * (1.0 / count) if count else g, shape, dims)


def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product of all elements, or along `dim`. Integers multiply in int64."""
    input, x = _operand(input, dtype, "prod")
    dims = normalize_dims(dim, x.ndim, "prod")
    result = wrap(_in(dtype, _core.prod(x, dims, keepdim)))
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
    from .joining import cat, flip

    one = wrap(np.ones((*flat._data.shape[:-1], 1), x._data.dtype))
    before = cumprod(cat([one, flat.narrow(-1, 0, builtins.max(n - 1, 0))], -1), -1)
    after = flip(
        cumprod(cat([one, flip(flat, -1).narrow(-1, 0, builtins.max(n - 1, 0))], -1), -1), -1
    )
    others = (before * after).reshape([shape[d] for d in rest] + [shape[d] for d in dims])
    order = rest + list(dims)
    inverse = [order.index(d) for d in range(len(shape))]
    return _spread(g, shape, dims) * others.permute(inverse)


# ---- extremes ----------------------------------------------------------------------------------------------------


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
        hit = (x == _spread(y, shape, dims)) | (x.isnan() & _spread(y, shape, dims).isnan())
        count = sum(hit, dims).to(g.dtype)
        return where(
            hit, _spread(g / count.reshape(g._data.shape), shape, dims), zero_like_number(g)
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
        from .indexing import scatter_add

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


def _truth(ufunc: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    """A bool; of uint8, which was PyTorch's bool once, uint8."""
    x = require_tensor(input, ufunc.__name__)._data
    axes = normalize_dims(dim, x.ndim, ufunc.__name__)
    found = np.asarray(ufunc(wide(x) != 0, axis=axes, keepdims=keepdim))
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


# ---- spread ------------------------------------------------------------------------------------------------------


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
    return x * _spread(scale, shape, node.ctx)


def dist(input: Any, other: Any, p: Any = 2) -> Any:
    """The p-norm of the difference."""
    return norm(input - other, p)


# ---- cumulative --------------------------------------------------------------------------------------------------


def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The running sum along `dim`. Integers and bools add up in int64."""
    input, x = _operand(input, dtype, "cumsum")
    d = normalize_dim(dim, x.ndim, "cumsum")
    if x.ndim == 0:
        return input.to(dtypes.of_array(x)).clone()
    result = wrap(_in(dtype, _core.cumsum(x, d)))
    if wants_grad(input):
        record(result, _cumsum_backward, (input,), (), d)
    return result


def _cumsum_backward(node: Node, g: Any) -> Any:
    from .joining import flip

    d = node.ctx
    return flip(cumsum(flip(g, d), d), d)


def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The running product along `dim`."""
    input, x = _operand(input, dtype, "cumprod")
    d = normalize_dim(dim, x.ndim, "cumprod")
    if x.ndim == 0:
        return input.to(dtypes.of_array(x)).clone()
    result = wrap(_in(dtype, _core.cumprod(x, d)))
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


METHODS = (
    "sum sum_to_size mean prod max min amax amin aminmax argmax argmin all any count_nonzero var std logsumexp norm "
    "dist cumsum cumprod diff"
).split()
