"""What is no tensor in the place of one: every function either takes it or says plainly that it cannot."""

import inspect

import pytest

import fastnn
from fastnn.nn import functional

from .test_bad_input import ALLOWED, FORBIDDEN, INTERNAL

WRONG = (3, 2.5, [1.0, 2.0], None, "abc", (), {}, object())
# What stands in the places beside the wrong one, by the parameter's name; a tensor where none is given.
VALUES = {
    "dim": 0, "dim0": 0, "dim1": 1, "dims": (0,), "k": 1, "kernel_size": 2, "output_size": 2, "size": (4, 4),
    "shape": (4, 4), "sizes": (2, 2), "shifts": 1, "pad": (1, 1), "num_classes": 5, "num_samples": 2, "repeats": 2,
    "chunks": 2, "start": 0, "end": 3, "steps": 3, "length": 2, "split_size_or_sections": 2, "groups": 2,
    "indices_or_sections": 2, "threshold": 0.1, "value": 0.5, "upscale_factor": 2, "downscale_factor": 2, "p": 2,
    "destination": 1, "scale_factor": 2, "reduce": "sum", "fill_value": 1.0, "norm_type": 2, "num_groups": 2,
    "normalized_shape": (4,), "equation": "ij,jk->ik", "dtype": fastnn.float32, "dimension": 0, "step": 1,
    "stride": (1,), "row": 2, "col": 2, "low": 0, "high": 3, "n": 2, "seed": 1, "diagonal": 0,
    "hook": print, "from_": fastnn.float32, "to": fastnn.float32,
}  # fmt: skip
BESIDE = (
    lambda: fastnn.rand(4, 4),
    lambda: fastnn.rand(4),
    lambda: fastnn.tensor([0, 1, 2, 3]),
    lambda: fastnn.rand(4, 4) > 0.5,
    lambda: fastnn.rand(2, 4, 4, 4),
)
OPTIONAL = {
    "weight", "weights", "bias", "out", "running_mean", "running_var", "pos_weight", "values", "source", "src", "other",
    "input", "per_sample_weights", "indices", "offsets", "gradient", "memory_format", "dtype",
}  # fmt: skip
# Files, and the settings of the process.
LEFT_OUT = {
    "save",
    "load",
    "set_cache_limit",
    "set_printoptions",
    "default_generator",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "manual_seed",
    "set_rng_state",
}
PLACES = {"fastnn": fastnn, "functional": functional, "Tensor": fastnn.Tensor}


def _functions():
    for where, place in PLACES.items():
        for name in dir(place):
            f = getattr(place, name)
            if name.startswith("_") or name in LEFT_OUT or not callable(f) or inspect.isclass(f):
                continue
            yield pytest.param(f, where == "Tensor", id=f"{where}.{name}")


def _required(function):
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


@pytest.mark.parametrize("function, is_method", list(_functions()))
def test_a_wrong_type_is_named(function, is_method):
    names = _required(function)
    for place, name in enumerate(names):
        if (is_method and place == 0) or name in VALUES:
            continue
        for beside in BESIDE:
            for wrong in WRONG:
                arguments = [VALUES[n] if n in VALUES else beside() for n in names]
                arguments[place] = wrong
                _check(function, arguments, {}, f"{name} = {wrong!r}")


@pytest.mark.parametrize("function, is_method", list(_functions()))
def test_a_wrong_type_of_an_option_is_named(function, is_method):
    required = _required(function)
    for name in OPTIONAL & {*inspect.signature(function).parameters} - {*required}:
        for beside in BESIDE:
            for wrong in WRONG:
                arguments = [VALUES[n] if n in VALUES else beside() for n in required]
                _check(function, arguments, {name: wrong}, f"{name} = {wrong!r}")


def _check(function, arguments, named, what):
    try:
        function(*arguments, **named)
    except Exception as e:
        classes = {c.__name__ for c in type(e).__mro__}
        assert classes & ALLOWED and not classes & FORBIDDEN, f"{what}: {e!r}"
        assert len(str(e).split()) >= 3 and not INTERNAL.search(str(e)), f"{what}: {e!r}"
