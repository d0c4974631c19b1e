"""softmax and its relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from ..autograd.node import OUTPUT, Node, record, state, wants_grad
from ._util import (
    dim_of,
    require_float,
    require_tensor,
    wrap,
)


def _softmax_backward(node: Node, g: Any) -> Any:
    (y,) = node.saved_tensors()
    if wants_grad(g, y):
        return y * (g - (g * y).sum(node.ctx, True))
    return wrap(_core.softmax_backward(g._data, y._data, node.ctx))


def _log_softmax_backward(node: Node, g: Any) -> Any:
    (y,) = node.saved_tensors()
    if wants_grad(g, y):
        return g - y.exp() * g.sum(node.ctx, True)
    return wrap(_core.log_softmax_backward(g._data, y._data, node.ctx))


def _soft(name: str, kernel: Any, backward: Any, input: Any, dim: Any, dtype: Any) -> Any:
    if dtype is not None:
        input = require_tensor(input, name).to(dtype)
    require_float(input, name)
    if dim is None:
        dim = 0 if input._data.ndim in (0, 1, 3) else 1
    d = dim_of(input, dim, name)
    if input._data.ndim == 0:
        return _soft(name, kernel, backward, input.reshape(1), 0, None).reshape(())
    result = wrap(kernel(input._data, d))
    if state.enabled and input.requires_grad:
        record(result, backward, (input,), (OUTPUT,), d)
    return result


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``exp(x) / sum(exp(x))`` along `dim`, without overflow."""
    return _soft("softmax", _core.softmax, _softmax_backward, input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``x - log(sum(exp(x)))`` along `dim`, without overflow."""
    return _soft("log_softmax", _core.log_softmax, _log_softmax_backward, input, dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``softmax(-x)``."""
    return softmax(-require_float(input, "softmin"), dim, _stacklevel, dtype)


def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """A sample of the Gumbel-softmax distribution (Jang et al., 2016); one-hot, with the soft gradient, if `hard`."""
    from .random import rand_like

    uniform = rand_like(require_float(logits, "gumbel_softmax", "logits"))
    gumbels = -(-(uniform.clamp_min(np.finfo(np.float32).tiny).log())).log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(dim, True)
    one = wrap(np.zeros(logits._data.shape, logits._data.dtype)).scatter(dim, index, 1.0)
    return one - soft.detach() + soft


METHODS = ["softmax", "log_softmax"]
