"""Batch and instance normalisation layers."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from .._core import FoldedNorm
from ..ops import creation
from ..ops import norm as F
from ..ops.norm import normalize_batch
from .module import Module
from .parameter import Parameter


class _Norm(Module):
    """Weight, bias and running statistics of one size."""

    _version = 2

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        for name, present in (("weight", affine), ("bias", affine and bias)):
            p = Parameter(creation.empty(num_features, **options)) if present else None
            self.register_parameter(name, p)
        tracked = track_running_stats
        zeros, ones = creation.zeros, creation.ones
        self.register_buffer("running_mean", zeros(num_features, **options) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **options) if tracked else None)
        count = creation.zeros((), dtype=dtypes.int64) if tracked else None
        self.register_buffer("num_batches_tracked", count)
        self.register_load_state_dict_pre_hook(_add_count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, running statistics reset."""
        self.reset_running_stats()
        if self.weight is not None:
            self.weight.data.fill_(1)
        if self.bias is not None:
            self.bias.data.zero_()

    def _check_input_dim(self, input: Any) -> None:
        raise NotImplementedError

    def _ranks(self, input: Any, *ranks: int) -> None:
        if input._data.ndim not in ranks:
            names = " or ".join(f"{r}D" for r in ranks)
            raise ValueError(f"expected {names} input (got {input._data.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


def _add_count(module: _Norm, state: dict, prefix: str, *_: Any) -> None:
    """State from before there was num_batches_tracked loads too."""
    if module.track_running_stats:
        state.setdefault(prefix + "num_batches_tracked", module.num_batches_tracked)


class _BatchNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        tracked = track_running_stats
        super().__init__(num_features, eps, momentum, affine, tracked, device, dtype, bias)
        self._folded = FoldedNorm()

    def train(self, mode: bool = True) -> Any:
        if mode:
            self._folded.clear()  # it holds a copy of a convolution's weight
        return super().train(mode)

    def forward(self, input: Any) -> Any:
        return self._normalized(input, "none")

    def _normalized(self, input: Any, activation: str) -> Any:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        b, p = self._buffers, self._parameters
        count = b["num_batches_tracked"]
        if self.training and self.track_running_stats and count is not None:
            count._data[...] += 1
            count._counter.value += 1
            if self.momentum is None:  # the mean over all batches
                momentum = 1.0 / float(count._data)
        mean, var = b["running_mean"], b["running_var"]
        use_batch = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        w, bias = p["weight"], p["bias"]
        return normalize_batch(input, mean, var, w, bias, use_batch, momentum, self.eps, activation)


class BatchNorm1d(_BatchNorm):
    """batch_norm() of (N, C) or (N, C, L).

    Parameters: weight and bias (C,). Buffers: running_mean, running_var (C,), num_batches_tracked.
    momentum None takes the mean over all batches.
    """

    def _check_input_dim(self, input: Any) -> None:
        self._ranks(input, 2, 3)


class BatchNorm2d(_BatchNorm):
    """batch_norm() of (N, C, H, W); see BatchNorm1d."""

    def _check_input_dim(self, input: Any) -> None:
        self._ranks(input, 4)


class BatchNorm3d(_BatchNorm):
    """batch_norm() of (N, C, D, H, W); see BatchNorm1d."""

    def _check_input_dim(self, input: Any) -> None:
        self._ranks(input, 5)


class _InstanceNorm(_Norm):
    _rank: int  # of a batch; one less without the batch axis

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        tracked = track_running_stats
        super().__init__(num_features, eps, momentum, affine, tracked, device, dtype, bias)

    def _check_input_dim(self, input: Any) -> None:
        self._ranks(input, self._rank - 1, self._rank)

    def forward(self, input: Any) -> Any:
        self._check_input_dim(input)
        unbatched = input._data.ndim == self._rank - 1
        x = input.unsqueeze(0) if unbatched else input
        if x._data.shape[1] != self.num_features and self.affine:
            raise ValueError(
                f"expected input's size at dim=1 to match num_features ({self.num_features}), but "
                f"got: {x._data.shape[1]}."
            )
        out = F.instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats,
            self.momentum if self.momentum is not None else 0.0, self.eps,
        )  # fmt: skip
        return out.squeeze(0) if unbatched else out


class InstanceNorm1d(_InstanceNorm):
    """instance_norm() of (N, C, L) or (C, L)."""

    _rank = 3


class InstanceNorm2d(_InstanceNorm):
    """instance_norm() of (N, C, H, W) or (C, H, W)."""

    _rank = 4


class InstanceNorm3d(_InstanceNorm):
    """instance_norm() of (N, C, D, H, W) or (C, D, H, W)."""

    _rank = 5
