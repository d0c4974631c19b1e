"""Distances and similarities along one axis, and the losses made of them."""

import math

import numpy as np

from tests.reference.common import reduce_loss, spread_loss_grad, unbroadcast


def _norm(x, p, axis=-1):
    """The p-norm, keeping the axis."""
    a = np.abs(x)
    if p == math.inf:
        return a.max(axis=axis, keepdims=True)
    if p == 0:
        return (a != 0).astype(x.dtype).sum(axis=axis, keepdims=True)
    return (a**p).sum(axis=axis, keepdims=True) ** (1 / p)


def _norm_slope(x, p, axis=-1):
    """d norm / dx: sign(x) (|x| / norm)^(p-1); 0 at x = 0. Equal maxima share the slope of inf."""
    norm, a = _norm(x, p, axis), np.abs(x)
    if p == 0:
        return np.zeros_like(x)
    if p == math.inf:
        top = (a == norm) & (a > 0)
        return np.sign(x) * top / np.maximum(top.sum(axis=axis, keepdims=True), 1)
    ratio = np.divide(a, norm, out=np.ones_like(a), where=a > 0)
    return np.sign(x) * ratio ** (p - 1)


def pairwise_distance_forward(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """|x1 - x2 + eps|_p over the last axis."""
    d = _norm(x1 - x2 + x1.dtype.type(eps), p)
    return d if keepdim else d[..., 0]


def pairwise_distance_backward(dy, x1, x2, p=2.0, eps=1e-6, keepdim=False):
    dy = dy if keepdim else np.asarray(dy)[..., None]
    g = dy * _norm_slope(x1 - x2 + x1.dtype.type(eps), p)
    return unbroadcast(g, x1.shape), unbroadcast(-g, x2.shape)


def normalize_forward(x, p=2.0, dim=1, eps=1e-12):
    """x / max(|x|_p, eps)."""
    return x / np.maximum(_norm(x, p, dim), eps)


def normalize_backward(dy, x, p=2.0, dim=1, eps=1e-12):
    norm = _norm(x, p, dim)
    scale = np.maximum(norm, eps)
    through = np.where(norm > eps, (dy * x).sum(axis=dim, keepdims=True) / scale**2, 0)
    return (dy / scale - through * _norm_slope(x, p, dim),)


def cosine_similarity_forward(x1, x2, dim=1, eps=1e-8):
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps))."""
    n1, n2 = (np.maximum(_norm(x, 2, dim), eps) for x in (x1, x2))
    return ((x1 / n1) * (x2 / n2)).sum(axis=dim)


def cosine_similarity_backward(dy, x1, x2, dim=1, eps=1e-8):
    """The clamp of the norms passes gradients on, as torch does it outside of its tape."""
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    n1, n2 = (np.maximum(_norm(x, 2, dim), eps) for x in (x1, x2))
    u1, u2, dy = x1 / n1, x2 / n2, np.expand_dims(dy, dim)
    cosine = (u1 * u2).sum(axis=dim, keepdims=True)
    dx1 = dy * (u2 - cosine * _norm_slope(x1, 2, dim)) / n1
    dx2 = dy * (u1 - cosine * _norm_slope(x2, 2, dim)) / n2
    return tuple(unbroadcast(np.broadcast_to(d, shape), x.shape) for d, x in ((dx1, x1), (dx2, x2)))


def pdist_forward(x, p=2.0):
    """Distances of all pairs of rows i < j, in row order."""
    i, j = np.triu_indices(len(x), 1)
    return _norm(x[i] - x[j], p)[:, 0]


def pdist_backward(dy, x, p=2.0):
    i, j = np.triu_indices(len(x), 1)
    g = dy[:, None] * _norm_slope(x[i] - x[j], p)
    dx = np.zeros_like(x)
    np.add.at(dx, i, g)
    np.subtract.at(dx, j, g)
    return (dx,)


def _cosine_parts(x1, x2):
    """x1 . x2, and |x|^2 + 1e-12 of both: this loss guards the squares, not the norms."""
    return (x1 * x2).sum(-1), (x1 * x1).sum(-1) + 1e-12, (x2 * x2).sum(-1) + 1e-12


def cosine_embedding_loss_forward(x1, x2, target, margin=0.0, reduction="mean"):
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    dot, s1, s2 = _cosine_parts(x1, x2)
    cosine = dot / np.sqrt(s1 * s2)
    loss = np.where(target == 1, 1 - cosine, np.maximum(0, cosine - margin))
    return reduce_loss(loss, reduction)


def cosine_embedding_loss_backward(dy, x1, x2, target, margin=0.0, reduction="mean"):
    dot, s1, s2 = _cosine_parts(x1, x2)
    root = np.sqrt(s1 * s2)
    cosine = dot / root
    slope = np.where(target == 1, -1, np.where(cosine > margin, 1, 0))
    g = (spread_loss_grad(dy, target.shape, reduction) * slope)[..., None]
    root, cosine = root[..., None], cosine[..., None]
    return g * (x2 / root - cosine * x1 / s1[..., None]), g * (
        x1 / root - cosine * x2 / s2[..., None]
    )


def margin_ranking_loss_forward(x1, x2, target, margin=0.0, reduction="mean"):
    """max(0, margin - target (x1 - x2))."""
    return reduce_loss(np.maximum(0, margin - target * (x1 - x2)), reduction)


def margin_ranking_loss_backward(dy, x1, x2, target, margin=0.0, reduction="mean"):
    violation = margin - target * (x1 - x2)
    g = spread_loss_grad(dy, violation.shape, reduction) * np.where(violation > 0, -target, 0)
    return unbroadcast(g, x1.shape), unbroadcast(-g, x2.shape)


def triplet_margin_loss_forward(
    anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"
):
    """max(0, margin + |a - p| - |a - n|); with swap the nearer of |a - n| and |p - n|."""
    near = pairwise_distance_forward(anchor, positive, p, eps)
    far = pairwise_distance_forward(anchor, negative, p, eps)
    if swap:
        far = np.minimum(far, pairwise_distance_forward(positive, negative, p, eps))
    return reduce_loss(np.maximum(0, margin + near - far), reduction)


def triplet_margin_loss_backward(
    dy, anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"
):
    pairs = [(anchor, positive), (anchor, negative), (positive, negative)]
    near, far, other = (pairwise_distance_forward(a, b, p, eps) for a, b in pairs)
    swapped = (other < far) & swap
    violation = margin + near - np.where(swapped, other, far)
    g = np.where(violation > 0, spread_loss_grad(dy, near.shape, reduction), 0)
    weights = (g, np.where(swapped, 0, -g), np.where(swapped, -g, 0))
    (a1, p1), (a2, n2), (p3, n3) = (
        pairwise_distance_backward(w, a, b, p, eps)
        for w, (a, b) in zip(weights, pairs, strict=True)
    )
    return a1 + a2, p1 + p3, n2 + n3


def gaussian_nll_loss_forward(x, target, var, full=False, eps=1e-6, reduction="mean"):
    """0.5 (log var + (x - target)^2 / var), var held above eps."""
    var = np.maximum(_like(var, x), eps)
    loss = 0.5 * (np.log(var) + (x - target) ** 2 / var)
    return reduce_loss(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def gaussian_nll_loss_backward(dy, x, target, var, full=False, eps=1e-6, reduction="mean"):
    """The clamp of var passes gradients on, as torch does it outside of its tape."""
    safe = np.maximum(_like(var, x), eps)
    d = x - target
    g = spread_loss_grad(dy, d.shape, reduction)
    dvar = unbroadcast(g * 0.5 * (1 / safe - d * d / safe**2), safe.shape)
    return g * d / safe, -g * d / safe, dvar.reshape(var.shape)


def _like(var, x):
    """A variance without the last axis of x gets one."""
    return var if var.ndim == x.ndim else var[..., None]


def bilinear_forward(x1, x2, weight, bias=None):
    """y_o = x1^T W_o x2 + b_o over the last axes."""
    y = np.einsum("...i,oij,...j->...o", x1, weight, x2)
    return y if bias is None else y + bias


def bilinear_backward(dy, x1, x2, weight, bias=None):
    dx1 = np.einsum("...o,oij,...j->...i", dy, weight, x2)
    dx2 = np.einsum("...o,oij,...i->...j", dy, weight, x1)
    rows = (a.reshape(-1, a.shape[-1]) for a in (dy, x1, x2))
    dw = np.einsum("no,ni,nj->oij", *rows)
    return dx1, dx2, dw, None if bias is None else dy.reshape(-1, dy.shape[-1]).sum(0)
