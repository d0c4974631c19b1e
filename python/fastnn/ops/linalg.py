"""Products: matmul in all its ranks, linear with fused bias and activation, einsum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._errors import DTypeError, ShapeError
from ..autograd.node import Node, wants_grad
from ..kernels.linear import linear as activated_product
from . import inplace
from ._util import as_tensor_operand, require_tensor, require_tensors, store, wrap


def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices, (M, K) @ (K, N)."""
    for name, t in (("input", input), ("mat2", mat2)):
        require_tensor(t, "mm", name)
        if t._data.ndim != 2:
            raise ShapeError(f"mm: {name} must be a matrix, got {t._data.ndim} dimensions")
    result = _product(input, mat2, "mm")
    return result if out is None else store(out, result, "mm")


def bmm(input: Any, mat2: Any) -> Any:
    """Products of matrices in a batch, (B, M, K) @ (B, K, N)."""
    for name, t in (("input", input), ("mat2", mat2)):
        require_tensor(t, "bmm", name)
        if t._data.ndim != 3:
            raise ShapeError(
                f"bmm: batch1 and batch2 must be 3D tensors, {name} has {t._data.ndim}"
            )
    if input._data.shape[0] != mat2._data.shape[0]:
        raise ShapeError(
            f"bmm: batch sizes differ: {input._data.shape[0]} and {mat2._data.shape[0]}"
        )
    return _product(input, mat2, "bmm")


def _matmul_backward(node: Node, g: Any) -> tuple:
    a, b = node.saved_tensors()
    ea, eb = node.edges
    ga = gb = None
    if ea is not None:
        ga = _product(g, b.transpose(-1, -2), "matmul").sum_to_size(a._data.shape)
    if eb is not None:
        gb = _weight_gradient(a, g, b._data.shape)
    return ga, gb


def _weight_gradient(a: Any, g: Any, shape: tuple) -> Any:
    """aᵀ g summed over the batch; as one product when b has no batch of its own."""
    if len(shape) == 2 and a._data.ndim > 2:
        a, g = a.reshape(-1, shape[0]), g.reshape(-1, shape[1])
    return _product(a.transpose(-1, -2), g, "matmul").sum_to_size(shape)


_product = _core.make_product(_matmul_backward)


def _matmul_of_any_rank(input: Any, other: Any, *, out: Any = None) -> Any:
    require_tensor(input, "matmul")
    require_tensor(other, "matmul", "other")
    n, m = input._data.ndim, other._data.ndim
    if n == 0 or m == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {n}D and {m}D"
        )
    a = input.unsqueeze(0) if n == 1 else input
    b = other.unsqueeze(1) if m == 1 else other
    # A batch of matrices times one matrix is one tall product.
    if a._data.ndim > 2 and b._data.ndim == 2 and a._data.shape[-1] == b._data.shape[0]:
        rows = a._data.shape[:-1]
        result = _product(a.reshape(math.prod(rows), a._data.shape[-1]), b, "matmul")
        result = result.reshape(*rows, b._data.shape[1])
    else:
        result = _product(a, b, "matmul")
    if n == 1:
        result = result.squeeze(-2)
    if m == 1:
        result = result.squeeze(-1)
    return result if out is None else store(out, result, "matmul")


matmul = _core.make_matmul(_matmul_backward, _matmul_of_any_rank)


def mv(input: Any, vec: Any) -> Any:
    """Matrix times vector."""
    require_tensors("mv", input=input, vec=vec)
    if input._data.ndim != 2 or vec._data.ndim != 1:
        raise ShapeError(
            f"mv: vector + matrix @ vector expected, got {vec._data.ndim}D and {input._data.ndim}D"
        )
    return matmul(input, vec)


def dot(input: Any, tensor: Any) -> Any:
    """The inner product of two vectors."""
    require_tensors("dot", input=input, tensor=tensor)
    if input._data.ndim != 1 or tensor._data.ndim != 1:
        raise ShapeError(
            f"dot: 1D tensors expected, but got {input._data.ndim}D and {tensor._data.ndim}D tensors"
        )
    if input._data.shape != tensor._data.shape:
        raise ShapeError(
            f"dot: inconsistent tensor size, expected tensor {input._data.shape} and src "
            f"{tensor._data.shape} to have the same number of elements"
        )
    return matmul(input, tensor)


def outer(input: Any, vec2: Any) -> Any:
    """The outer product of two vectors."""
    require_tensors("outer", input=input, vec2=vec2)
    if input._data.ndim != 1 or vec2._data.ndim != 1:
        raise ShapeError("outer: expected two 1D tensors")
    return input.unsqueeze(1) * vec2.unsqueeze(0)


ger = outer


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * (mat1 @ mat2)``; `input` is not read when beta is 0."""
    product = mm(mat1, mat2)
    return _plus(product if alpha == 1 else product * alpha, input, beta)


def _plus(product: Any, input: Any, beta: Any) -> Any:
    """``product + beta * input``; with beta = 0, NaN in `input` do not spread."""
    input = as_tensor_operand(input, "addmm", "input")
    if beta == 0:
        if not wants_grad(input):
            return product
        input, beta = input.masked_fill(wrap(np.asarray(True)), 0), 1  # its gradient is 0, not None
    return product + (input if beta == 1 else input * beta)


def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * (mat @ vec)``."""
    product = mv(mat, vec) if alpha == 1 else mv(mat, vec) * alpha
    return _plus(product, input, beta)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * outer(vec1, vec2)``."""
    product = outer(vec1, vec2) if alpha == 1 else outer(vec1, vec2) * alpha
    return _plus(product, input, beta)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * (batch1 @ batch2)``."""
    product = bmm(batch1, batch2) if alpha == 1 else bmm(batch1, batch2) * alpha
    return _plus(product, input, beta)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * sum over the batch of (batch1 @ batch2)``."""
    product = bmm(batch1, batch2).sum(0)
    return _plus(product if alpha == 1 else product * alpha, input, beta)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Contracts the last `dims` dimensions of a with the first of b, or the two given lists."""
    require_tensors("tensordot", a=a, b=b)
    n, m = a._data.ndim, b._data.ndim
    if isinstance(dims, int):
        over_a, over_b = list(range(n - dims, n)), list(range(dims))
    else:
        over_a, over_b = [d % n for d in dims[0]], [d % m for d in dims[1]]
    keep_a = [d for d in range(n) if d not in over_a]
    keep_b = [d for d in range(m) if d not in over_b]
    k = math.prod(a._data.shape[d] for d in over_a)
    left = a.permute(keep_a + over_a).reshape(-1, k)
    right = b.permute(over_b + keep_b).reshape(k, -1)
    shape = [a._data.shape[d] for d in keep_a] + [b._data.shape[d] for d in keep_b]
    return mm(left, right).reshape(shape)


# ---- linear ------------------------------------------------------------------------------------------------------


def _linear_backward(node: Node, g: Any) -> tuple:
    x, w = node.saved_tensors()
    ex, ew, eb = node.edges
    rows = g if g._data.ndim == 2 else g.reshape(-1, w._data.shape[0])
    gx = gw = gb = None
    if ex is not None:
        gx = _product(rows, w, "linear").reshape(x._data.shape)
    if ew is not None:
        flat = x if x._data.ndim == 2 else x.reshape(-1, w._data.shape[1])
        gw = _product(rows.transpose(0, 1), flat, "linear")
    if eb is not None:
        gb = rows.sum(0)
    return gx, gw, gb


linear = _core.make_linear(_linear_backward)


def linear_activated(input: Any, weight: Any, bias: Any, activation: str) -> Any:
    """activation(linear(...)) in one pass, without a gradient."""
    require_tensors("linear", input=input, weight=weight)
    b = None if bias is None else bias._data
    try:
        return wrap(activated_product(input._data, weight._data, b, activation))
    except (ShapeError, DTypeError):
        linear(input, weight, bias)  # says what is wrong in terms of its arguments
        raise


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``input1ᵀ weight[k] input2 + bias[k]`` for each output k."""
    require_tensors("bilinear", input1=input1, input2=input2, weight=weight)
    out = einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else out + bias


# ---- einsum ------------------------------------------------------------------------------------------------------


def einsum(equation: str, *operands: Any) -> Any:
    """Einstein's summation, e.g. ``einsum('bij,bjk->bik', a, b)``; contracted pair by pair as batched products."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, output = _parse(equation, operands)
    tensors = [_diagonalised(t, term) for t, term in zip(operands, terms, strict=True)]
    current, labels = tensors[0]
    for k, (other, other_labels) in enumerate(tensors[1:], 2):
        later = set(output).union(*[set(lb) for _, lb in tensors[k:]])
        current, labels = _contract(current, labels, other, other_labels, later)
    extra = [i for i, lb in enumerate(labels) if lb not in output]
    if extra:
        current = current.sum(extra)
        labels = [lb for lb in labels if lb in output]
    return current.permute([labels.index(lb) for lb in output])


def _parse(equation: str, operands: Sequence[Any]) -> tuple[list[list[str]], list[str]]:
    """Labels of every operand and of the output; an ellipsis becomes labels '.0', '.1', …"""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise RuntimeError(
            f"einsum(): the equation has {len(parts)} operands but {len(operands)} were given"
        )
    terms = [_labels(p, t._data.ndim, equation) for p, t in zip(parts, operands, strict=True)]
    dots = max((sum(lb[0] == "." for lb in t) for t in terms), default=0)
    ellipsis = [f".{i}" for i in range(dots)]
    terms = [_aligned(t, dots) for t in terms]
    known = [lb for t in terms for lb in t]
    if arrow:
        head, has, tail = right.partition("...")
        output = list(head) + (ellipsis if has else []) + list(tail)
    else:
        output = ellipsis + sorted({lb for lb in known if lb[0] != "." and known.count(lb) == 1})
    for lb in output:
        if lb not in known or output.count(lb) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {lb} is unknown or repeated in {equation}"
            )
    return terms, output


def _labels(part: str, ndim: int, equation: str) -> list[str]:
    head, has, tail = part.partition("...")
    named = len(head) + len(tail)
    if not (head + tail).isalpha() and head + tail:
        raise RuntimeError(f"einsum(): invalid subscript in {equation}")
    if named > ndim or (not has and named != ndim):
        raise RuntimeError(
            f"einsum(): the number of subscripts in '{part}' does not match the {ndim} dimensions of "
            "the operand"
        )
    return list(head) + [f".{i}" for i in range(ndim - named)] + list(tail)


def _aligned(term: list[str], dots: int) -> list[str]:
    """Ellipsis dimensions line up at their right end."""
    own = sum(lb[0] == "." for lb in term)
    return [f".{int(lb[1:]) + dots - own}" if lb[0] == "." else lb for lb in term]


def _diagonalised(t: Any, labels: list[str]) -> tuple[Any, list[str]]:
    """A repeated label takes the diagonal."""
    labels = list(labels)
    for lb in list(dict.fromkeys(labels)):
        while labels.count(lb) > 1:
            i = labels.index(lb)
            j = labels.index(lb, i + 1)
            t = t.diagonal(0, i, j)
            labels = [x for k, x in enumerate(labels) if k not in (i, j)] + [lb]
    return t, labels


def _contract(
    a: Any, la: list[str], b: Any, lb: list[str], later: set[str]
) -> tuple[Any, list[str]]:
    """One batched product: shared labels that are needed later form the batch, the others are summed."""
    for labels, mine, other in ((la, True, lb), (lb, False, la)):
        alone = [i for i, x in enumerate(labels) if x not in other and x not in later]
        if alone:
            if mine:
                a, la = a.sum(alone), [x for x in la if x in lb or x in later]
            else:
                b, lb = b.sum(alone), [x for x in lb if x in la or x in later]
    shared = [x for x in la if x in lb]
    batch = [x for x in shared if x in later]
    summed = [x for x in shared if x not in later]
    rows = [x for x in la if x not in lb]
    cols = [x for x in lb if x not in la]
    size: dict[str, int] = {}
    for t, labels in ((a, la), (b, lb)):
        for x, n in zip(labels, t._data.shape, strict=True):
            if size.get(x, 1) not in (1, n) and n != 1:
                raise ShapeError(f"einsum(): subscript {x} has size {n} and {size[x]}")
            size[x] = max(n, size.get(x, 1))

    def arranged(t: Any, labels: list[str], groups: list[list[str]]) -> Any:
        t = t.permute([labels.index(x) for g in groups for x in g])
        t = t.expand([size[x] for g in groups for x in g])
        return t.reshape([math.prod(size[x] for x in g) for g in groups])

    left = arranged(a, la, [batch, rows, summed])
    right = arranged(b, lb, [batch, summed, cols])
    out = bmm(left, right)
    labels = batch + rows + cols
    return out.reshape([size[x] for x in labels]), labels


def addmm_(self: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """In-place addmm()."""
    return inplace.apply(self, "addmm_", addmm, mat1, mat2, beta=beta, alpha=alpha)


def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    if require_tensor(input, "trace")._data.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._data.ndim}")
    return input.diagonal().sum()


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Any:
    """Distances between all rows of x1 (…, P, M) and of x2 (…, R, M): (…, P, R)."""
    require_tensors("cdist", x1=x1, x2=x2)
    a, b = x1._data, x2._data
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"cdist: expected (…, P, M) and (…, R, M), got shapes {a.shape} and {b.shape}"
        )
    if not p >= 0:
        raise ValueError(f"cdist: p must be non-negative, got {p}")
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    return difference.norm(p, -1)


METHODS = "mm bmm matmul mv dot outer ger addmm addmv addr baddbmm addbmm addmm_ trace".split()
OPERATORS = {"__matmul__": matmul, "__rmatmul__": lambda self, other: matmul(other, self)}
