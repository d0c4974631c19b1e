"""What tests of inference share: convolutions with batch norms behind them, and what they should give."""

import threading

import numpy as np

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

CONVOLUTIONS = {
    "winograd": (lambda: nn.Conv2d(32, 40, 3, padding=1), (2, 32, 18, 15)),
    "filters": (lambda: nn.Conv2d(20, 33, 3, padding=1, bias=False), (2, 20, 9, 8)),
    "filters, stride": (lambda: nn.Conv2d(64, 48, 3, 2, 1), (1, 64, 21, 20)),
    "pointwise": (lambda: nn.Conv2d(100, 50, 1, bias=False), (2, 100, 9, 7)),
    "pointwise, stride": (lambda: nn.Conv2d(48, 70, 1, 2), (1, 48, 31, 28)),
    "depthwise": (lambda: nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), (1, 32, 9, 20)),
    "groups": (lambda: nn.Conv2d(24, 36, 3, dilation=2, groups=3), (1, 24, 9, 8)),
    "a channel": (lambda: nn.Conv2d(3, 1, 3), (1, 3, 9, 8)),
    "1d": (lambda: nn.Conv1d(64, 96, 3, padding=1), (2, 64, 50)),
    "3d": (lambda: nn.Conv3d(8, 24, 3, padding=1, bias=False), (1, 8, 5, 9, 9)),
}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
SOURCES = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]


def seen(bn):
    """A batch norm after some training."""
    if bn.running_mean is not None:
        bn.running_mean.uniform_(-1, 1)
        bn.running_var.uniform_(0.3, 2)
    if bn.affine:
        bn.weight.data.uniform_(-2, 2)
        bn.bias.data.uniform_(-1, 1)
    return bn


def model_and_image(name, *after, dtype=fastnn.float32, **options):
    make, shape = CONVOLUTIONS[name]
    conv = make()
    bn = seen(NORMS[conv.dims](conv.out_channels, **options))
    model = nn.Sequential(conv, bn, *after).to(dtype).eval().requires_grad_(False)
    return model, fastnn.randn(shape).to(dtype)


def array(tensor):
    """A copy in float64, without the export that the tensor's own numpy() would count."""
    return None if tensor is None else tensor.detach().clone().double().numpy()


def by_formula(model, x):
    conv, bn = model[0], model[1]
    images = [None if t is None else fastnn.tensor(array(t)) for t in (x, conv.weight, conv.bias)]
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[conv.dims]
    y = function(*images, conv.stride, conv.padding, conv.dilation, conv.groups).numpy()
    channels = (1, -1) + (1,) * conv.dims
    scale = 1 / np.sqrt(array(bn.running_var) + bn.eps)
    y = (y - array(bn.running_mean).reshape(channels)) * scale.reshape(channels)
    if bn.weight is not None:
        y = y * array(bn.weight).reshape(channels) + array(bn.bias).reshape(channels)
    return np.maximum(y, 0) if type(model[-1]) is nn.ReLU else y


def check(model, x, tolerance=1e-5):
    y = model(x)
    wanted = by_formula(model, x)
    near = tolerance * np.abs(wanted).max(initial=1)
    np.testing.assert_allclose(y.double().numpy(), wanted, tolerance, near)
    return y.numpy()


def folded(model):
    return model[1]._folded.bytes


def one_by_one(model, x):
    for m in model:
        x = m(x)
    return x


def check_apart(model, x):
    """The two layers run one after the other."""
    np.testing.assert_array_equal(model(x).numpy(), one_by_one(model, x).numpy())
    assert folded(model) == 0


def tensor_of(model, source):
    place, name = source.split(".")
    return getattr(model[int(place)], name)


def run_while(model, x, change):
    """Calls the model from several threads while this one changes what it reads."""
    errors = []

    def run():
        try:
            for _ in range(30):
                assert model(x).isfinite().all()
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(30):
        change()
    for t in threads:
        t.join()
    assert not errors
