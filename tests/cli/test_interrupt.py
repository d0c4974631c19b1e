"""Ctrl-C leaves a checkpoint, and --resume goes on as if nothing had happened."""

import json
import signal
import subprocess

import pytest

import fastnn as fnn
from fastnn.cli import train


class _InterruptingBar:
    """A progress bar at which somebody presses Ctrl-C."""

    def __init__(self, steps):
        self.steps = set(steps)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def __call__(self, trainer):
        done = trainer.progress.epoch * trainer.steps_per_epoch + trainer.progress.step
        if done in self.steps:
            self.steps.remove(done)
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupted(fastnn, monkeypatch):
    """Run and resume with Ctrl-C after each of the given steps (63 an epoch); returns the last result."""

    def run(*argv, at):
        for n, step in enumerate(at):
            with monkeypatch.context() as m:
                m.setattr(
                    "fastnn.training.bar.make_bar", lambda total, s=step: _InterruptingBar([s])
                )
                done = fastnn("train", *argv, *["--resume"] * (n > 0))
            assert done.code == 130
            assert f"stopped after step {step}" in done.out and "--resume" in done.out
        return fastnn("train", *argv, "--resume")

    return run


# Inside an epoch, twice in one epoch, on an epoch's last step, and on the run's very last one.
@pytest.mark.parametrize(
    ("model", "length", "at"),
    [
        ("mlp", ("--epochs", "2"), (20, 41, 63, 126)),
        ("lenet5", ("--smoke",), (5, 32)),
        ("rbf", ("--smoke",), (20,)),
    ],
)
def test_resume_ends_with_the_same_bits(fastnn, interrupted, mnist5k, tmp_path, model, length, at):
    flags = (model, "--data", mnist5k, "--no-plots", *length)
    assert fastnn("train", *flags, "--out", tmp_path / "whole").code == 0
    done = interrupted(*flags, "--out", tmp_path / "parts", at=at)
    assert done.code == 0, done.err
    whole, parts = ((tmp_path / f / "model.safetensors").read_bytes() for f in ("whole", "parts"))
    assert whole == parts
    for key in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr"):
        histories = (
            json.loads((tmp_path / f / "metrics.json").read_text())["epochs"]
            for f in ("whole", "parts")
        )
        a, b = ([h[key] for h in history] for history in histories)
        assert a == b
    assert not (tmp_path / "parts" / "checkpoint.safetensors").exists()


def test_two_seeds_differ(fastnn, mnist5k, tmp_path):
    for seed in ("1", "2"):
        argv = (
            f"train mlp --data {mnist5k} --smoke --no-plots --seed {seed} --out {tmp_path / seed}"
        )
        assert fastnn(*argv.split()).code == 0
    one, two = ((tmp_path / s / "model.safetensors").read_bytes() for s in ("1", "2"))
    assert one != two


def test_a_real_ctrl_c(command, mnist5k, tmp_path):
    argv = [*command, "train", "mlp", "--data", mnist5k, "--epochs", "500", "--out", str(tmp_path)]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(child.stdout.readline, "")
        assert any(line.startswith("epoch 1/500") for line in lines), child.stderr.read()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, err) == (130, "")
    assert "continues with --resume" in out
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    state = fnn.load(tmp_path / "checkpoint.safetensors")
    assert state["progress"]["epoch"] >= 1 or state["progress"]["step"] == 63


@pytest.fixture
def stopped(fastnn, monkeypatch, mnist5k, tmp_path):
    """A folder with the checkpoint of a stopped run, and the run's flags."""
    flags = ("mlp", "--data", mnist5k, "--epochs", "2", "--no-plots", "--out", "run")
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as m:
        m.setattr("fastnn.training.bar.make_bar", lambda total: _InterruptingBar([2]))
        assert fastnn("train", *flags).code == 130
    return tmp_path / "run" / "checkpoint.safetensors", flags


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--lr", "0.1"),
        ("--epochs", "3"),
        ("--seed", "5"),
        ("--batch-size", "7"),
        ("--optimizer", "sgd"),
    ],
)
def test_resume_with_other_flags_is_refused(stopped, refused, flag, value):
    _, flags = stopped
    refused("train", *flags, flag, value, "--resume", words=(flag[2:].replace("-", "_"), value))


def test_resume_as_another_model_is_refused(stopped, refused):
    _, flags = stopped
    refused("train", "rbf", *flags[1:], "--resume", words="model=mlp")


def test_a_damaged_checkpoint_is_refused(stopped, refused):
    path, flags = stopped
    good = path.read_bytes()
    state = fnn.load(path)
    for bad in (b"", b"hello", good[: len(good) // 2], good[:-1]):
        path.write_bytes(bad)
        refused("train", *flags, "--resume", words="checkpoint.safetensors")
    for key in ("settings", "model", "optimizer", "random", "progress"):
        fnn.save({k: v for k, v in state.items() if k != key}, path)
        refused("train", *flags, "--resume", words=("checkpoint.safetensors", key))
    fnn.save({**state, "model": {"1.weight": fnn.zeros(2, 2)}}, path)
    refused("train", *flags, "--resume", words="checkpoint.safetensors")


def test_results_that_cannot_be_written_get_one_line(fastnn, monkeypatch, mnist5k, tmp_path):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastnn.serialization.save", full)
    done = fastnn("train", "mlp", "--data", mnist5k, "--smoke", "--out", tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "No space left" in done.err


def test_the_train_parser_names_every_choice():
    import argparse

    commands = argparse.ArgumentParser().add_subparsers()
    train.add_parser(commands)
    text = commands.choices["train"].format_help()
    from fastnn.training.data import DATASETS
    from fastnn.training.recipes import OPTIMIZERS, RECIPES, SCHEDULES

    for name in (*DATASETS, *OPTIMIZERS, *RECIPES, *SCHEDULES):
        assert name in text
