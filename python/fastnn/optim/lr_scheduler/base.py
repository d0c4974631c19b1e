"""LRScheduler: sets the learning rates of an optimizer's groups from the number of the epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ..optimizer import Optimizer


class LRScheduler:
    """Base class. ``step()`` after each epoch; ``get_lr()`` gives the rates for ``last_epoch``.

    get_lr() works from the rates that the groups have now, so that schedulers can be chained.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an "
                    "optimizer"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self.step()

    # ---- What subclasses say ---------------------------------------------------------------------

    def get_lr(self) -> list[float]:
        """The rates of ``last_epoch``, from those of the epoch before."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    # A subclass whose rates are a function of the epoch alone says it here; step(epoch) uses it.
    _get_closed_form_lr: Callable[[], list[float]] | None = None

    @property
    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    # ---- What callers use ------------------------------------------------------------------------

    def step(self, epoch: int | None = None) -> None:
        """Goes to the next epoch (or to `epoch`, deprecated) and sets its learning rates."""
        if self._step_count == 1 and self.optimizer._step_count == 0:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the "
                "opposite order: otherwise the first value of the schedule is skipped.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            warnings.warn(
                "The epoch parameter in `scheduler.step()` was not necessary and is being "
                "deprecated. Please use `scheduler.step()` to step the scheduler.",
                stacklevel=2,
            )
            rates = self._rates_at(epoch)
        self._set(rates)

    def _rates_at(self, epoch: int) -> list[float]:
        self.last_epoch = epoch
        closed = self._get_closed_form_lr
        return self.get_lr() if closed is None else closed()

    def _restart(self) -> None:
        """Epoch 0 again."""
        self._step_count += 1
        self._set(self._rates_at(0))

    def _set(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._rates

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last step set."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what state_dict() gave."""
        self.__dict__.update(state_dict)


def check_positive_int(value: Any, name: str, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"Expected {'positive' if least else 'non-negative'} integer {name}, but "
                         f"got {value}")  # fmt: skip
