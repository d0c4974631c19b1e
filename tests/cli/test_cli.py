"""``fastnn train | predict | info``: what they write, print, refuse and survive."""

import importlib.util
import json

import numpy as np
import pytest

import fastnn as fnn
from fastnn.cli import main
from fastnn.datasets import Digits, MNIST5k
from fastnn.training.recipes import RECIPES
from tests.data import or_skip

PICTURES = ("curves.png", "confusion.png", "mistakes.png")
HAVE_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


@pytest.fixture(scope="module")
def trained(mnist5k, tmp_path_factory):
    """The folder of a short LeNet-5 run."""
    out = tmp_path_factory.mktemp("lenet5")
    argv = f"train lenet5 --data mnist5k --epochs 3 --batch-size 32 --no-plots --out {out}"
    assert main(argv.split()) == 0
    return out


# ---- train ---------------------------------------------------------------------------------------


# Far above chance (0.1) after one epoch on 2,000 images, below what any of them reaches.
@pytest.mark.parametrize(
    ("model", "parameters", "reaches"),
    [
        ("perceptron", 7850, 0.6),
        ("mlp", 669706, 0.8),
        ("rbf", 500 * 784 + 500 + 5010, 0.6),
        ("lenet5", 61706, 0.6),
    ],
)
def test_smoke_run_leaves_its_files(fastnn, mnist5k, tmp_path, model, parameters, reaches):
    out = tmp_path / "new" / model
    done = fastnn("train", model, "--data", mnist5k, "--smoke", "--no-plots", "--out", out)
    assert (done.code, done.err) == (0, "")
    assert "test accuracy" in done.out

    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test_accuracy"] == metrics["epochs"][-1]["test_accuracy"]
    assert reaches < metrics["test_accuracy"] <= 1
    assert metrics["parameters"] == parameters
    assert metrics["seconds"] > 0 and metrics["samples_per_second"] > 0
    assert metrics["settings"]["limit"] == 2000
    assert metrics["machine"]["isa"] and metrics["versions"]["fastnn"] == fnn.__version__
    assert [h["epoch"] for h in metrics["epochs"]] == [1]
    assert np.isfinite([metrics["epochs"][0][f"{p}_loss"] for p in ("train", "test")]).all()

    state = fnn.load(out / "model.safetensors")
    assert state["classes"] == list("0123456789")
    own = RECIPES[model].make(tuple(state["shape"]), 10)
    own.load_state_dict(state["state"])

    assert {p.name for p in out.iterdir()} == {"metrics.json", "model.safetensors"}


@pytest.mark.skipif(not HAVE_MATPLOTLIB, reason="the pictures need matplotlib")
def test_pictures_show_something(fastnn, tmp_path):
    from PIL import Image

    _digits(fastnn, tmp_path, "--epochs", "2")
    assert {p.name for p in tmp_path.iterdir()} == {"metrics.json", "model.safetensors", *PICTURES}
    for name in PICTURES:
        with Image.open(tmp_path / name) as picture:
            picture.load()
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50


def _digits(fastnn, out, *flags):
    """A run on the smallest set; skipped where it cannot be had."""
    or_skip(Digits)
    done = fastnn("train", "mlp", "--data", "digits", "--out", out, *flags)
    assert done.code == 0, done.err
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.parametrize(("size", "steps"), [("1", 1438), ("full", 1), ("5000", 1)])
def test_batch_sizes(fastnn, tmp_path, monkeypatch, size, steps):
    from fastnn.training.loop import Trainer

    taken = []
    step = Trainer._step
    monkeypatch.setattr(Trainer, "_step", lambda t, rows: (taken.append(len(rows)), step(t, rows)))
    flags = ("--optimizer", "sgd", "--schedule", "constant", "--lr", "0.02", "--no-plots")
    metrics = _digits(fastnn, tmp_path, "--batch-size", size, "--epochs", "1", *flags)
    assert len(taken) == steps and sum(taken) == 1438
    assert metrics["test_accuracy"] > (0.85 if size == "1" else 0.05)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
def test_optimizers_and_schedules_learn(fastnn, tmp_path, optimizer, schedule):
    lr = "0.05" if optimizer in ("sgd", "momentum") else "0.003"
    flags = ("--optimizer", optimizer, "--schedule", schedule, "--lr", lr, "--no-plots")
    assert _digits(fastnn, tmp_path, "--epochs", "3", *flags)["test_accuracy"] > 0.8


def test_a_loss_that_is_not_finite_ends_the_run(fastnn, mnist5k, tmp_path):
    done = fastnn(
        "train", "mlp", "--data", mnist5k, "--smoke", "--out", tmp_path,
        "--optimizer", "sgd", "--schedule", "constant", "--lr", "1e30",
    )  # fmt: skip
    assert done.code == 1
    assert "--lr" in done.err and done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["lenet6"], ("unknown model 'lenet6'", "lenet5")),
        (["mlp", "--data", "mnits"], ("unknown data set 'mnits'", "mnist")),
        (["mlp", "--optimizer", "adamx"], ("unknown optimizer 'adamx'", "adamw")),
        (["mlp", "--schedule", "linear"], "unknown schedule 'linear'"),
        (["mlp", "--epochs", "0"], "--epochs"),
        (["mlp", "--epochs", "many"], "--epochs"),
        (["mlp", "--lr", "nan"], "--lr"),
        (["mlp", "--lr", "inf"], "--lr"),
        (["mlp", "--lr", "-1"], "--lr"),
        (["mlp", "--batch-size", "0"], "--batch-size"),
        (["mlp", "--batch-size", "all"], "--batch-size"),
        (["mlp", "--threads", "0"], "--threads"),
        (["mlp", "--threads", "100000"], "--threads"),
        (["mlp", "--threads", str(10**30)], "--threads"),
        (["mlp", "--seed", str(10**15)], "--seed"),
        (["mlp", "--seed", "-1"], "--seed"),
        (["mlp", "--device", "cuda"], "--device cuda: CUDA is not available"),
        (["mlp", "--frobnicate"], "--frobnicate"),
        (["mlp", "--data-dir", "nowhere"], "nowhere"),
        ([], "model"),
    ],
)
def test_train_refuses(refused, flags, words):
    refused("train", *flags, words=words)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["lenet5", "--data", "digits"], "28x28"),
        (["mlp", "--weight-decay", "-1"], "weight_decay"),
        (["mlp", "--resume"], "no checkpoint"),
        (["mlp", "--out", "file"], "file"),
        (["mlp", "--out", "file/below"], "file"),
    ],
)
def test_train_refuses_once_it_has_data(refused, mnist5k, tmp_path, flags, words):
    (tmp_path / "file").write_text("")
    flags = flags if "--data" in flags else [*flags, "--data", mnist5k]
    refused("train", *flags, words=words)


def test_an_unknown_command_is_refused(refused):
    refused("trian", words="trian")
    refused(words="command")


# ---- predict -------------------------------------------------------------------------------------


def _white_on_black(a):
    return a


def _ink_on_paper(a):
    """Blue ink on yellowish paper, with a wide margin at one side."""
    share = np.pad(a, ((3, 5), (20, 2)))[..., None] / 255.0
    return np.uint8(share * (20, 30, 140) + (1 - share) * (250, 245, 220))


def _black_on_transparent(a):
    return np.stack([np.zeros_like(a)] * 3 + [a], -1)


def _sixteen_bits(a):
    return a.astype(np.uint16) * 257


@pytest.mark.parametrize(
    ("look", "scale", "suffix"),
    [
        (_white_on_black, 1, "png"),
        (_white_on_black, 7, "png"),
        (_white_on_black, 0.7, "png"),
        (lambda a: 255 - a, 1, "png"),
        (lambda a: 255 - a, 3, "png"),
        (_ink_on_paper, 5, "png"),
        (_ink_on_paper, 4, "jpg"),
        (_black_on_transparent, 4, "png"),
        (_sixteen_bits, 1, "png"),
        (lambda a: 65535 - _sixteen_bits(a), 1, "png"),
    ],
)
def test_predict_reads_digits(fastnn, trained, tmp_path, look, scale, suffix):
    Image = pytest.importorskip("PIL.Image")
    test = MNIST5k(train=False)
    paths = []
    for digit in range(10):
        image = Image.fromarray(look(test.data[digit * 100 + 7]))
        if scale != 1:
            image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BICUBIC)
        paths.append(tmp_path / f"{digit}.{suffix}")
        image.save(paths[-1])
    done = fastnn("predict", trained / "model.safetensors", *paths)
    assert (done.code, done.err) == (0, "")
    said = [
        line.removeprefix(f"{p}: ") for p, line in zip(paths, done.out.splitlines(), strict=True)
    ]
    assert sum(int(s[0]) == digit for digit, s in enumerate(said)) >= 9, done.out
    shares = [float(part.split()[1]) for part in said[0].split("(")[1].rstrip(")").split(", ")]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.2


def test_predict_on_blank_and_one_pixel_images(fastnn, trained, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    Image.new("L", (40, 30), 255).save(tmp_path / "blank.png")
    Image.new("1", (1, 1)).save(tmp_path / "dot.png")
    Image.new("L", (3000, 1), 255).save(tmp_path / "line.png")
    paths = sorted(tmp_path.iterdir())
    done = fastnn("predict", trained / "model.safetensors", *paths, "--top", "1")
    assert done.code == 0 and len(done.out.splitlines()) == 3


def test_predict_on_another_data_set_scales_to_it(fastnn, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    _digits(fastnn, tmp_path, "--epochs", "8", "--no-plots")
    test = Digits(train=False)
    rows = [int(np.flatnonzero(test.targets == d)[1]) for d in range(10)]
    paths = [tmp_path / f"{d}.png" for d in range(10)]
    for path, row in zip(paths, rows, strict=True):
        Image.fromarray(np.uint8(255 - test.data[row] * 15.9)).resize((64, 64)).save(path)
    done = fastnn("predict", tmp_path / "model.safetensors", *paths)
    said = [line.split(": ")[1][0] for line in done.out.splitlines()]
    assert sum(s == str(d) for d, s in enumerate(said)) >= 8, done.out


def test_predict_refuses(refused, trained, tmp_path):
    pytest.importorskip("PIL")
    model = trained / "model.safetensors"
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "torn.safetensors").write_bytes(model.read_bytes()[:-100])
    fnn.save({"weight": fnn.zeros(3)}, tmp_path / "other.safetensors")
    refused("predict", model, "none.png", words="no such image: none.png")
    refused("predict", model, "text.png", words="text.png")
    refused("predict", model, "empty.png", words="empty.png")
    refused("predict", model, ".", words="cannot read the image")
    refused("predict", "none.safetensors", "text.png", words="no such model file")
    refused("predict", "text.png", "text.png", words="cannot read text.png")
    refused("predict", "torn.safetensors", "text.png", words="torn.safetensors")
    refused("predict", "other.safetensors", "text.png", words="fastnn train")
    refused("predict", model, words="IMAGE")


# ---- info ----------------------------------------------------------------------------------------


def test_info(fastnn):
    done = fastnn("info", "--json")
    facts = json.loads(done.out)
    assert facts["versions"]["fastnn"] == fnn.__version__
    assert facts["isa in use"] in facts["isa levels"] and facts["threads"] >= 1
    text = fastnn("info").out
    for word in ("cpu", "isa", "threads", "cuda", "memory", fnn.__version__):
        assert word in text


def test_version_and_help(capsys):
    for flag in ("--version", "--help"):
        with pytest.raises(SystemExit) as end:
            main([flag])
        assert end.value.code == 0
        assert "fastnn" in capsys.readouterr().out
