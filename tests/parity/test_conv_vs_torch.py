"""Convolution functions and layers agree with PyTorch: values, gradients, names, texts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastnn
from tests.cases import conv as cases

TABLES = {
    "conv1d": cases.CONV1D, "conv2d": cases.CONV2D, "conv3d": cases.CONV3D,
    "conv_transpose1d": cases.CONV_TRANSPOSE1D, "conv_transpose2d": cases.CONV_TRANSPOSE2D,
    "conv_transpose3d": cases.CONV_TRANSPOSE3D,
}  # fmt: skip
FUNCTIONS = [
    (name, case)
    for name, table in TABLES.items()
    for case in table
    if "padding_mode" not in case.kwargs
]


def relative_error(got, want):
    return np.abs(got - want).max(initial=0.0) / max(1.0, np.abs(want).max(initial=0.0))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name, case", FUNCTIONS, ids=str)
def test_functions(name, case):
    results = []
    for t in (fastnn, torch):
        arrays = [None if a is None else t.from_numpy(a.copy()) for a in case.inputs()]
        for a in arrays:
            if a is not None:
                a.requires_grad_()
        y = getattr(t.nn.functional, name)(*arrays, **case.kwargs)
        dy = np.random.default_rng(5).standard_normal(tuple(y.shape))
        y.backward(t.from_numpy(dy))
        results.append([y.detach(), *(a.grad for a in arrays if a is not None)])
    for got, want in zip(*results, strict=True):
        assert tuple(got.shape) == tuple(want.shape)
        assert relative_error(got.numpy(), want.numpy()) <= 1e-12


LAYERS = [
    ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "circular"}, (2, 4, 9)),
    ("Conv2d", (4, 6, 3), {"stride": 2, "padding": 1}, (2, 4, 9, 8)),
    ("Conv2d", (4, 6, (3, 5)), {"padding": (1, 2), "padding_mode": "reflect"}, (2, 4, 9, 8)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "dilation": 2, "groups": 2}, (2, 4, 9, 8)),
    ("Conv2d", (4, 6, 3), {"padding": "valid", "bias": False}, (4, 9, 8)),
    ("Conv3d", (2, 3, (1, 2, 3)), {"padding": 1, "padding_mode": "replicate"}, (1, 2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, (2, 4, 9)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": (2, 1), "padding": 1, "groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2), {"dilation": 2, "bias": False}, (1, 2, 3, 4, 5)),
]


@pytest.mark.parametrize("name, args, kwargs, shape", LAYERS, ids=str)
def test_layers(name, args, kwargs, shape):
    ours, theirs = (getattr(t.nn, name)(*args, **kwargs) for t in (fastnn, torch))
    assert repr(ours) == repr(theirs)
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    with torch.no_grad():
        for k, v in ours.state_dict().items():
            theirs.state_dict()[k].copy_(torch.from_numpy(v.numpy().copy()))
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    got, want = ours(fastnn.from_numpy(x)), theirs(torch.from_numpy(x))
    assert relative_error(got.detach().numpy(), want.detach().numpy()) <= 2e-6


def test_output_size_of_transposed_layers():
    for t in (fastnn, torch):
        layer = t.nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
        x = t.ones(1, 2, 4, 5)
        assert tuple(layer(x).shape) == (1, 3, 7, 9)
        assert tuple(layer(x, output_size=(8, 9)).shape) == (1, 3, 8, 9)
        assert tuple(layer(x, output_size=(1, 3, 8, 10)).shape) == (1, 3, 8, 10)
        with pytest.raises(ValueError, match="output size"):
            layer(x, output_size=(9, 9))


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_initial_parameters_have_the_range_of_torch(name):
    # Both draw from U(-bound, bound) with the same bound: the largest of hundreds of draws comes close to it.
    for got, want in zip(
        *(getattr(t.nn, name)(64, 256, 3).parameters() for t in (fastnn, torch)), strict=True
    ):
        got, want = (np.abs(p.detach().numpy()).max() for p in (got, want))
        assert 0.95 * want < got < 1.05 * want


def test_channels_last_output_keeps_its_format():
    for t in (fastnn, torch):
        x = t.ones(2, 4, 6, 6).to(memory_format=t.channels_last)
        y = t.nn.functional.conv2d(x, t.ones(8, 4, 3, 3), padding=1)
        assert y.is_contiguous(memory_format=t.channels_last)
