"""Cosine annealing (Loshchilov and Hutter, 2017)."""

from __future__ import annotations

import math
import warnings

from ..optimizer import Optimizer
from .base import LRScheduler, check_positive_int


class CosineAnnealingLR(LRScheduler):
    """From the initial rate down to eta_min in T_max epochs along half a cosine, then up again."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max == 0:
            raise ValueError("CosineAnnealingLR: T_max must not be 0")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, period, low = self.last_epoch, self.T_max, self.eta_min
        if epoch == 0:
            return self._rates
        if self._step_count == 1:  # resumed in the middle
            return self._get_closed_form_lr()
        if (epoch - 1 - period) % (2 * period) == 0:  # at the lowest point the ratio is 0 / 0
            rise = (1 - math.cos(math.pi / period)) / 2
            pairs = zip(self._rates, self.base_lrs, strict=True)
            return [lr + (base - low) * rise for lr, base in pairs]
        now, before = (1 + math.cos(math.pi * e / period) for e in (epoch, epoch - 1))
        return [now / before * (lr - low) + low for lr in self._rates]

    def _get_closed_form_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines of T_0, T_0 T_mult, T_0 T_mult², … epochs, each from the initial rate down.

    ``step(epoch)`` takes fractions of an epoch too.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        check_positive_int(T_0, "T_0")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """The next epoch, or `epoch` (which may be a fraction)."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if self._step_count == 1 and self.optimizer._step_count == 0 and epoch is None:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`.", stacklevel=2
            )
        self._step_count += 1
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self._locate(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _locate(self, epoch: float) -> None:
        self.T_cur, self.T_i = epoch, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def _rates_at(self, epoch: int) -> list[float]:
        self._locate(epoch)
        self.last_epoch = epoch
        return self.get_lr()
