"""The progress bar: rich where it is installed, else a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

from .loop import Trainer


class PlainBar:
    """A line every ten seconds and at the end of each epoch."""

    def __init__(self, total_steps: int) -> None:
        self.total = total_steps
        self.last = self.start = time.perf_counter()
        self.first: int | None = None

    def __enter__(self) -> PlainBar:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        p = trainer.progress
        if now - self.last < 10 and p.step < trainer.steps_per_epoch:
            return
        self.last = now
        done = p.epoch * trainer.steps_per_epoch + p.step
        self.first = done - 1 if self.first is None else self.first
        rate = (done - self.first) / max(now - self.start, 1e-9)
        print(
            f"epoch {p.epoch + 1}/{trainer.settings.epochs}  loss {p.loss_sum / p.seen:.4f}  "
            f"accuracy {p.correct / p.seen:.4f}  {rate * p.seen / p.step:,.0f} samples/s  "
            f"{(self.total - done) / max(rate, 1e-9):.0f} s left",
            flush=True,
        )


class RichBar:
    """One live line: epoch, loss, accuracy, samples/s, time left."""

    def __init__(self, total_steps: int) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.task = self.progress.add_task("training", total=total_steps, figures="")
        self.last = 0.0

    def __enter__(self) -> RichBar:
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def __call__(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        p = trainer.progress
        if now - self.last < 0.1 and p.step < trainer.steps_per_epoch:
            return
        done = p.epoch * trainer.steps_per_epoch + p.step
        rate = self.progress.tasks[0].speed or 0.0
        self.last = now
        self.progress.update(
            self.task,
            completed=done,
            description=f"epoch {p.epoch + 1}/{trainer.settings.epochs}",
            figures=f"loss {p.loss_sum / p.seen:.4f}  accuracy {p.correct / p.seen:.4f}  "
            f"{rate * p.seen / p.step:,.0f} samples/s",
        )


def make_bar(total_steps: int) -> Any:
    if sys.stdout.isatty():
        try:
            return RichBar(total_steps)
        except ImportError:
            pass
    return PlainBar(total_steps)
