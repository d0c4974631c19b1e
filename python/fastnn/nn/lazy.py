"""Layers that learn the size of their input at their first call."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..autograd.node import no_grad
from ..ops import creation
from . import batchnorm, conv, linear
from .module import Module
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy


class LazyModuleMixin(Module):
    """A layer whose parameters have no shape until the first input, or a state_dict, gives them one.

    With the first input it becomes a `cls_to_become`. An optimizer made before that keeps its parameters: they stay the
    same objects.
    """

    cls_to_become: Any = None

    def _wait_for_input(self, parameters: tuple[str, ...], device: Any, dtype: Any) -> None:
        """To be called at the end of __init__."""
        for name in parameters:
            setattr(self, name, UninitializedParameter(device=device, dtype=dtype))
        self._initialize_hook = self.register_forward_pre_hook(_infer, with_kwargs=True)
        self._load_hook = self.register_load_state_dict_pre_hook(_take_shapes)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes and first values, from what forward() is called with."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def reset_parameters(self) -> None:
        """New first values, once there are shapes."""
        if "_initialize_hook" in self.__dict__ and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _become(self) -> None:
        self._initialize_hook.remove()
        self._load_hook.remove()
        del self._initialize_hook, self._load_hook
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become


def _infer(module: Any, args: tuple, kwargs: dict) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(
            f"module {type(module).__name__} has not been fully initialized by its first input"
        )
    module._become()


def _take_shapes(module: Any, state: dict, prefix: str, *_: Any) -> None:
    """A state_dict with shapes gives them to parameters that have none."""
    for name, t in (*module._parameters.items(), *module._buffers.items()):
        value = state.get(prefix + name)
        if is_lazy(t) and value is not None and not is_lazy(value):
            t.materialize(tuple(value.shape))


class LazyLinear(LazyModuleMixin, linear.Linear):
    """Linear whose in_features is that of the first input."""

    cls_to_become = linear.Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.out_features = out_features
        self._wait_for_input(("weight", "bias") if bias else ("weight",), device, dtype)

    def initialize_parameters(self, input: Any) -> None:
        size = input.shape[-1]
        if self.has_uninitialized_params():
            with no_grad():
                self.in_features = size
                self.weight.materialize((self.out_features, size))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()
        self.in_features = self.in_features or size


class _LazyConvolution(LazyModuleMixin):
    in_channels: int
    dims: int
    groups: int
    out_channels: int
    kernel_size: tuple
    transposed: bool

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        rank = input.dim()
        if rank not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {tuple(input.shape)}"
            )
        channels = input.shape[rank - self.dims - 1]
        if self.has_uninitialized_params():
            if channels % self.groups:
                raise ValueError("in_channels must be divisible by groups")
            first, second = channels, self.out_channels
            if not self.transposed:
                first, second = second, first
            with no_grad():
                self.in_channels = channels
                self.weight.materialize((first, second // self.groups, *self.kernel_size))
                if self.bias is not None:
                    self.bias.materialize((self.out_channels,))
                self.reset_parameters()
        self.in_channels = self.in_channels or channels


class _LazyConv(_LazyConvolution):
    def __init__(
        self,
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
        super().__init__(  # type: ignore[call-arg]
            0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype
        )
        _check_groups(out_channels, groups)
        self.out_channels = out_channels
        self._wait_for_input(("weight", "bias") if bias else ("weight",), device, dtype)


class _LazyConvTranspose(_LazyConvolution):
    def __init__(
        self,
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
        super().__init__(  # type: ignore[call-arg]
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode,
            device, dtype,
        )  # fmt: skip
        _check_groups(out_channels, groups)
        self.out_channels = out_channels
        self._wait_for_input(("weight", "bias") if bias else ("weight",), device, dtype)


def _check_groups(out_channels: int, groups: int) -> None:
    if out_channels % groups:
        raise ValueError("out_channels must be divisible by groups")


class LazyConv1d(_LazyConv, conv.Conv1d):
    """Conv1d whose in_channels is that of the first input."""

    cls_to_become = conv.Conv1d


class LazyConv2d(_LazyConv, conv.Conv2d):
    """Conv2d whose in_channels is that of the first input."""

    cls_to_become = conv.Conv2d


class LazyConv3d(_LazyConv, conv.Conv3d):
    """Conv3d whose in_channels is that of the first input."""

    cls_to_become = conv.Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, conv.ConvTranspose1d):
    """ConvTranspose1d whose in_channels is that of the first input."""

    cls_to_become = conv.ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, conv.ConvTranspose2d):
    """ConvTranspose2d whose in_channels is that of the first input."""

    cls_to_become = conv.ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, conv.ConvTranspose3d):
    """ConvTranspose3d whose in_channels is that of the first input."""

    cls_to_become = conv.ConvTranspose3d


class _LazyNorm(LazyModuleMixin):
    num_features: int
    affine: bool
    track_running_stats: bool

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype)  # type: ignore[call-arg]
        self.affine = affine
        self.track_running_stats = track_running_stats
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = creation.zeros((), dtype=dtypes.int64)
        waiting = ("weight", "bias") if bias else ("weight",)
        self._wait_for_input(waiting if affine else (), device, dtype)

    def initialize_parameters(self, input: Any) -> None:
        if self.has_uninitialized_params():
            self.num_features = input.shape[1]
            for t in (*self._parameters.values(), *self._buffers.values()):
                if is_lazy(t):
                    t.materialize((self.num_features,))
            self.reset_parameters()
        self.num_features = self.num_features or input.shape[1]


class _LazyInstanceNorm(_LazyNorm):
    rank = 0  # of a batch

    def initialize_parameters(self, input: Any) -> None:
        super().initialize_parameters(input if input.dim() == self.rank else input.unsqueeze(0))


class LazyBatchNorm1d(_LazyNorm, batchnorm.BatchNorm1d):
    """BatchNorm1d whose num_features is that of the first input."""

    cls_to_become = batchnorm.BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, batchnorm.BatchNorm2d):
    """BatchNorm2d whose num_features is that of the first input."""

    cls_to_become = batchnorm.BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, batchnorm.BatchNorm3d):
    """BatchNorm3d whose num_features is that of the first input."""

    cls_to_become = batchnorm.BatchNorm3d


class LazyInstanceNorm1d(_LazyInstanceNorm, batchnorm.InstanceNorm1d):
    """InstanceNorm1d whose num_features is that of the first input."""

    cls_to_become = batchnorm.InstanceNorm1d
    rank = 3


class LazyInstanceNorm2d(_LazyInstanceNorm, batchnorm.InstanceNorm2d):
    """InstanceNorm2d whose num_features is that of the first input."""

    cls_to_become = batchnorm.InstanceNorm2d
    rank = 4


class LazyInstanceNorm3d(_LazyInstanceNorm, batchnorm.InstanceNorm3d):
    """InstanceNorm3d whose num_features is that of the first input."""

    cls_to_become = batchnorm.InstanceNorm3d
    rank = 5
