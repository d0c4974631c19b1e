"""Stochastic gradient descent, averaged SGD, and Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import FusedOptimizer, check, check_hyper, check_switches


class SGD(FusedOptimizer):
    """Gradient descent with momentum.

    ``g += weight_decay p; m = momentum m + (1 - dampening) g; p -= lr m``; with ``nesterov``,
    ``p -= lr (g + momentum m)``. The first m is g. Raises ValueError for numbers out of range.
    """

    _kind = "sgd"
    _shaped = frozenset({"momentum_buffer"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_hyper(lr=lr, momentum=momentum, weight_decay=weight_decay)
        check(dampening == dampening, "dampening value", dampening)
        check_switches(differentiable=differentiable)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _flags(self, group: dict) -> int:
        momentum = self._MOMENTUM if group["momentum"] else 0
        return super()._flags(group) | momentum | (self._NESTEROV if group["nesterov"] else 0)

    def _hyper(self, group: dict) -> list[float]:
        return [group["momentum"], group["dampening"]]

    def _scalars(self, group: dict) -> dict[str, float]:
        return {}

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def _update(self, group: dict, params: list) -> None:
        flags = self._flags(group)
        if not group["momentum"]:
            self._launch(group, params, [], flags)
            return
        # Parameters whose buffer is made now, and those that have one.
        new = [p for p in params if self.state[p].get("momentum_buffer") is None]
        for p in new:
            self.state[p].update(self._new_state(p, group))
        old = params
        if new:
            self._launch(group, new, [self.state[p] for p in new], flags | self._FIRST)
            started = {id(p) for p in new}
            old = [p for p in params if id(p) not in started]
        if old:
            self._launch(group, old, [self.state[p] for p in old], flags)


class ASGD(FusedOptimizer):
    """Averaged SGD (Polyak and Juditsky, 1992): ``ax`` averages the iterates from step t0 on."""

    _kind = "asgd"
    _shaped = frozenset({"ax"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_hyper(lr=lr, weight_decay=weight_decay)
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _hyper(self, group: dict) -> list[float]:
        return [group["lambd"], group["alpha"], group["t0"]]

    def _scalars(self, group: dict) -> dict[str, float]:
        return {"step": 0.0, "eta": float(group["lr"]), "mu": 1.0}

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"ax": 0.0}


class Rprop(FusedOptimizer):
    """Resilient backpropagation (Riedmiller and Braun, 1993): a step size for every element.

    It grows by etas[1] while the gradient keeps its sign and shrinks by etas[0] when it turns.
    """

    _kind = "rprop"
    _shaped = frozenset({"prev", "step_size"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyper(lr=lr)
        check(0.0 < etas[0] < 1.0 < etas[1], "eta values", f"{etas[0]}, {etas[1]}")
        check_switches(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _hyper(self, group: dict) -> list[float]:
        return [*group["etas"], *group["step_sizes"]]

    def _buffers(self, group: dict) -> dict[str, float]:
        return {"prev": 0.0, "step_size": float(group["lr"])}
