"""Pooling, resizing, padding and folding layers compute and print what PyTorch's do."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastnn
import fastnn.nn as nn

LAYERS = [
    ("MaxPool1d", (3,), {}, (2, 3, 10)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 3, 10, 9)),
    ("MaxPool2d", ((3, 2),), {"stride": (2, 1), "dilation": (1, 2)}, (2, 3, 10, 9)),
    ("MaxPool3d", (2,), {}, (2, 3, 4, 6, 5)),
    ("AvgPool1d", (3,), {"stride": 2}, (2, 3, 10)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (2, 3, 10, 9)),
    ("AvgPool3d", ((2, 3, 1),), {"divisor_override": 5}, (2, 3, 4, 6, 5)),
    ("LPPool1d", (2, 3), {}, (2, 3, 10)),
    ("LPPool2d", (3, 2), {"stride": 1, "ceil_mode": True}, (2, 3, 10, 9)),
    ("LPPool3d", (2, 2), {}, (2, 3, 4, 6, 5)),
    ("AdaptiveMaxPool1d", (4,), {}, (2, 3, 10)),
    ("AdaptiveMaxPool2d", ((4, None),), {}, (2, 3, 10, 9)),
    ("AdaptiveMaxPool3d", (3,), {}, (2, 3, 4, 6, 5)),
    ("AdaptiveAvgPool1d", (4,), {}, (2, 3, 10)),
    ("AdaptiveAvgPool2d", ((4, None),), {}, (2, 3, 10, 9)),
    ("AdaptiveAvgPool3d", (1,), {}, (2, 3, 4, 6, 5)),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 5)),
    ("Upsample", (), {"size": (7, 9), "mode": "bilinear"}, (2, 3, 5, 4)),
    ("Upsample", (), {"scale_factor": (1.5, 2), "mode": "bicubic"}, (2, 3, 5, 4)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (2, 3, 5, 4)),
    ("UpsamplingBilinear2d", (), {"size": 8}, (2, 3, 5, 4)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 6)),
    ("ChannelShuffle", (2,), {}, (2, 6, 4, 3)),
    ("ConstantPad1d", (2, 1.5), {}, (2, 3, 5)),
    ("ConstantPad2d", ((1, -1, 2, 0), 0.5), {}, (2, 3, 5, 4)),
    ("ConstantPad3d", (1, 0), {}, (2, 3, 2, 3, 4)),
    ("ZeroPad1d", (2,), {}, (2, 3, 5)),
    ("ZeroPad2d", (2,), {}, (2, 3, 5, 4)),
    ("ZeroPad3d", (1,), {}, (2, 3, 2, 3, 4)),
    ("ReflectionPad1d", (2,), {}, (2, 3, 5)),
    ("ReflectionPad2d", ((1, 2, 3, 0),), {}, (2, 3, 5, 4)),
    ("ReflectionPad3d", (1,), {}, (2, 3, 2, 3, 4)),
    ("ReplicationPad1d", (2,), {}, (2, 3, 5)),
    ("ReplicationPad2d", ((1, 2, 3, 0),), {}, (2, 3, 5, 4)),
    ("ReplicationPad3d", (1,), {}, (2, 3, 2, 3, 4)),
    ("CircularPad1d", (2,), {}, (2, 3, 5)),
    ("CircularPad2d", ((1, 2, 3, 0),), {}, (2, 3, 5, 4)),
    ("CircularPad3d", (1,), {}, (2, 3, 2, 3, 4)),
    ("Unfold", (3,), {"padding": 1, "stride": 2}, (2, 3, 7, 6)),
    ("Fold", ((7, 6), 3), {"padding": 1, "stride": 2}, (2, 27, 12)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layer(name, args, options, shape):
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).standard_normal(shape)
    a, b = fastnn.from_numpy(x).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
    y, z = ours(a), theirs(b)
    dy = np.random.default_rng(1).standard_normal(tuple(z.shape))
    y.backward(fastnn.from_numpy(dy))
    z.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), 1e-10, 1e-10)
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), 1e-10, 1e-10)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpool_layer(n):
    shape = (2, 3, 8, 6, 4)[: n + 2]
    x = np.random.default_rng(0).standard_normal(shape)
    results = []
    for lib in (fastnn, torch):
        t = lib.from_numpy(x.copy())
        pool = getattr(lib.nn, f"MaxPool{n}d")(2, return_indices=True)
        unpool = getattr(lib.nn, f"MaxUnpool{n}d")(2)
        results.append((repr(unpool), unpool(*pool(t)).numpy()))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_layer(n):
    shape = (2, 3, 9, 11, 8)[: n + 2]
    rng = np.random.default_rng(0)
    x, samples = rng.standard_normal(shape), rng.random((2, 3, n))
    results = []
    for lib in (fastnn, torch):
        layer = getattr(lib.nn, f"FractionalMaxPool{n}d")(
            2, output_size=4, return_indices=True, _random_samples=lib.from_numpy(samples)
        )
        results.append([repr(layer), *(t.numpy() for t in layer(lib.from_numpy(x)))])
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])
    assert np.array_equal(results[0][2], results[1][2])


@pytest.mark.parametrize("channels_last", [False, True])
def test_nan_positions(channels_last):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 12, 14)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    t = torch.from_numpy(x.copy())
    if channels_last:
        t = t.to(memory_format=torch.channels_last)
    want = torch.nn.functional.max_pool2d(t, 3, 2, 1, return_indices=True)
    mine = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if channels_last else x
    got = nn.functional.max_pool2d(fastnn.from_numpy(mine), 3, 2, 1, return_indices=True)
    assert np.array_equal(got[0].numpy(), want[0].numpy(), equal_nan=True)
    assert np.array_equal(got[1].numpy(), want[1].numpy())
