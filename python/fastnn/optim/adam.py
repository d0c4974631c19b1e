"""Adam and its relatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import FusedOptimizer, check_betas, check_hyper, check_switches


class _Moments(FusedOptimizer):
    """First and second moments of the gradient."""

    _shaped = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf"})

    def _flags(self, group: dict) -> int:
        decoupled = group.get("decoupled_weight_decay", False)
        return super()._flags(group) | (self._DECOUPLED if decoupled else 0)

    def _hyper(self, group: dict) -> list[float]:
        return [*group["betas"], group["eps"]]

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}


class Adam(_Moments):
    """Adam (Kingma and Ba, 2015): steps of ``lr m / (sqrt(v) + eps)``, m and v without their bias.

    ``amsgrad`` keeps the largest v (Reddi et al., 2018). ``decoupled_weight_decay`` shrinks the
    parameter instead of adding to the gradient (AdamW). Raises ValueError for numbers out of range.
    """

    _kind = "adam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_hyper(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _flags(self, group: dict) -> int:
        return super()._flags(group) | (self._AMSGRAD if group["amsgrad"] else 0)

    def _buffers(self, group: dict) -> dict[str, float]:
        moments = super()._buffers(group)
        return {**moments, "max_exp_avg_sq": 0.0} if group["amsgrad"] else moments


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter by itself (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class Adamax(_Moments):
    """Adam with the infinity norm (Kingma and Ba, 2015)."""

    _kind = "adamax"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_hyper(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}


class NAdam(_Moments):
    """Adam with Nesterov momentum (Dozat, 2016)."""

    _kind = "nadam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyper(lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas(betas)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _hyper(self, group: dict) -> list[float]:
        return [*super()._hyper(group), group["momentum_decay"]]

    def _scalars(self, group: dict) -> dict[str, float]:
        return {"step": 0.0, "mu_product": 1.0}


class RAdam(_Moments):
    """Adam that starts as plain momentum and is rectified later (Liu et al., 2020)."""

    _kind = "radam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyper(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )
