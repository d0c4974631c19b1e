"""Moving tensors between devices. Differentiable: the gradient moves back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.node import Node, record, wants_grad
from ._util import wrap


def parse(device: Any) -> tuple[str, int | None]:
    """("cpu", None) or ("cuda", index or None) of a device, its name, or a number of a GPU."""
    if device is None:
        return "cpu", None
    if isinstance(device, int) and not isinstance(device, bool):
        return "cuda", device
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise RuntimeError(
            f"device '{device}' is not one of fastnn's; expected 'cpu', 'cuda' or 'cuda:0'"
        )
    return kind, int(number) if number and kind == "cuda" else None


def move_array(a: Any, device: tuple[str, int | None]) -> Any:
    """The array on the device; itself when it lies there."""
    kind, index = device
    if kind == "cpu":
        if isinstance(a, np.ndarray):
            return a
        from .. import _cuda

        return _cuda.to_host(a)
    from .. import _cuda

    return _cuda.to_device(a, index)


def place_of(a: Any) -> tuple[str, int | None]:
    """Where an array lies."""
    return ("cpu", None) if isinstance(a, np.ndarray) else ("cuda", a.data.device_id)


def move(x: Any, device: tuple[str, int | None]) -> Any:
    """The tensor on the device; itself when it lies there."""
    a = move_array(x._data, device)
    if a is x._data:
        return x
    out = wrap(a)
    if wants_grad(x):
        record(out, _move_backward, (x,), (), place_of(x._data))
    return out


def _move_backward(node: Node, g: Any) -> tuple:
    return (move(g, node.ctx),)
