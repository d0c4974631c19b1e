"""Views: other windows on the same memory, tied to their base for gradients and writes in place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core import wrap_view
from .._errors import ShapeError
from ..autograd.node import Node, record, state, wants_grad
from ._util import check_bytes, normalize_dim, normalize_dims, require_tensor, shape_args, wrap

ViewFn = Callable[[Any], Any]


def make_view(x: Any, data: np.ndarray, backward: Any, ctx: Any, again: ViewFn) -> Any:
    """A tensor on `data`, a window of x's memory.

    `again` makes the same view of another tensor: it is replayed when the base was written in place, and by the gradient
    of such a write.
    """
    if not state.enabled:
        return wrap_view(x, data, None)
    out = wrap_view(x, data, again)
    if x.requires_grad:
        record(out, backward, (x,), (), ctx)
    return out


def replay(view: Any, base: Any) -> Any:
    """The view that `view` describes (a tensor's `_view`), made of another base."""
    later = []
    while type(view) is tuple:  # a view of a view
        later.append(view[1])
        view = view[0]
    out = view(base)
    for again in reversed(later):
        out = again(out)
    return out


def sync_view(v: Any) -> None:
    """The base of `v` was written in place since v was made: v's history is that of the same view made now."""
    base = v._base
    v._seen_version = base._version
    if not base.requires_grad:
        return
    before = state.enabled
    state.enabled = True
    try:
        fresh = replay(v._view, base)
    finally:
        state.enabled = before
    v._node, v._index, v._requires_grad = fresh._node, fresh._index, True


# ---- reshaping ---------------------------------------------------------------------------------------------------


def _infer(shape: tuple[int, ...], numel: int, op: str) -> tuple[int, ...]:
    if -1 not in shape and math.prod(shape) == numel and not any(s < 0 for s in shape):
        return shape
    unknown = [i for i, s in enumerate(shape) if s == -1]
    if any(s < -1 for s in shape):
        raise RuntimeError(f"{op}: invalid shape dimension {min(shape)}")
    if len(unknown) > 1:
        raise RuntimeError(f"{op}: only one dimension can be inferred")
    known = math.prod(s for s in shape if s != -1)
    if unknown:
        if known == 0 or numel % known:
            if known == 0:
                raise RuntimeError(
                    f"{op}: cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                    "unspecified dimension size -1 can be any value and is ambiguous"
                )
            raise ShapeError(f"{op}: shape '{list(shape)}' is invalid for input of size {numel}")
        return tuple(numel // known if s == -1 else s for s in shape)
    if known != numel:
        raise ShapeError(f"{op}: shape '{list(shape)}' is invalid for input of size {numel}")
    return shape


def _shape_backward(node: Node, g: Any) -> Any:
    return reshape(g, node.ctx)


def _reshaped_view(a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The reshape of `a` that shares its memory, or None when there is none."""
    try:
        return a.reshape(shape, copy=False)
    except ValueError:
        return None


def view(input: Any, *shape: Any) -> Any:
    """The same elements in another shape, on the same memory; one size may be -1.

    With a dtype instead of a shape, the same bytes as that dtype. RuntimeError when the memory layout does not allow it:
    use reshape() then.
    """
    from ..dtypes import dtype

    if len(shape) == 1 and isinstance(shape[0], dtype):
        return wrap(input._data.view(shape[0].numpy))
    target = _infer(shape_args(shape, "view"), input._data.size, "view")
    data = _reshaped_view(input._data, target)
    if data is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension "
            "spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return make_view(input, data, _shape_backward, input._data.shape, lambda b: view(b, target))


def reshape(input: Any, *shape: Any) -> Any:
    """As view() where the memory layout allows it, else a copy. One size may be -1."""
    target = _infer(shape_args(shape, "reshape"), input._data.size, "reshape")
    data = _reshaped_view(input._data, target)
    if data is not None:
        return make_view(input, data, _shape_backward, input._data.shape, lambda b: view(b, target))
    out = wrap(np.ascontiguousarray(input._data).reshape(target))
    if wants_grad(input):
        record(out, _shape_backward, (input,), (), input._data.shape)
    return out


def view_as(input: Any, other: Any) -> Any:
    """view() in the shape of `other`."""
    return view(input, other._data.shape)


def reshape_as(input: Any, other: Any) -> Any:
    """reshape() in the shape of `other`."""
    return reshape(input, other._data.shape)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Joins the dimensions start_dim … end_dim into one."""
    shape = input._data.shape
    if not shape:
        return reshape(input, (1,))
    start = normalize_dim(start_dim, len(shape), "flatten")
    end = normalize_dim(end_dim, len(shape), "flatten")
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    return reshape(input, shape[:start] + (math.prod(shape[start : end + 1]),) + shape[end + 1 :])


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Splits dimension `dim` into `sizes` (one may be -1)."""
    shape = input._data.shape
    d = normalize_dim(dim, len(shape), "unflatten")
    return view(input, shape[:d] + _infer(tuple(sizes), shape[d], "unflatten") + shape[d + 1 :])


def ravel(input: Any) -> Any:
    """The elements as one dimension."""
    return reshape(input, (-1,))


def alias(input: Any) -> Any:
    """A second tensor on the whole of the same memory."""
    return make_view(input, input._data, _alias_backward, None, alias)


def _alias_backward(node: Node, g: Any) -> Any:
    return g


# ---- axes --------------------------------------------------------------------------------------------------------


def permute(input: Any, *dims: Any) -> Any:
    """Reorders the dimensions."""
    n = input._data.ndim
    order = normalize_dims(shape_args(dims, "permute"), n, "permute")
    if len(order) != n:
        raise RuntimeError(f"permute: number of dims {len(order)} does not match input of {n} dims")
    inverse = tuple(sorted(range(n), key=order.__getitem__))
    return make_view(
        input, input._data.transpose(order), _permute_backward, inverse, lambda b: permute(b, order)
    )


def _permute_backward(node: Node, g: Any) -> Any:
    return permute(g, node.ctx)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Swaps two dimensions."""
    n = input._data.ndim
    a, b = normalize_dim(dim0, n, "transpose"), normalize_dim(dim1, n, "transpose")
    data = input._data.swapaxes(a, b) if n else input._data
    return make_view(input, data, _transpose_backward, (a, b), lambda t: transpose(t, a, b))


def _transpose_backward(node: Node, g: Any) -> Any:
    return transpose(g, *node.ctx)


def t(input: Any) -> Any:
    """The transpose of a matrix (0-d and 1-d tensors as they are)."""
    if input._data.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {input._data.ndim}D"
        )
    return transpose(input, 0, 1) if input._data.ndim == 2 else alias(input)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Moves dimensions to new places; the others keep their order."""
    n = input._data.ndim
    src = normalize_dims((source,) if isinstance(source, int) else source, n, "movedim")
    dst = normalize_dims(
        (destination,) if isinstance(destination, int) else destination, n, "movedim"
    )
    order = [d for d in range(n) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return permute(input, order)


def squeeze(input: Any, dim: Any = None) -> Any:
    """Drops dimensions of size 1 (all, or those named)."""
    shape = input._data.shape
    dims = normalize_dims(dim, len(shape), "squeeze") if shape else ()
    keep = tuple(i for i in range(len(shape)) if i not in dims or shape[i] != 1)
    data = input._data[tuple(slice(None) if i in keep else 0 for i in range(len(shape)))]
    if not isinstance(data, np.ndarray):
        data = input._data.reshape(())
    return make_view(input, data, _shape_backward, shape, lambda b: squeeze(b, dim))


def unsqueeze(input: Any, dim: int) -> Any:
    """A new dimension of size 1 at `dim`."""
    d = normalize_dim(dim, input._data.ndim + 1, "unsqueeze")
    data = np.expand_dims(input._data, d)
    return make_view(input, data, _shape_backward, input._data.shape, lambda b: unsqueeze(b, d))


def expand(input: Any, *shape: Any) -> Any:
    """Repeats dimensions of size 1 without copying; -1 keeps a size."""
    target = shape_args(shape, "expand")
    own = input._data.shape
    extra = len(target) - len(own)
    if extra < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(target)}) must be greater or equal to the "
            f"number of dimensions in the tensor ({len(own)})"
        )
    full = []
    for i, s in enumerate(target):
        have = own[i - extra] if i >= extra else 1
        if s == -1:
            if i < extra:
                raise RuntimeError("expand: -1 is not allowed in a leading, non-existing dimension")
            s = have
        elif have not in (1, s):
            raise ShapeError(
                f"expand: The expanded size of the tensor ({s}) must match the existing size ({have}) "
                f"at non-singleton dimension {i}.  Target sizes: {list(target)}.  Tensor sizes: "
                f"{list(own)}"
            )
        full.append(s)
    out_shape = tuple(full)
    check_bytes(out_shape, input._data.itemsize, "expand")
    # broadcast_to gives a read-only array; writing to it is refused by the in-place ops themselves.
    data = np.lib.stride_tricks.as_strided(
        input._data,
        out_shape,
        (0,) * extra
        + tuple(
            0 if n == 1 and m != 1 else s
            for s, n, m in zip(input._data.strides, own, out_shape[extra:], strict=True)
        ),
        writeable=False,
    )
    return make_view(input, data, _expand_backward, own, lambda b: expand(b, out_shape))


def _expand_backward(node: Node, g: Any) -> Any:
    return g.sum_to_size(node.ctx)


def expand_as(input: Any, other: Any) -> Any:
    """expand() to the shape of `other`."""
    return expand(input, other._data.shape)


broadcast_to = expand


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two dimensions, as the last dimension of a view."""
    n = input._data.ndim
    a, b = normalize_dim(dim1, n, "diagonal"), normalize_dim(dim2, n, "diagonal")
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    data = np.diagonal(input._data, offset, a, b)
    if input._data.flags.writeable:
        data.flags.writeable = True
    again: ViewFn = lambda x: diagonal(x, offset, a, b)  # noqa: E731
    return make_view(input, data, _window_backward, (input._data.shape, again), again)


def _window_backward(node: Node, g: Any) -> Any:
    """The gradient of a window: zeros, with g where the window is."""
    shape, window = node.ctx
    if not wants_grad(g):
        full = np.zeros(shape, g._data.dtype)
        window(wrap(full))._data[...] = g._data
        return wrap(full)
    out = wrap(np.zeros(shape, g._data.dtype))
    window(out).copy_(g)
    return out


# ---- windows along one dimension ---------------------------------------------------------------------------------


def slice_view(input: Any, key: Any) -> Any:
    """Basic indexing: ints, slices, None and Ellipsis."""
    data = input._data[key]
    if not isinstance(data, np.ndarray):
        data = input._data[(*(key if isinstance(key, tuple) else (key,)), ...)]
    again: ViewFn = lambda b: slice_view(b, key)  # noqa: E731
    return make_view(input, data, _window_backward, (input._data.shape, again), again)


def _along(n: int, dim: int, what: Any) -> tuple:
    return (slice(None),) * dim + (what,) + (slice(None),) * (n - dim - 1)


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """The elements start … start+length-1 of dimension `dim`."""
    shape = input._data.shape
    d = normalize_dim(dim, len(shape), "narrow")
    start = int(start)
    if start < 0:
        start += shape[d]
    if length < 0 or not 0 <= start <= shape[d] - length:
        raise RuntimeError(
            f"narrow: start ({start}) + length ({length}) exceeds dimension size ({shape[d]})"
        )
    return slice_view(input, _along(len(shape), d, slice(start, start + length)))


def select(input: Any, dim: int, index: int) -> Any:
    """The slice of dimension `dim` at `index`; that dimension goes."""
    shape = input._data.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = normalize_dim(dim, len(shape), "select")
    if not -shape[d] <= index < shape[d]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {d}"
        )
    return slice_view(input, _along(len(shape), d, int(index)))


def unbind(input: Any, dim: int = 0) -> tuple:
    """All slices of dimension `dim`."""
    d = normalize_dim(dim, input._data.ndim, "unbind")
    return tuple(select(input, d, i) for i in range(input._data.shape[d]))


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces of the given size (the last may be smaller) or of the given sizes along `dim`."""
    n = tensor._data.shape[normalize_dim(dim, tensor._data.ndim, "split")]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and n):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        lengths = [size] * (n // size) + ([n % size] if n % size else []) if n else [0]
    else:
        lengths = [int(s) for s in split_size_or_sections]
        if sum(lengths) != n or min(lengths, default=0) < 0:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
                f"dimension {dim}), but got split_sizes={lengths}"
            )
    out, start = [], 0
    for length in lengths:
        out.append(narrow(tensor, dim, start, length))
        start += length
    return tuple(out)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` pieces of equal size (the last may be smaller)."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input._data.shape[normalize_dim(dim, input._data.ndim, "chunk")]
    return split(input, max(-(-n // chunks), 1), dim)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces between the given indices, or that many pieces of nearly equal size."""
    n = input._data.shape[normalize_dim(dim, input._data.ndim, "tensor_split")]
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {k}")
        return split(input, [n // k + (i < n % k) for i in range(k)], dim)
    edges = [0, *[min(max(i + n if i < 0 else i, 0), n) for i in indices_or_sections], n]
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in itertools.pairwise(edges))


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Sliding windows of `size` elements every `step` along `dimension`, as a new last dimension."""
    shape = input._data.shape
    d = normalize_dim(dimension, len(shape), "unfold")
    if not shape:
        raise RuntimeError("unfold: needs at least one dimension")
    if step <= 0 or size < 0 or size > shape[d]:
        raise RuntimeError(
            f"unfold: size {size} and step {step} do not fit dimension {d} of size {shape[d]}"
        )
    windows = (
        np.lib.stride_tricks.sliding_window_view(input._data, size, d, writeable=True)
        if (size and input._data.flags.writeable)
        else np.lib.stride_tricks.sliding_window_view(input._data, size, d)
    )
    data = windows[_along(windows.ndim, d, slice(None, None, step))]
    out = wrap(data)
    out._counter = input._counter
    if wants_grad(input):
        record(out, _unfold_backward, (input,), (), (shape, d, size, step))
    return out


def _unfold_backward(node: Node, g: Any) -> Any:
    shape, d, size, step = node.ctx
    out = wrap(np.zeros(shape, g._data.dtype))
    count = g._data.shape[d]
    for k in range(size):  # windows overlap: one offset at a time
        where = _along(len(shape), d, slice(k, k + (count - 1) * step + 1, step))
        slice_view(out, where).add_(select(g, -1, k))
    return out


def as_strided(
    input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int = 0
) -> Any:
    """A window with any strides (in elements) on the memory of `input`, checked to lie within it."""
    require_tensor(input, "as_strided")
    a = input._data if input._base is None else input._base._data
    if not a.flags.c_contiguous:
        raise RuntimeError("as_strided: the storage of input must be contiguous")
    if len(size) != len(stride) or any(n < 0 for n in size):
        raise RuntimeError(
            f"as_strided: expected non-negative sizes and as many strides, got {list(size)} and "
            f"{list(stride)}"
        )
    last = storage_offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True) if n > 0)
    if storage_offset < 0 or any(s < 0 for s in stride) or (0 not in size and last >= a.size):
        raise RuntimeError(
            f"as_strided: size {list(size)}, stride {list(stride)}, storage_offset {storage_offset} "
            f"reach element {last} of a storage of {a.size}"
        )
    flat = a.reshape(-1)
    data = np.lib.stride_tricks.as_strided(
        flat[storage_offset:], tuple(size), tuple(s * a.itemsize for s in stride)
    )
    out = wrap(data)
    out._counter = input._counter
    if wants_grad(input):
        raise NotImplementedError("as_strided: no gradient; use slicing, unfold or expand")
    return out


METHODS = (
    "view reshape view_as reshape_as flatten unflatten ravel alias permute transpose t movedim squeeze unsqueeze expand "
    "expand_as broadcast_to diagonal narrow select unbind split chunk tensor_split unfold as_strided"
).split()
OPERATORS = {"swapaxes": transpose, "swapdims": transpose, "moveaxis": movedim}
