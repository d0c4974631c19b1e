"""What a run leaves: metrics.json and three pictures."""

from __future__ import annotations

import json
import os
import platform
import resource
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from .. import _core
from ..serialization import atomic_path
from .loop import Trainer, per_sample_loss


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": _core.num_threads(),
        "isa": _core.isa(),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    return {
        "fastnn": _core.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ml_dtypes": ml_dtypes.__version__,
    }


def write_json(value: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def write_report(trainer: Trainer, pictures: bool = True) -> dict[str, Any]:
    """Writes metrics.json and, where matplotlib is installed, the pictures; returns the metrics."""
    test = trainer.data.test
    loss, accuracy, scores = trainer.evaluate(test)
    history = trainer.progress.history
    seconds = sum(h["seconds"] for h in history)
    metrics = {
        "test_accuracy": accuracy,
        "test_loss": loss,
        "seconds": seconds,
        "samples_per_second": len(trainer.data.train) * len(history) / seconds if seconds else None,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "settings": asdict(trainer.settings),
        "epochs": history,
        "machine": machine(),
        "versions": versions(),
    }
    write_json(metrics, trainer.out / "metrics.json")
    if pictures:
        from . import plots

        plots.curves(history, trainer.out / "curves.png")
        predicted = scores.argmax(1)
        plots.confusion(test.labels, predicted, trainer.data.classes, trainer.out / "confusion.png")
        losses = per_sample_loss(scores, test.labels)
        plots.mistakes(test, predicted, losses, trainer.data.classes, trainer.out / "mistakes.png")
    return metrics
