"""Normalisations. All but local_response_norm and rms_norm share one pair of formulas:

    y = xhat weight + bias,  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps)
    dx = rstd (g - mean(g) - xhat mean(g xhat)),  g = dy weight

with means over the axes that are normalised together.
"""

import math

import numpy as np

from tests.reference.common import unbroadcast


def _normalize(x, axes, eps):
    """xhat and rstd over ``axes``; the variance is the biased one, in two passes."""
    centred = x - x.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + x.dtype.type(eps))
    return centred * rstd, rstd


def _normalize_backward(g, xhat, rstd, axes):
    mean_g = g.mean(axis=axes, keepdims=True)
    mean_gx = (g * xhat).mean(axis=axes, keepdims=True)
    return rstd * (g - mean_g - xhat * mean_gx)


def _affine(xhat, weight, bias):
    y = xhat if weight is None else xhat * weight
    return y if bias is None else y + bias


def _affine_backward(dy, xhat, weight, bias, shape):
    """Gradients of xhat, weight and bias (already shaped to broadcast over xhat)."""
    g = dy if weight is None else dy * weight
    dweight = None if weight is None else unbroadcast(dy * xhat, weight.shape).reshape(shape)
    dbias = None if bias is None else unbroadcast(dy, bias.shape).reshape(shape)
    return g, dweight, dbias


def _per_channel(v, x):
    return None if v is None else v.reshape(-1, *(1,) * (x.ndim - 2))


def _batch_statistics(x, running_mean, running_var, training, eps):
    """xhat, rstd and the axes of the batch mean (None when running statistics are used)."""
    if training or running_mean is None:
        axes = (0, *range(2, x.ndim))
        return *_normalize(x, axes, eps), axes
    rstd = 1 / np.sqrt(_per_channel(running_var, x) + x.dtype.type(eps))
    return (x - _per_channel(running_mean, x)) * rstd, rstd, None


def batch_norm_forward(
    x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    xhat, _, _ = _batch_statistics(x, running_mean, running_var, training, eps)
    return _affine(xhat, _per_channel(weight, x), _per_channel(bias, x))


def batch_norm_backward(
    dy, x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1,
    eps=1e-5,
):  # fmt: skip
    xhat, rstd, axes = _batch_statistics(x, running_mean, running_var, training, eps)
    g, dweight, dbias = _affine_backward(
        dy, xhat, _per_channel(weight, x), _per_channel(bias, x), x.shape[1]
    )
    dx = g * rstd if axes is None else _normalize_backward(g, xhat, rstd, axes)
    return dx, None, None, dweight, dbias


def batch_norm_running(x, running_mean, running_var, momentum=0.1):
    """The running statistics after one training step: moved towards the batch's mean and its
    *unbiased* variance by ``momentum``."""
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    mean, var = x.mean(axis=axes), x.var(axis=axes) * (count / (count - 1))
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * var,
    )


def layer_norm_forward(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    return _affine(_normalize(x, axes, eps)[0], weight, bias)


def layer_norm_backward(dy, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    xhat, rstd = _normalize(x, axes, eps)
    g, dweight, dbias = _affine_backward(dy, xhat, weight, bias, normalized_shape)
    return _normalize_backward(g, xhat, rstd, axes), dweight, dbias


def _group_shape(x, num_groups):
    """(N, groups, elements of a group)."""
    return x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups


def group_norm_forward(x, num_groups, weight=None, bias=None, eps=1e-5):
    """Statistics over each group of channels and all positions of each sample."""
    xhat = _normalize(x.reshape(_group_shape(x, num_groups)), (2,), eps)[0].reshape(x.shape)
    return _affine(xhat, _per_channel(weight, x), _per_channel(bias, x))


def group_norm_backward(dy, x, num_groups, weight=None, bias=None, eps=1e-5):
    shape = _group_shape(x, num_groups)
    xhat, rstd = _normalize(x.reshape(shape), (2,), eps)
    g, dweight, dbias = _affine_backward(
        dy, xhat.reshape(x.shape), _per_channel(weight, x), _per_channel(bias, x), x.shape[1]
    )
    dx = _normalize_backward(g.reshape(shape), xhat, rstd, (2,)).reshape(x.shape)
    return dx, dweight, dbias


def instance_norm_forward(
    x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
    momentum=0.1, eps=1e-5,
):  # fmt: skip
    """Statistics over the positions of each channel of each sample."""
    if not use_input_stats:
        return batch_norm_forward(x, running_mean, running_var, weight, bias, eps=eps)
    return group_norm_forward(x, x.shape[1], weight, bias, eps)


def instance_norm_backward(
    dy, x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
    momentum=0.1, eps=1e-5,
):  # fmt: skip
    if not use_input_stats:
        return batch_norm_backward(dy, x, running_mean, running_var, weight, bias, eps=eps)
    dx, dweight, dbias = group_norm_backward(dy, x, x.shape[1], weight, bias, eps)
    return dx, None, None, dweight, dbias


def instance_norm_running(x, running_mean, running_var, momentum=0.1):
    """As batch_norm_running, with each sample's statistics averaged over the batch."""
    axes, count = tuple(range(2, x.ndim)), x[0, 0].size
    mean, var = x.mean(axis=axes), x.var(axis=axes) * (count / (count - 1))
    return (
        (1 - momentum) * running_mean + momentum * mean.mean(axis=0),
        (1 - momentum) * running_var + momentum * var.mean(axis=0),
    )


def rms_norm_forward(x, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x^2) + eps) weight; eps defaults to the dtype's machine epsilon."""
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    return _affine(x * _rrms(x, axes, eps), weight, None)


def _rrms(x, axes, eps):
    eps = np.finfo(x.dtype).eps if eps is None else eps
    return 1 / np.sqrt((x * x).mean(axis=axes, keepdims=True) + x.dtype.type(eps))


def rms_norm_backward(dy, x, normalized_shape, weight=None, eps=None):
    """dx = rrms (g - xhat mean(g xhat))."""
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    rrms = _rrms(x, axes, eps)
    xhat = x * rrms
    g, dweight, _ = _affine_backward(dy, xhat, weight, None, normalized_shape)
    return rrms * (g - xhat * (g * xhat).mean(axis=axes, keepdims=True)), dweight


def _channel_sums(v, size, before):
    """For each channel, the sum over the ``size`` channels from ``before`` channels earlier on."""
    total = np.zeros_like(v)
    for c in range(v.shape[1]):
        total[:, c] = v[:, max(c - before, 0) : max(c - before + size, 0)].sum(axis=1)
    return total


def local_response_norm_forward(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha mean(x^2 over ``size`` neighbouring channels))^beta."""
    base = k + alpha / size * _channel_sums(x * x, size, size // 2)
    return x / base**beta


def local_response_norm_backward(dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    base = k + alpha / size * _channel_sums(x * x, size, size // 2)
    spread = _channel_sums(dy * x * base ** (-beta - 1), size, size - 1 - size // 2)
    return (dy / base**beta - 2 * alpha * beta / size * x * spread,)
