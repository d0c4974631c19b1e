"""``fastnn train MODEL --data DATA``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from . import UsageError

SMOKE_ROWS = 2000


def add_parser(commands: Any) -> None:
    p = commands.add_parser("train", help="train a model on real data", description=__doc__)
    p.add_argument("model", help="perceptron, mlp, rbf or lenet5")
    p.add_argument("--data", default="mnist", help="mnist, mnist5k, fashion-mnist or digits")
    p.add_argument("--data-dir", type=Path, help="folder with the data set's original files")
    p.add_argument("--out", type=Path, help="where results go (default: runs/MODEL)")
    p.add_argument("--epochs", type=int)
    p.add_argument("--batch-size", help="samples a step: a number (1: stochastic), or full")
    p.add_argument("--optimizer", help="sgd, momentum, adam, adamw, rmsprop or adagrad")
    p.add_argument("--lr", type=float)
    p.add_argument("--schedule", help="constant, cosine or onecycle")
    p.add_argument("--weight-decay", type=float, default=0.0)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--threads", type=int, help="CPU threads (default: all that this process may use)"
    )
    p.add_argument("--device", default="cpu")
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    p.add_argument(
        "--smoke", action="store_true", help="a ten-second version: little data, one epoch"
    )
    p.add_argument("--no-plots", action="store_true", help="leave the pictures out")
    p.set_defaults(run=run)


def _choice(value: str, known: Any, what: str) -> str:
    if value not in known:
        raise UsageError(f"fastnn train: unknown {what} '{value}'; choose from {', '.join(known)}")
    return value


def _batch_size(text: str | None, default: int) -> int:
    """0 stands for the full training set."""
    if text is None:
        return default
    if text == "full":
        return 0
    try:
        n = int(text)
    except ValueError:
        n = 0
    if n < 1:
        raise UsageError(
            f"fastnn train: --batch-size must be a positive number or 'full', got '{text}'"
        )
    return n


def _settings(args: argparse.Namespace) -> Any:
    from ..training.data import DATASETS
    from ..training.loop import Settings
    from ..training.recipes import OPTIMIZERS, RECIPES, SCHEDULES

    recipe = RECIPES[_choice(args.model, RECIPES, "model")]
    _choice(args.data, DATASETS, "data set")
    epochs = 1 if args.smoke else args.epochs if args.epochs is not None else recipe.epochs
    lr = recipe.lr if args.lr is None else args.lr
    if epochs < 1:
        raise UsageError(f"fastnn train: --epochs must be at least 1, got {epochs}")
    if not lr > 0 or lr == float("inf"):
        raise UsageError(f"fastnn train: --lr must be a positive number, got {lr}")
    if not 0 <= args.seed < 2**32:
        raise UsageError(f"fastnn train: --seed must be from 0 to 2^32 - 1, got {args.seed}")
    return Settings(
        model=args.model,
        data=args.data,
        epochs=epochs,
        batch_size=_batch_size(args.batch_size, recipe.batch_size),
        optimizer=_choice(args.optimizer or recipe.optimizer, OPTIMIZERS, "optimizer"),
        lr=lr,
        schedule=_choice(args.schedule or recipe.schedule, SCHEDULES, "schedule"),
        weight_decay=args.weight_decay,
        seed=args.seed,
        limit=SMOKE_ROWS if args.smoke else None,
    )


def _load_data(args: argparse.Namespace, limit: int | None) -> Any:
    from ..datasets import ChecksumError, FetchError
    from ..training import data

    try:
        return data.load(args.data, args.data_dir, limit)
    except (OSError, ValueError, FetchError, ChecksumError) as e:
        raise UsageError(f"fastnn train: cannot read the data set {args.data}: {e}") from None


def _check_device(name: str) -> None:
    from ..ops import transfer

    try:
        if transfer.parse(name)[0] == "cuda":
            from .. import _cuda

            _cuda.load()
    except RuntimeError as e:
        raise UsageError(f"fastnn train: --device {name}: {e}") from None


def run(args: argparse.Namespace) -> int:
    from .. import _core
    from ..training.loop import Diverged, Stopped

    settings = _settings(args)
    _check_device(args.device)
    if args.threads is not None:
        try:
            _core.set_num_threads(args.threads)
        except (ValueError, OverflowError, TypeError):
            raise UsageError(
                f"fastnn train: --threads must be between 1 and 1024, got {args.threads}"
            ) from None
    args.out = args.out or Path("runs") / args.model
    trainer = _trainer(args, settings)
    try:
        return _train(trainer, args)
    except Stopped:
        done = trainer.progress.epoch * trainer.steps_per_epoch + trainer.progress.step
        print(f"\nstopped after step {done}; {trainer.checkpoint} continues with --resume")
        return 130
    except Diverged as e:
        print(f"fastnn train: {e}", file=sys.stderr)
        return 1
    except OSError as e:
        raise UsageError(f"fastnn train: cannot write the results: {e}") from None


def _trainer(args: argparse.Namespace, settings: Any) -> Any:
    from ..training.loop import Trainer

    data = _load_data(args, settings.limit)
    try:
        trainer = Trainer(settings, data, args.out, device=args.device)
        if args.resume:
            trainer.resume()
        else:
            args.out.mkdir(parents=True, exist_ok=True)
            trainer.prepare()
    except (OSError, ValueError, RuntimeError) as e:
        raise UsageError(f"fastnn train: {e}") from None
    return trainer


def _train(trainer: Any, args: argparse.Namespace) -> int:
    from ..training.bar import make_bar
    from ..training.report import write_report

    s = trainer.settings
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(
        f"{s.model} ({parameters:,} parameters) on {s.data}: {len(trainer.data.train):,} + "
        f"{len(trainer.data.test):,} images, {s.optimizer}, batch {s.batch_size or 'full'}, seed {s.seed}"
    )
    with make_bar(trainer.steps_per_epoch * s.epochs) as bar:
        trainer.on_step = bar
        trainer.run()
    trainer.save_model()
    metrics = write_report(trainer, pictures=not args.no_plots and _have_matplotlib())
    trainer.checkpoint.unlink(missing_ok=True)
    for h in metrics["epochs"]:
        print(
            f"epoch {h['epoch']:2d}  train loss {h['train_loss']:.4f}  test loss {h['test_loss']:.4f}  "
            f"test accuracy {100 * h['test_accuracy']:.2f} %  {h['seconds']:.1f} s"
        )
    print(
        f"test accuracy {100 * metrics['test_accuracy']:.2f} % after {metrics['seconds']:.1f} s "
        f"({metrics['samples_per_second']:,.0f} samples/s); results in {trainer.out}/"
    )
    return 0


def _have_matplotlib() -> bool:
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        print("no pictures: they need matplotlib (pip install matplotlib)")
        return False
    return True
