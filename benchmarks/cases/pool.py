"""Pooling and resizing, forward and forward + backward, of row-major and channels-last images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, Step, array, forward_backward, owned

Function = Callable[[Any, Any], Any]

# name -> shape, window (kernel, stride, padding)
POOLS = {
    "2x2, 64x6x28x28": ((64, 6, 28, 28), (2, 2, 0)),
    "2x2, 8x64x112x112": ((8, 64, 112, 112), (2, 2, 0)),
    "3x3 s2, 8x64x112x112": ((8, 64, 112, 112), (3, 2, 1)),
    "3x3 s1, 8x256x28x28": ((8, 256, 28, 28), (3, 1, 1)),
}


def _image(t: Any, shape: tuple[int, ...], channels_last: bool, grad: bool) -> Any:
    if channels_last:
        n, c, h, w = shape
        x = owned(t.from_numpy(array(n, h, w, c).transpose(0, 3, 1, 2)))
    else:
        x = owned(t.from_numpy(array(*shape)))
    return x.requires_grad_() if grad else x


def _case(
    name: str,
    function: Function,
    shape: tuple[int, ...],
    training: bool,
    channels_last: bool = False,
    growth: float = 0.25,
    kind: str = "pooling",
) -> Case:
    """growth: elements of the output for each of the input."""

    def build(t: Any) -> Step:
        x = _image(t, shape, channels_last, training)
        if training:
            return forward_backward(lambda: function(t, x), [x], t)
        return lambda: function(t, x)

    traffic = 4.0 * math.prod(shape) * (1 + growth)
    name += (", channels-last" if channels_last else "") + (", training" if training else "")
    return Case(name, build, 0.0, traffic * (2 if training else 1), kind)


def _max(k: int, s: int, p: int) -> Function:
    return lambda t, x: t.nn.functional.max_pool2d(x, k, s, p)


def _average(k: int, s: int, p: int) -> Function:
    return lambda t, x: t.nn.functional.avg_pool2d(x, k, s, p)


def _resize(mode: str) -> Function:
    return lambda t, x: t.nn.functional.interpolate(x, scale_factor=2, mode=mode)


def _global(t: Any, x: Any) -> Any:
    return t.nn.functional.adaptive_avg_pool2d(x, 1)


def _reflect(t: Any, x: Any) -> Any:
    return t.nn.functional.pad(x, (1, 1, 1, 1), "reflect")


CASES = [
    _case(f"{kind} {name}", make(*window), shape, training, last, 1 / window[1] ** 2)
    for kind, make in (("max", _max), ("average", _average))
    for name, (shape, window) in POOLS.items()
    for last in (False, True)
    for training in (False, True)
]
CASES += [
    _case(name, function, shape, training, last, growth, kind)
    for name, function, shape, growth, kind in (
        ("global average, 64x512x7x7", _global, (64, 512, 7, 7), 0.02, "global pooling"),
        ("nearest x2, 4x64x32x32", _resize("nearest"), (4, 64, 32, 32), 4.0, "memory"),
        ("bilinear x2, 4x64x32x32", _resize("bilinear"), (4, 64, 32, 32), 4.0, "memory"),
        ("bicubic x2, 4x64x32x32", _resize("bicubic"), (4, 64, 32, 32), 4.0, ""),
        ("reflect, 4x64x56x56", _reflect, (4, 64, 56, 56), 1.1, "memory"),
    )
    for last in (False, True)
    for training in (False, True)
]
