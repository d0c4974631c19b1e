"""Max pooling: plain, adaptive and fractional, and unpooling, in one to three dimensions.

Inputs are (N, C, spatial…) or (C, spatial…), row-major or channels-last; outputs keep the memory
format. The maxima's places are
saved for backward in one byte each, unless they were asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from ..autograd.node import Node, record, state, wants_grad
from . import random as _random
from ._util import index_array, refuse_on_gpu, require_float, require_tensor, wrap

Window = tuple[Any, ...]  # dims, then the arguments of the window as the kernels take them


def frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def entries(value: Any, dims: int, op: str, name: str) -> tuple[int, ...]:
    """An int or `dims` of them, as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims
    if len(values) == 1:
        values *= dims
    if len(values) != dims:
        raise ValueError(f"{op}: {name} must be an int or have {dims} entries, got {value!r}")
    try:
        return tuple([operator.index(v) for v in values])
    except TypeError:
        raise TypeError(f"{op}: {name} must hold ints, got {value!r}") from None


def named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


# ---- Maximum -------------------------------------------------------------------------------------


def _plane_positions(places: np.ndarray, shape: tuple, window: Window | None) -> np.ndarray:
    """int64 positions in the planes of an input of `shape`, from places in the window."""
    refuse_on_gpu(places, "max_pool (second gradient)")
    if window is None or places.dtype != np.uint8:
        return places.astype(np.int64, copy=False)
    dims, kernel, stride, padding, dilation, _ = window
    spatial = shape[len(shape) - dims :]
    kernel = entries(kernel, dims, "max_pool", "kernel_size")
    stride = kernel if stride is None else entries(stride, dims, "max_pool", "stride")
    padding = entries(padding, dims, "max_pool", "padding")
    dilation = entries(dilation, dims, "max_pool", "dilation")
    flat = np.zeros(places.shape, np.int64)
    inside = np.unravel_index(places, kernel)
    for i in range(dims):
        axis = places.ndim - dims + i
        start = np.arange(places.shape[axis]) * stride[i] - padding[i]
        start = start.reshape((-1,) + (1,) * (dims - 1 - i))
        flat = flat * spatial[i] + start + inside[i] * dilation[i]
    return flat


def _spread(g: Any, places: np.ndarray, shape: tuple, dims: int, window: Window | None) -> Any:
    """Each element of g goes to the place that its maximum came from. Linear in g."""
    if window is None:
        dx = wrap(_core.max_pool_scatter(g._data, places, shape, dims))
    else:
        dx = wrap(_core.max_pool_backward(g._data, places, shape, *window))
    if wants_grad(g):
        record(dx, _spread_backward, (g,), (), (places, shape, dims, window))
    return dx


def _spread_backward(node: Node, g: Any) -> Any:
    places, shape, dims, window = node.ctx
    return _collect(g, _plane_positions(places, shape, window), shape, dims)


def _collect(x: Any, positions: np.ndarray, shape: tuple, dims: int) -> Any:
    """The elements of x, of `shape`, at positions in its planes."""
    y = wrap(_core.max_unpool_backward(x._data, positions, dims))
    if wants_grad(x):
        record(y, _collect_backward, (x,), (), (positions, shape, dims))
    return y


def _collect_backward(node: Node, g: Any) -> Any:
    positions, shape, dims = node.ctx
    return _spread(g, positions, shape, dims, None)


def _max_pool_backward(node: Node, g: Any) -> Any:
    return _spread(g, *node.ctx)


def _max_pool_with_indices_backward(node: Node, g: Any) -> Any:
    (indices,) = node.saved_tensors()  # the caller has them, too: has it written to them?
    return _spread(g, indices._data, *node.ctx)


def _pooled(input: Any, return_indices: bool, dims: int, window: Window | None, run: Any) -> Any:
    """run(kind of indices) -> y, or y and indices."""
    track = state.enabled and input.requires_grad
    shape = input._data.shape
    if return_indices:
        y, positions = run("plane")
        out, indices = wrap(y), wrap(positions)
        if track:
            record(out, _max_pool_with_indices_backward, (input,), (indices,), (shape, dims, None))
        return out, indices
    if not track:
        return wrap(run("none"))
    y, places = run("window")
    return record(wrap(y), _max_pool_backward, (input,), (), (places, shape, dims, window))


def _make_max_pool(dims: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"max_pool{dims}d"

    def max_pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        require_float(input, name)
        window = (dims, frozen(kernel_size), frozen(stride) or None, frozen(padding),
                  frozen(dilation), bool(ceil_mode))  # fmt: skip
        x = input._data
        return _pooled(
            input, return_indices, dims, window, lambda kind: _core.max_pool(x, *window, kind)
        )

    def with_indices(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = True,
    ) -> Any:
        return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    doc = f"""The largest element of each window of (N, C, {dims} spatial axes) or (C, …).

        NaN wins over numbers. With return_indices also their positions in the input's planes
        (int64), the first of equal
        maxima. Raises ShapeError or ValueError for windows that do not fit, padding above half of
        the window, zero strides.
        """
    indexed = "max_pool with return_indices=True."
    return named(max_pool, name, doc), named(with_indices, name + "_with_indices", indexed)


max_pool1d, max_pool1d_with_indices = _make_max_pool(1)
max_pool2d, max_pool2d_with_indices = _make_max_pool(2)
max_pool3d, max_pool3d_with_indices = _make_max_pool(3)


def _make_adaptive_max_pool(dims: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"adaptive_max_pool{dims}d"

    def adaptive_max_pool(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        require_float(input, name)
        x = input._data
        return _pooled(
            input,
            return_indices,
            dims,
            None,
            lambda kind: _core.adaptive_max_pool(x, dims, output_size, kind),
        )

    def with_indices(input: Any, output_size: Any, return_indices: bool = True) -> Any:
        return adaptive_max_pool(input, output_size, True)

    doc = """The largest elements of windows that cover the input and give output_size outputs.

        None in output_size keeps an axis. With return_indices also their positions (int64).
        """
    indexed = "adaptive_max_pool with return_indices=True."
    return (
        named(adaptive_max_pool, name, doc),
        named(with_indices, name + "_with_indices", indexed),
    )


adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _make_adaptive_max_pool(1)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _make_adaptive_max_pool(2)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _make_adaptive_max_pool(3)


# ---- Unpooling -----------------------------------------------------------------------------------


def _unpool_size(
    op: str, spatial: tuple, kernel: tuple, stride: tuple, padding: tuple, output_size: Any
) -> tuple[int, ...]:
    default = tuple(
        (n - 1) * s + k - 2 * p for n, k, s, p in zip(spatial, kernel, stride, padding, strict=True)
    )
    if output_size is None:
        return default
    size = tuple(output_size)
    if len(size) == len(kernel) + 2:
        size = size[2:]
    if len(size) != len(kernel):
        raise ValueError(
            f"{op}: output_size should be a sequence of length {len(kernel)} or "
            f"{len(kernel) + 2}, but it has length {len(size)}"
        )
    for got, usual, s in zip(size, default, stride, strict=True):
        if not usual - s < got < usual + s:
            raise ValueError(
                f"{op}: invalid output_size {size} (dim sizes must be within one "
                f"stride of {default})"
            )
    return size


def _max_unpool_backward(node: Node, g: Any) -> Any:
    (indices,) = node.saved_tensors()
    dims, size = node.ctx
    dx = wrap(_core.max_unpool_backward(g._data, indices._data, dims))
    if wants_grad(g):
        record(dx, _max_unpool_backward_backward, (g,), (indices,), (dims, size))
    return dx


def _max_unpool_backward_backward(node: Node, g: Any) -> Any:
    (indices,) = node.saved_tensors()
    return _unpool(g, indices, *node.ctx)


def _unpool(x: Any, indices: Any, dims: int, size: tuple) -> Any:
    y = wrap(_core.max_unpool(x._data, indices._data, dims, size))
    if wants_grad(x):
        record(y, _max_unpool_backward, (x,), (indices,), (dims, size))
    return y


def _make_max_unpool(dims: int) -> Callable[..., Any]:
    name = f"max_unpool{dims}d"

    def max_unpool(
        input: Any,
        indices: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
    ) -> Any:
        require_float(input, name)
        index_array(indices, name, "indices")
        kernel = entries(kernel_size, dims, name, "kernel_size")
        step = kernel if stride is None else entries(stride, dims, name, "stride")
        pad = entries(padding, dims, name, "padding")
        spatial = input._data.shape[-dims:]
        size = _unpool_size(name, spatial, kernel, step, pad, output_size)
        return _unpool(input, indices, dims, size)

    doc = """Zeros with the input's elements at `indices`, which a max pooling returned.

        output_size settles which of several sizes the pooled input had. Raises IndexError for
        indices outside of the output's
        planes. Where indices repeat, the last element wins.
        """
    return named(max_unpool, name, doc)


max_unpool1d = _make_max_unpool(1)
max_unpool2d = _make_max_unpool(2)
max_unpool3d = _make_max_unpool(3)


# ---- Fractional ----------------------------------------------------------------------------------


def _fractional_size(op: str, input: Any, dims: int, size: Any, ratio: Any) -> tuple[int, ...]:
    if size is not None:
        return entries(size, dims, op, "output_size")
    if ratio is None:
        raise ValueError(f"{op} requires specifying either an output_size or an output_ratio")
    ratios = tuple(ratio) if isinstance(ratio, (tuple, list)) else (ratio,) * dims
    if len(ratios) != dims:
        raise ValueError(
            f"{op}: output_ratio must be a number or have {dims} entries, got {ratio!r}"
        )
    if not all(0 < r < 1 for r in ratios):
        raise ValueError(f"{op}: output_ratio must be in (0, 1), got {ratio!r}")
    return tuple([int(n * r) for n, r in zip(input._data.shape[-dims:], ratios, strict=True)])


def _make_fractional(dims: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"fractional_max_pool{dims}d"

    def with_indices(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = True,
        _random_samples: Any = None,
    ) -> Any:
        require_float(input, name)
        shape = input._data.shape
        size = _fractional_size(name, input, dims, output_size, output_ratio)
        samples = _random_samples
        if samples is None:
            batch = 1 if len(shape) == dims + 1 else shape[0]
            samples = _random.rand(batch, shape[-dims - 1], dims, dtype=input.dtype)
        require_tensor(samples, name, "_random_samples")
        kernel = frozen(kernel_size)
        y, at = _core.fractional_max_pool(input._data, samples._data, dims, kernel, size)
        out, indices = wrap(y), wrap(at)
        if state.enabled and input.requires_grad:
            record(out, _max_pool_with_indices_backward, (input,), (indices,), (shape, dims, None))
        return out, indices

    def fractional(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> Any:
        both = with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
        return both if return_indices else both[0]

    doc = """Max pooling over windows at pseudo-random places (Graham, 2014).

        Give output_size, or output_ratio in (0, 1). _random_samples (N, C, dims) in [0, 1) sets the
        windows. Raises ValueError for
        sizes that do not fit.
        """
    indexed = "fractional_max_pool with return_indices=True."
    return named(fractional, name, doc), named(with_indices, name + "_with_indices", indexed)


fractional_max_pool2d, fractional_max_pool2d_with_indices = _make_fractional(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _make_fractional(3)
