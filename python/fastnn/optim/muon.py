"""Muon: momentum whose matrices are made orthogonal before they are taken as steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .optimizer import ComposedOptimizer, check, check_hyper

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(ComposedOptimizer):
    """Muon (Jordan, 2024) for the matrices of hidden layers; biases and embeddings belong to another optimizer.

    ns_coefficients, ns_steps: the odd polynomial whose repetition takes singular values near 1. adjust_lr_fn: 'original'
    scales steps of tall matrices by ``sqrt(rows / columns)``, 'match_rms_adamw' gives them the size of AdamW's. PyTorch
    repeats the polynomial in bfloat16; here it is float32, so that the two agree to about 1 %.
    """

    _shaped = frozenset({"momentum_buffer"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_hyper(lr=lr, weight_decay=weight_decay, momentum=momentum, eps=eps)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"Adjust learning rate function {adjust_lr_fn} is not supported; use 'original' or "
                "'match_rms_adamw'"
            )
        if not isinstance(ns_coefficients, (tuple, list)) or len(ns_coefficients) != 3:
            raise ValueError(f"ns_coefficients must be three numbers, got {ns_coefficients!r}")
        check(0 <= ns_steps < 100, "number of steps ns_steps", ns_steps)
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def add_param_group(self, param_group: dict) -> None:
        """As Optimizer's; ValueError for a parameter that is no matrix."""
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if p.dim() != 2:
                self.param_groups.pop()
                raise ValueError(
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                )

    def _new_state(self, p: Any, group: dict) -> dict[str, Any]:
        return {"momentum_buffer": p.new_zeros(p.shape)}

    def _update_one(self, group: dict, p: Any, grad: Any, state: dict) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        update = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        if group["nesterov"]:
            update = grad.lerp(update, momentum)
        update = _orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        p.mul_(1 - lr * group["weight_decay"])
        p.add_(update, alpha=-lr * _scale(group["adjust_lr_fn"], *p.shape))


def _orthogonal(x: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """x with its singular values brought near 1, by ``a x + b x xᵀ x + c (x xᵀ)² x`` (Newton-Schulz) repeated."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.float().T if tall else x.float()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = x * a + (gram * b + gram @ gram * c) @ x
    return x.T if tall else x


def _scale(rule: str | None, rows: int, columns: int) -> float:
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns)) if columns else 1.0
