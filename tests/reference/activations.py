"""Elementwise activations of torch.nn.functional: each is a function and its derivative.

At a kink the derivative is the one that torch takes. NaN comes out as NaN (the derivative there is
left open: torch's differs between its vector and its scalar code). ``ACTIVATIONS`` maps a
name to both; ``prelu`` and ``glu``, which are not elementwise in one array, follow at the end.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.reference.common import erf, erfc, log1pexp, sigmoid

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
SQRT_HALF, SQRT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Activation:
    forward: Callable
    derivative: Callable

    def backward(self, dy, x, **kwargs):
        return (dy * self.derivative(x, **kwargs),)


def _where(condition, a, b, x):
    """np.where that keeps x's dtype; NaN in x takes branch b, which must pass it on."""
    return np.where(condition, a, b).astype(x.dtype)


def _expm1(x):
    """expm1 of the negative part only: the other branch never overflows."""
    return np.expm1(np.minimum(x, 0))


def elu(x, alpha=1.0):
    return _where(x > 0, x, alpha * _expm1(x), x)


def elu_derivative(x, alpha=1.0):
    return _where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)), x)


def celu(x, alpha=1.0):
    return _where(x > 0, x, alpha * _expm1(x / alpha), x)


def celu_derivative(x, alpha=1.0):
    return _where(x > 0, 1, np.exp(np.minimum(x, 0) / alpha), x)


def gelu(x, approximate="none"):
    """x P(Z <= x) for a standard normal Z, or its tanh approximation."""
    if approximate == "tanh":
        return x * sigmoid(2 * SQRT_2_OVER_PI * (x + 0.044715 * x**3))
    return x * 0.5 * erfc(-x * SQRT_HALF)


def gelu_derivative(x, approximate="none"):
    if approximate == "tanh":
        s = sigmoid(2 * SQRT_2_OVER_PI * (x + 0.044715 * x**3))
        return s + x * s * (1 - s) * 2 * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x**2)
    return 0.5 * erfc(-x * SQRT_HALF) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def silu_derivative(x):
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def mish_derivative(x):
    t = np.tanh(log1pexp(x))
    return t + x * sigmoid(x) * (1 - t * t)


def softplus(x, beta=1, threshold=20):
    """log(1 + exp(beta x)) / beta; the identity where beta x > threshold."""
    return _where(x * beta > threshold, x, log1pexp(x * beta) / beta, x)


def softplus_derivative(x, beta=1, threshold=20):
    return _where(x * beta > threshold, 1, sigmoid(x * beta), x)


def hardswish_derivative(x):
    return _where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5), x)


def _between(x, low, high, slope=1):
    """slope strictly between low and high, otherwise 0."""
    return _where((x > low) & (x < high), slope, 0, x)


def _leaky(x, slope):
    return _where(x > 0, x, x * slope, x)


def _leaky_derivative(x, slope):
    return _where(x > 0, 1, slope, x)


def _mean_slope(lower, upper):
    return (lower + upper) / 2


ACTIVATIONS = {
    "relu": Activation(lambda x: np.maximum(x, 0), lambda x: _where(x <= 0, 0, 1, x)),
    "relu6": Activation(lambda x: np.clip(x, 0, 6), lambda x: _between(x, 0, 6)),
    "leaky_relu": Activation(
        lambda x, negative_slope=0.01: _leaky(x, negative_slope),
        lambda x, negative_slope=0.01: _leaky_derivative(x, negative_slope),
    ),
    "rrelu": Activation(  # in evaluation: the mean slope
        lambda x, lower=1 / 8, upper=1 / 3: _leaky(x, _mean_slope(lower, upper)),
        lambda x, lower=1 / 8, upper=1 / 3: _leaky_derivative(x, _mean_slope(lower, upper)),
    ),
    "elu": Activation(elu, elu_derivative),
    "selu": Activation(
        lambda x: SELU_SCALE * elu(x, SELU_ALPHA),
        lambda x: SELU_SCALE * elu_derivative(x, SELU_ALPHA),
    ),
    "celu": Activation(celu, celu_derivative),
    "gelu": Activation(gelu, gelu_derivative),
    "silu": Activation(lambda x: x * sigmoid(x), silu_derivative),
    "mish": Activation(lambda x: x * np.tanh(log1pexp(x)), mish_derivative),
    "softplus": Activation(softplus, softplus_derivative),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    "sigmoid": Activation(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "logsigmoid": Activation(lambda x: -log1pexp(-x), lambda x: sigmoid(-x)),
    "tanh": Activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "tanhshrink": Activation(lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
    "hardsigmoid": Activation(
        lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: _between(x, -3, 3, 1 / 6)
    ),
    "hardswish": Activation(lambda x: x * np.clip(x + 3, 0, 6) / 6, hardswish_derivative),
    "hardtanh": Activation(
        lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
        lambda x, min_val=-1.0, max_val=1.0: _between(x, min_val, max_val),
    ),
    "hardshrink": Activation(
        lambda x, lambd=0.5: _where(np.abs(x) <= lambd, 0, x, x),
        lambda x, lambd=0.5: _where(np.abs(x) <= lambd, 0, 1, x),
    ),
    "softshrink": Activation(
        lambda x, lambd=0.5: x - np.clip(x, -lambd, lambd),
        lambda x, lambd=0.5: _where(np.abs(x) <= lambd, 0, 1, x),
    ),
    "threshold": Activation(
        lambda x, threshold=0, value=0: _where(x <= threshold, value, x, x),
        lambda x, threshold=0, value=0: _where(x <= threshold, 0, 1, x),
    ),
    "exp": Activation(np.exp, np.exp),
    "log": Activation(np.log, lambda x: 1 / x),
    "erf": Activation(erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
}


def _per_channel(weight, x):
    """prelu's weight, one value or one per channel (axis 1), shaped to broadcast over x."""
    return weight.reshape(-1, *(1,) * (x.ndim - 2)) if weight.size > 1 else weight


def prelu_forward(x, weight):
    return np.where(x > 0, x, _per_channel(weight, x) * x)


def prelu_backward(dy, x, weight):
    dx = dy * np.where(x > 0, 1, _per_channel(weight, x)).astype(x.dtype)
    negative = np.where(x > 0, 0, x) * dy
    other_axes = tuple(a for a in range(x.ndim) if a != 1 or weight.size == 1)
    return dx, negative.sum(axis=other_axes).reshape(weight.shape)


def glu_forward(x, dim=-1):
    """First half of the axis times the sigmoid of its second half."""
    a, b = np.split(x, 2, axis=dim)
    return a * sigmoid(b)


def glu_backward(dy, x, dim=-1):
    a, b = np.split(x, 2, axis=dim)
    s = sigmoid(b)
    return (np.concatenate([dy * s, dy * a * s * (1 - s)], axis=dim),)
