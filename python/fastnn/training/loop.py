"""The training loop: epochs over shuffled batches, a checkpoint that resumes with the same bits, a clean Ctrl-C."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import random, serialization
from ..autograd.node import no_grad
from ..nn.functional import cross_entropy
from ..optim import lr_scheduler
from .data import FILL, Data, Split
from .recipes import OPTIMIZERS, RECIPES


@dataclass
class Settings:
    """Everything that determines a run's numbers."""

    model: str
    data: str
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    schedule: str
    weight_decay: float
    seed: int
    limit: int | None = None


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)


class Stopped(Exception):
    """Ctrl-C: the checkpoint is written."""


class Diverged(Exception):
    """The loss is no finite number any more."""


class Trainer:
    """One run of a recipe on a data set. ``on_step(trainer)`` is called after every step (the progress bar)."""

    def __init__(
        self,
        settings: Settings,
        data: Data,
        out: Path,
        on_step: Callable[[Trainer], None] = lambda trainer: None,
        device: str = "cpu",
    ) -> None:
        self.settings, self.data, self.out, self.on_step = settings, data, out, on_step
        self.device = device
        self.recipe = RECIPES[settings.model]
        random.manual_seed(settings.seed)
        self.model = self.recipe.make(data.shape, len(data.classes)).to(device)
        self.progress = Progress()
        self.started = time.perf_counter()
        self.steps_per_epoch = -(-len(data.train) // self._batch())
        make = OPTIMIZERS[settings.optimizer]
        self.optimizer = make(self._trainable(), lr=settings.lr, weight_decay=settings.weight_decay)
        self.schedule = self._schedule()

    def _batch(self) -> int:
        return len(self.data.train) if self.settings.batch_size == 0 else self.settings.batch_size

    def _trainable(self) -> list[Any]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def _schedule(self) -> Any:
        total = self.steps_per_epoch * self.settings.epochs
        if self.settings.schedule == "cosine":
            return lr_scheduler.CosineAnnealingLR(self.optimizer, total)
        if self.settings.schedule == "onecycle":
            group = self.optimizer.param_groups[0]
            momentum = "betas" in group or group.get("momentum", 0) > 0
            return lr_scheduler.OneCycleLR(
                self.optimizer, self.settings.lr, total, pct_start=0.2, cycle_momentum=momentum
            )
        return None

    # ---- running -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """What a recipe does before its first step (k-means centres)."""
        if self.recipe.prepare is not None:
            rows = np.random.default_rng(self.settings.seed).permutation(len(self.data.train))[
                :10_000
            ]
            pixels = self.data.train.pixels(np.sort(rows)).to(self.device)
            self.recipe.prepare(self.model, pixels)

    def run(self) -> list[dict]:
        """Trains to the end; Ctrl-C raises Stopped after the step in flight, with the checkpoint written."""
        self.started = time.perf_counter() - self.progress.seconds
        with _interruptible() as interrupted:
            while self.progress.epoch < self.settings.epochs:
                self.model.train()
                for rows in self._batches():
                    self._step(rows)
                    self.on_step(self)
                    if interrupted():
                        self.save_checkpoint()
                        raise Stopped
                self._end_epoch()
                self.save_checkpoint()
        return self.progress.history

    def _batches(self) -> Iterator[np.ndarray]:
        """The rest of this epoch's batches: the order depends on seed and epoch only."""
        generator = random.Generator()
        generator.manual_seed(self.settings.seed * 1_000_003 + self.progress.epoch)
        order = random.randperm(len(self.data.train), generator=generator)
        size = self._batch()
        for start in range(self.progress.step * size, len(order), size):
            yield order[start : start + size]

    def _step(self, rows: np.ndarray) -> None:
        x, y = (t.to(self.device) for t in self.data.train.batch(rows))
        scores = self.recipe.scores(self.model, x)
        loss = self.recipe.loss(scores, y)
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"the loss is {value} in step {self.progress.step + 1} of epoch "
                f"{self.progress.epoch + 1}; a smaller --lr than {self.settings.lr} may help"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        p = self.progress
        p.step += 1
        p.seen += len(rows)
        p.loss_sum += value * len(rows)
        p.correct += int((scores.detach().argmax(1) == y).sum())

    def _end_epoch(self) -> None:
        p = self.progress
        p.seconds = time.perf_counter() - self.started
        before = sum(h["seconds"] for h in p.history)
        test_loss, test_accuracy, _ = self.evaluate(self.data.test)
        seconds = p.seconds - before
        p.history.append(
            {
                "epoch": p.epoch + 1,
                "train_loss": p.loss_sum / p.seen,
                "train_accuracy": p.correct / p.seen,
                "test_loss": test_loss,
                "test_accuracy": test_accuracy,
                "seconds": seconds,
                "samples_per_second": p.seen / seconds,
                "lr": self.optimizer.param_groups[0]["lr"],
            }
        )
        p.epoch += 1
        p.step = p.seen = p.correct = 0
        p.loss_sum = 0.0

    @no_grad()
    def evaluate(self, split: Split, size: int = 1000) -> tuple[float, float, np.ndarray]:
        """Mean loss, accuracy, and the scores of every row."""
        self.model.eval()
        total, all_scores = 0.0, []
        for start in range(0, len(split), size):
            rows = np.arange(start, min(start + size, len(split)))
            x, y = (t.to(self.device) for t in split.batch(rows))
            scores = self.recipe.scores(self.model, x)
            total += self.recipe.loss(scores, y).item() * len(rows)
            all_scores.append(scores.cpu().numpy())
        scores = np.concatenate(all_scores)
        return total / len(split), float((scores.argmax(1) == split.labels).mean()), scores

    # ---- files -------------------------------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.safetensors"

    def save_checkpoint(self) -> None:
        self.progress.seconds = time.perf_counter() - self.started
        serialization.save(
            {
                "settings": asdict(self.settings),
                "progress": asdict(self.progress),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": None if self.schedule is None else self.schedule.state_dict(),
                "random": random.get_rng_state(),
            },
            self.checkpoint,
        )

    def resume(self) -> None:
        """Continues from the checkpoint. ValueError when it is missing, damaged or of a run with other settings."""
        try:
            state = serialization.load(self.checkpoint)
        except FileNotFoundError:
            raise ValueError(f"no checkpoint to resume from: {self.checkpoint}") from None
        try:
            self._check_same(state)
            self._restore(state)
        except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as e:
            raise ValueError(f"{self.checkpoint} is no checkpoint of this model: {e!r}") from None

    def _check_same(self, state: Any) -> None:
        theirs, ours = dict(state["settings"]), asdict(self.settings)
        changed = [k for k in ours if theirs.get(k) != ours[k]]
        if changed:
            k = changed[0]
            raise ValueError(
                f"{self.checkpoint} is of a run with {k}={theirs.get(k)}, this one has {k}={ours[k]}; use "
                "the same flags, or another --out"
            )

    def _restore(self, state: Any) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        random.set_rng_state(state["random"])
        self.progress = Progress(
            **{**state["progress"], "history": [dict(h) for h in state["progress"]["history"]]}
        )

    def save_model(self) -> Path:
        """The trained model with what predict needs to know."""
        path = self.out / "model.safetensors"
        serialization.save(
            {
                "recipe": self.settings.model,
                "data": self.settings.data,
                "shape": list(self.data.shape),
                "classes": self.data.classes,
                "mean": self.data.train.mean,
                "std": self.data.train.std,
                "peak": float(self.data.train.images.max()),
                "fill": FILL[self.settings.data],
                "state": self.model.state_dict(),
            },
            path,
        )
        return path


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C only sets a flag (a second one interrupts as usual)."""
    hit = False

    def handler(signum: int, frame: Any) -> None:
        nonlocal hit
        if hit:
            raise KeyboardInterrupt
        hit = True

    try:
        before = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not the main thread: nobody can interrupt here
        yield lambda: False
        return
    try:
        yield lambda: hit
    finally:
        signal.signal(signal.SIGINT, before)


def per_sample_loss(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The cross-entropy of every row: which mistakes are worst."""
    from ..ops.creation import from_numpy

    return cross_entropy(from_numpy(scores), from_numpy(labels), reduction="none").numpy()
