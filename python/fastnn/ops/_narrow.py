"""Compositions of several ops on bfloat16 and float16: computed in float32, rounded once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from .._core import TensorBase
from ..dtypes import NARROW, dtype, float32


def narrow_dtype(values: Iterable[Any]) -> dtype | None:
    """The 16-bit dtype of all floating-point tensors among `values`; None if they have others."""
    floats = [v.dtype for v in values if isinstance(v, TensorBase) and v.dtype.is_floating_point]
    first = floats[0] if floats else None
    return first if first in NARROW and all(d is first for d in floats) else None


def widened(value: Any) -> Any:
    """A float32 tensor for one of 16 bits (a step on the tape); anything else as it is."""
    if isinstance(value, TensorBase) and value.dtype in NARROW:
        return value.to(float32)
    return value


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, a composition of ops, with one rounding at the end for 16-bit tensors.

    Every op rounds its result, and a chain of them would lose bits that a fused kernel keeps.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        narrow = narrow_dtype((*args, *kwargs.values()))
        if narrow is None:
            return function(*args, **kwargs)
        out = function(*map(widened, args), **{k: widened(v) for k, v in kwargs.items()})
        return out.to(narrow)

    return run
