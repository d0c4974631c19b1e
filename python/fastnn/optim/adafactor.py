"""Adafactor: second moments of matrices kept as one row and one column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import dtypes
from .optimizer import ComposedOptimizer, check, check_hyper, scalar


class Adafactor(ComposedOptimizer):
    """Adafactor (Shazeer and Stern, 2018), as PyTorch has it: lr is the largest relative step and scales weight decay.

    eps: the least root of the second moment (None: the dtype's epsilon) and the least size of a parameter. d: the
    largest root mean square of an update before it is scaled down.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_hyper(lr=lr, weight_decay=weight_decay)
        check(beta2_decay <= 0.0, "beta2_decay", beta2_decay)
        if not isinstance(eps, (tuple, list)) or len(eps) != 2:
            raise ValueError(
                f"eps must be two numbers, the first of which may be None, got {eps!r}"
            )
        check(eps[0] is None or eps[0] >= 0.0, "epsilon1", eps[0])
        check(eps[1] >= 0.0, "epsilon2", eps[1])
        check(d >= 1.0, "clipping threshold d", d)
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def _new_state(self, p: Any, group: dict) -> dict[str, Any]:
        shape = list(p.shape)
        if len(shape) < 2:
            return {"step": scalar(0.0), "variance": p.new_zeros(shape)}
        return {
            "step": scalar(0.0),
            "row_var": p.new_zeros([*shape[:-1], 1]),
            "col_var": p.new_zeros([*shape[:-2], 1, shape[-1]]),
        }

    def _update_one(self, group: dict, p: Any, grad: Any, state: dict) -> None:
        least, least_size = group["eps"]
        if least is None:
            least = dtypes.finfo(p.dtype).eps
        grad = -grad if group["maximize"] else grad
        state["step"].add_(1.0)
        t, lr = state["step"].item(), float(group["lr"])
        if not p.numel():
            return
        size = max(least_size, _root_mean_square(p)) * min(lr, 1 / math.sqrt(t))
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        moment = self._second_moment(grad, state, t ** group["beta2_decay"], least)
        update = moment.clamp(min=least * least).rsqrt() * grad
        p.add_(update, alpha=-size / max(1.0, _root_mean_square(update) / group["d"]))

    @staticmethod
    def _second_moment(grad: Any, state: dict, rate: float, least: float) -> Any:
        """The mean of past squares, in which the newest counts `rate`: of matrices as the product of row and column."""
        square = grad * grad
        if "variance" in state:
            return state["variance"].lerp_(square, rate)
        row = state["row_var"].lerp_(square.mean(-1, True), rate)
        column = state["col_var"].lerp_(square.mean(-2, True), rate)
        return row * column / row.mean(-2, True).clamp(min=least)


def _root_mean_square(x: Any) -> float:
    return x.norm().item() / math.sqrt(x.numel())
