"""Convolution layers beside PyTorch's: state_dict, repr, values and gradients, padding modes, output_size."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastnn

LAYERS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, (2, 4, 11)),
    ("Conv2d", (3, 4, (3, 5)), {"padding": (1, 2), "dilation": (1, 2)}, (2, 3, 9, 12)),
    ("Conv2d", (4, 8, 3), {"groups": 2, "bias": False}, (2, 4, 8, 7)),
    ("Conv2d", (4, 4, 3), {"padding": "same"}, (2, 4, 8, 7)),
    ("Conv2d", (4, 4, 4), {"padding": "same"}, (2, 4, 8, 7)),
    ("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {"padding": 2, "padding_mode": "circular"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {"padding": "same", "padding_mode": "replicate"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {}, (2, 6, 7)),
    ("Conv3d", (2, 3, 2), {"stride": 2}, (2, 2, 5, 6, 4)),
    ("ConvTranspose1d", (3, 4, 3), {"stride": 2, "output_padding": 1}, (2, 3, 7)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 3, "padding": 1, "groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2), {"dilation": 2}, (1, 2, 3, 4, 3)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
@pytest.mark.filterwarnings("ignore:Using padding")
def test_layer(name, args, kwargs, shape):
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours = getattr(fastnn.nn, name)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    data = np.random.default_rng(0).standard_normal(shape)
    x, tx = fastnn.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, ty = ours(x), theirs(tx)
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-11, atol=1e-12)
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-10, atol=1e-11)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-10)


def test_output_size():
    layer = fastnn.nn.ConvTranspose2d(2, 3, 3, stride=2)
    assert layer(fastnn.ones(1, 2, 4, 4), output_size=(10, 9)).shape == (1, 3, 10, 9)
    with pytest.raises(ValueError, match="valid sizes"):
        layer(fastnn.ones(1, 2, 4, 4), output_size=(12, 9))


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Conv2d(3, 4, 3, groups=2),
        lambda nn: nn.Conv2d(4, 5, 3, groups=2),
        lambda nn: nn.Conv2d(4, 4, 3, groups=0),
        lambda nn: nn.Conv2d(4, 4, 3, padding="some"),
        lambda nn: nn.Conv2d(4, 4, 3, padding="same", stride=2),
        lambda nn: nn.Conv2d(4, 4, 3, padding_mode="mirror"),
        lambda nn: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"),
    ],
)
def test_refusals(make):
    with pytest.raises(ValueError):
        make(torch.nn)
    with pytest.raises(ValueError):
        make(fastnn.nn)
