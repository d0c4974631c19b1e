"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..ops import conv as F
from ..ops import creation
from ..ops.padding import pad
from . import init
from .module import Module
from .parameter import Parameter

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolution layers share: sizes, parameters, repr."""

    dims = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        transposed: bool,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {_PADDING_MODES}, but got '{padding_mode}'"
            )
        if transposed and padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {name}')
        n = self.dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = F.tuple_of(kernel_size, n, name, "kernel_size")
        self.stride = F.tuple_of(stride, n, name, "stride")
        self.dilation = F.tuple_of(dilation, n, name, "dilation")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string '{padding}', should be one of ('same', 'valid')"
                )
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
            self.padding: Any = padding
        else:
            self.padding = F.tuple_of(padding, n, name, "padding")
        self.transposed = transposed
        self.output_padding = F.tuple_of(output_padding, n, name, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(creation.empty(shape, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(creation.empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New random parameters: U(-k, k), k² = groups / (in_channels * prod(kernel_size))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            bound = 1 / math.sqrt(fan_in) if fan_in else 0
            init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Any) -> tuple[Any, Any]:
        """The input padded by the padding_mode, and the padding that is left to the convolution."""
        if self.padding_mode == "zeros":
            return input, self.padding
        amounts: list[int] = []
        for d in reversed(range(self.dims)):
            if self.padding == "valid":
                before = after = 0
            elif self.padding == "same":
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                before, after = total // 2, total - total // 2
            else:
                before = after = self.padding[d]
            amounts += [before, after]
        return pad(input, amounts, self.padding_mode), 0

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * self.dims:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.dims:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    _function: Any = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, False, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Any) -> Any:
        x, padding = self._padded(input)
        function = type(self)._function
        p = self._parameters
        return function(x, p["weight"], p["bias"], self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """conv1d(): (N, C, L) or (C, L)."""

    dims = 1
    _function = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """conv2d(): (N, C, H, W) or (C, H, W). Weight (out, in / groups, kH, kW), bias (out,)."""

    dims = 2
    _function = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """conv3d(): (N, C, D, H, W) or (C, D, H, W)."""

    dims = 3
    _function = staticmethod(F.conv3d)


class _ConvTranspose(_ConvNd):
    _function: Any = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, True, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Any:
        extra = self._output_padding(input, output_size)
        p = self._parameters
        function = type(self)._function
        return function(
            input,
            p["weight"],
            p["bias"],
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _output_padding(self, input: Any, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output_padding that gives output_size."""
        if output_size is None:
            return self.output_padding
        n = self.dims
        size = tuple(output_size)[-n:]
        if len(output_size) not in (n, input.dim()) or len(size) != n:
            raise ValueError(
                f"{type(self).__name__}: output_size must have {n} or {input.dim()} elements (got "
                f"{len(output_size)})"
            )
        extra = []
        for d in range(n):
            least = (
                (input.shape[d - n] - 1) * self.stride[d]
                - 2 * self.padding[d]
                + self.dilation[d] * (self.kernel_size[d] - 1)
                + 1
            )
            most = least + self.stride[d] - 1
            if not least <= size[d] <= most:
                raise ValueError(
                    f"{type(self).__name__}: requested an output size of {list(size)}, but valid sizes of "
                    f"dimension {d} range from {least} to {most}"
                )
            extra.append(size[d] - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTranspose):
    """conv_transpose1d(): (N, C, L) or (C, L)."""

    dims = 1
    _function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """conv_transpose2d(): (N, C, H, W) or (C, H, W). Weight (in, out / groups, kH, kW), bias (out,)."""

    dims = 2
    _function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """conv_transpose3d(): (N, C, D, H, W) or (C, D, H, W)."""

    dims = 3
    _function = staticmethod(F.conv_transpose3d)
