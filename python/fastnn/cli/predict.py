"""``fastnn predict MODEL IMAGE...``: the class of each image, with probabilities."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from . import UsageError


def add_parser(commands: Any) -> None:
    p = commands.add_parser(
        "predict", help="classify images with a trained model", description=__doc__
    )
    p.add_argument("model", type=Path, help="model.safetensors of a run")
    p.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG or JPEG, any size")
    p.add_argument("--top", type=int, default=3, help="how many classes to show")
    p.set_defaults(run=run)


def _load_model(path: Path) -> tuple[Any, dict]:
    from .. import serialization
    from ..training.recipes import RECIPES

    try:
        state = serialization.load(path)
        recipe = RECIPES[state["recipe"]]
        model = recipe.make(tuple(state["shape"]), len(state["classes"]))
        model.load_state_dict(state["state"])
        for key in ("mean", "std", "peak", "fill"):
            float(state[key])
    except FileNotFoundError:
        raise UsageError(f"fastnn predict: no such model file: {path}") from None
    except (KeyError, TypeError):
        raise UsageError(f"fastnn predict: {path} is no model that `fastnn train` wrote") from None
    except (OSError, ValueError, RuntimeError) as e:
        raise UsageError(f"fastnn predict: cannot read {path}: {e}") from None
    return model.eval(), state


def read_image(path: Path) -> np.ndarray:
    """A picture as grey levels, (H, W) float32 from 0 to 255, the way up its EXIF data say."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UsageError(
            "fastnn predict: reading images needs pillow: pip install pillow"
        ) from None
    try:
        with Image.open(path) as file:
            image: Image.Image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I;16"):  # convert("L") would cut it off at 255
                return np.asarray(image).astype(np.float32) / np.float32(257)
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                return _on_paper(image.convert("RGBA"))
            return np.asarray(image.convert("L"), np.float32)
    except FileNotFoundError:
        raise UsageError(f"fastnn predict: no such image: {path}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise UsageError(f"fastnn predict: cannot read the image {path}: {e}") from None


def _on_paper(image: Any) -> np.ndarray:
    """The grey levels of a picture with transparency, on white; on black where white hides it all."""
    from PIL import Image

    grey = np.zeros((1, 1), np.float32)
    for paper in ("white", "black"):
        sheet = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
        grey = np.asarray(sheet.convert("L"), np.float32)
        if grey.min() != grey.max():
            break
    return grey


def fit_digit(grey: np.ndarray, size: int, fill: float) -> np.ndarray:
    """A picture made like MNIST's: bright strokes on black, cut out, its longer side scaled to
    `fill` of the frame, centred by mass.
    """
    from PIL import Image

    if grey.shape == (size, size) and np.median(_border(grey)) == 0:
        return grey  # already like the data
    background = float(np.median(_border(grey)))
    ink = np.abs(grey - background)
    peak = ink.max()
    if peak <= 0:
        return np.zeros((size, size), np.float32)
    ink = np.clip(ink / peak, 0, 1)
    ink[ink < 0.2] = 0
    rows, cols = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    scale = size * fill / max(ink.shape)
    height, width = (max(1, round(n * scale)) for n in ink.shape)
    picture = Image.fromarray(np.uint8(ink * 255)).resize((width, height), Image.Resampling.LANCZOS)
    small = np.asarray(picture, np.float32)
    return _centred(small, size)


def _border(a: np.ndarray) -> np.ndarray:
    return np.concatenate([a[0], a[-1], a[:, 0], a[:, -1]])


def _centred(a: np.ndarray, size: int) -> np.ndarray:
    total = max(float(a.sum()), 1e-6)
    cy = float((a.sum(1) * np.arange(a.shape[0])).sum()) / total
    cx = float((a.sum(0) * np.arange(a.shape[1])).sum()) / total
    top = int(np.clip(round(size / 2 - 0.5 - cy), 0, size - a.shape[0]))
    left = int(np.clip(round(size / 2 - 0.5 - cx), 0, size - a.shape[1]))
    out = np.zeros((size, size), np.float32)
    out[top : top + a.shape[0], left : left + a.shape[1]] = a
    return out


def run(args: argparse.Namespace) -> int:
    from ..autograd.node import no_grad
    from ..nn.functional import softmax
    from ..ops.creation import from_numpy
    from ..training.recipes import RECIPES

    model, state = _load_model(args.model)
    size = state["shape"][-1]
    recipe = RECIPES[state["recipe"]]
    for path in args.images:
        grey = fit_digit(read_image(path), size, state["fill"]) * (state["peak"] / 255)
        pixels = (grey - state["mean"]) / state["std"]
        with no_grad():
            scores = recipe.scores(model, from_numpy(pixels.astype(np.float32)[None, None]))
            chances = softmax(scores, 1)[0].numpy()
        best = np.argsort(-chances)[: max(args.top, 1)]
        shown = ", ".join(f"{state['classes'][i]} {100 * chances[i]:.1f} %" for i in best)
        print(f"{path}: {state['classes'][best[0]]}  ({shown})")
    return 0
