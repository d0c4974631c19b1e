"""Gradient clipping: one kernel call for all parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ... import _core
from ...ops._util import TensorBase, cast, wrap


def _listed(tensors: Any) -> list:
    if isinstance(tensors, TensorBase):
        return [tensors]
    if not isinstance(tensors, Iterable):
        raise TypeError(
            f"expected a Tensor or an iterable of Tensors, got {type(tensors).__name__}"
        )
    return list(tensors)


def _gradients(parameters: Any) -> list:
    return [p._grad for p in _listed(parameters) if p._grad is not None]


def _total(tensors: list, norm_type: float, error_if_nonfinite: bool) -> tuple[float, Any]:
    """The norm of all tensors together: as a number, and as a tensor of the first one's dtype."""
    if not tensors:
        return 0.0, wrap(np.zeros((), np.float32))
    norm = float(_core.grads_norm([t._data for t in tensors], float(norm_type))[-1])
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is "
            "non-finite, so it cannot be clipped. To disable this error and scale the gradients by "
            "the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return norm, wrap(cast(np.array(norm), tensors[0]._data.dtype))


def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """The norm of all tensors as if they were one vector; a tensor without dimensions."""
    return _total(_listed(tensors), norm_type, error_if_nonfinite)[1]


def _clip(gradients: list, max_norm: float, norm: float) -> None:
    scale = float(max_norm) / (norm + 1e-6)
    if not gradients or scale >= 1:
        return
    _core.grads_scale_([g._data for g in gradients], scale)
    for g in gradients:
        g._counter.value += 1


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None
) -> None:
    """Scales the gradients by ``max_norm / (total_norm + 1e-6)`` where that is below 1."""
    _clip(_gradients(parameters), max_norm, float(total_norm))


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scales the gradients in place so that their norm together is at most max_norm.

    Returns the norm before. Raises RuntimeError, before any change, for a norm that is infinite or
    NaN if error_if_nonfinite.
    """
    gradients = _gradients(parameters)
    norm, result = _total(gradients, norm_type, error_if_nonfinite)
    _clip(gradients, max_norm, norm)
    return result


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamps every element of the gradients to [-clip_value, clip_value], in place."""
    clip_value = float(clip_value)
    gradients = _gradients(parameters)
    if gradients:
        _core.grads_clamp_([g._data for g in gradients], clip_value)
    for g in gradients:
        g._counter.value += 1


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All parameters as one vector, with gradient."""
    from ...ops.joining import cat

    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Cuts a vector into the parameters, which take over its memory.

    Raises TypeError for anything but a tensor.
    """
    if not isinstance(vec, TensorBase):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    at = 0
    for p in parameters:
        n = p._data.size
        p.data = wrap(vec._data[at : at + n].reshape(p.shape))
        at += n
