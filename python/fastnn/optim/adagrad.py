"""Adagrad, Adadelta and RMSprop: steps scaled by the size of past gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import FusedOptimizer, check, check_hyper, check_switches


class Adagrad(FusedOptimizer):
    """Adagrad (Duchi et al., 2011): steps of ``lr g / (sqrt(sum g²) + eps)``."""

    _kind = "adagrad"
    _shaped = frozenset({"sum"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_hyper(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        check_switches(differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].update(self._new_state(p, group))

    def _hyper(self, group: dict) -> list[float]:
        return [group["lr_decay"], group["eps"]]

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"sum": float(group["initial_accumulator_value"])}


class Adadelta(FusedOptimizer):
    """Adadelta (Zeiler, 2012): steps in proportion to the size of past steps."""

    _kind = "adadelta"
    _shaped = frozenset({"square_avg", "acc_delta"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyper(lr=lr, eps=eps, weight_decay=weight_decay)
        check(0.0 <= rho <= 1.0, "rho value", rho)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def _hyper(self, group: dict) -> list[float]:
        return [group["rho"], group["eps"]]

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}


class RMSprop(FusedOptimizer):
    """RMSprop (Tieleman and Hinton, 2012): steps of ``lr g / (sqrt(v) + eps)``, v a mean of g².

    ``centered`` takes the variance of g instead of v (Graves, 2013).
    """

    _kind = "rmsprop"
    _shaped = frozenset({"square_avg", "momentum_buffer", "grad_avg"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyper(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def _flags(self, group: dict) -> int:
        flags = super()._flags(group) | (self._CENTERED if group["centered"] else 0)
        return flags | (self._MOMENTUM if group["momentum"] > 0 else 0)

    def _hyper(self, group: dict) -> list[float]:
        return [group["alpha"], group["eps"], group["momentum"]]

    def _buffers(self, group: dict) -> dict[str, float]:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return dict.fromkeys(names, 0.0)
