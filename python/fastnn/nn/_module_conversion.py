"""The half of Module that converts it: to other dtypes, devices and memory orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import dtypes
from ..autograd.node import no_grad
from ..ops import transfer
from ..ops.conversion import to_arguments


class ModuleConversion:
    """to() and its short forms."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    children: Callable[[], Iterator[Any]]

    def _apply(self, fn: Callable[[Any], Any]) -> Any:
        """Replaces the arrays of parameters (keeping the Parameter objects), their gradients, and buffers."""
        for m in self.children():
            m._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is not None:
                    p.data = fn(p.detach())
                    if p._grad is not None:
                        p._grad = fn(p._grad.detach())
            for name, b in self._buffers.items():
                if b is not None:
                    self._buffers[name] = fn(b)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Converts floating-point parameters and buffers to a dtype (and everything to a device)."""
        d, memory_format, place = to_arguments(args, kwargs)
        if d is not None and not d.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point dtypes, but got desired dtype={d}"
            )

        def convert(t: Any) -> Any:
            if place is not None:
                t = transfer.move(t, place)
            if d is not None and t.is_floating_point():
                t = t.to(d)
            if memory_format is not None and t.dim() in (4, 5):
                t = t.contiguous(memory_format=memory_format)
            return t

        return self._apply(convert)

    def cuda(self, device: Any = None) -> Any:
        """Moves all parameters and buffers to a GPU."""
        return self.to(device="cuda" if device is None else device)

    def type(self, dst_type: Any) -> Any:
        """Converts all parameters and buffers, integers too, to a dtype."""
        return self._apply(lambda t: t.to(dst_type))

    def float(self) -> Any:
        """Converts floating-point parameters and buffers to float32."""
        return self.to(dtypes.float32)

    def double(self) -> Any:
        """Converts floating-point parameters and buffers to float64."""
        return self.to(dtypes.float64)

    def half(self) -> Any:
        """Converts floating-point parameters and buffers to float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        """Converts floating-point parameters and buffers to bfloat16."""
        return self.to(dtypes.bfloat16)

    def cpu(self) -> Any:
        """Moves all parameters and buffers to the CPU."""
        return self.to(device="cpu")
