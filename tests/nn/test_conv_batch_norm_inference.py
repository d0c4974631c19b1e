"""A batch norm in evaluation mode behind a convolution is folded into it where a Sequential wants no gradient: whatever
it was made of may change, and is seen."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn
from tests.backends import isa, num_threads
from tests.nn.inference import (
    CONVOLUTIONS,
    SOURCES,
    check,
    check_apart,
    folded,
    model_and_image,
    one_by_one,
    seen,
    tensor_of,
)


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize("after", [[], [nn.ReLU()]], ids=["", "relu"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_values(name, after, dtype):
    model, x = model_and_image(name, *after, dtype=dtype)
    tolerance = 1e-5 if dtype is fastnn.float32 else 1e-13
    for _ in range(2):
        check(model, x, tolerance)
        assert folded(model) >= model[0].weight.nbytes
    check(model, x[0:0], tolerance)
    if x.dim() == 4:
        check(model, x.contiguous(memory_format=fastnn.channels_last), tolerance)
        check(model, x[:, :, 1:, :-1], tolerance)


@pytest.mark.parametrize("level", fastnn._core.isa_levels())
@pytest.mark.parametrize("name", ["winograd", "pointwise", "depthwise"])
def test_values_at_every_level(name, level):
    model, x = model_and_image(name)
    check(model, x)
    with isa(level):
        check(model, x)


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}, {"eps": 0.3}], ids=str)
def test_other_norms(options):
    make, shape = CONVOLUTIONS["filters"]
    bn = nn.BatchNorm2d(33, **options)
    bn.running_mean.uniform_(-1, 1)
    model, x = nn.Sequential(make(), bn).eval(), fastnn.randn(shape)
    with fastnn.no_grad():
        wanted = one_by_one(model, x).numpy()
        np.testing.assert_allclose(model(x).numpy(), wanted, 1e-5, 1e-5)
    assert folded(model) > 0


def test_weights_of_other_strides():
    model, x = model_and_image("winograd")
    weight = model[0].weight
    for memory in (
        weight.contiguous(memory_format=fastnn.channels_last),
        weight.transpose(0, 1).clone().transpose(0, 1),
    ):
        model[0].weight = nn.Parameter(memory, requires_grad=False)
        check(model, x)


def test_same_bits_for_every_number_of_threads():
    model, x = model_and_image("winograd", nn.ReLU())
    y = model(x).numpy()
    for n in (1, 2, 3):
        with num_threads(n):
            np.testing.assert_array_equal(model(x).numpy(), y)
            np.testing.assert_array_equal(copy.deepcopy(model)(x).numpy(), y)


def test_gradients():
    model, x = model_and_image("winograd")
    model.requires_grad_()
    y = model(x)
    assert y.requires_grad and folded(model) == 0
    with fastnn.no_grad():
        check(model, x)
    y = model(x)
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    for source in SOURCES[:4]:
        model.requires_grad_(False)
        tensor_of(model, source).requires_grad_()
        assert model(x).requires_grad
    model.requires_grad_(False)
    assert model(x.clone().requires_grad_()).requires_grad


def test_other_types():
    model, x = model_and_image("winograd")
    check(model, x)
    check(model.double(), x.double(), 1e-13)
    check(model.float(), x)
    for dtype in (fastnn.bfloat16, fastnn.float16):
        check_apart(copy.deepcopy(model).to(dtype), x.to(dtype))


# ---- Where the layers run one after the other ----


def test_hooks():
    for layer in (0, 1):
        model, x = model_and_image("winograd")
        check(model, x)
        seen = []
        handle = model[layer].register_forward_hook(
            lambda m, args, y, seen=seen: seen.append(y.shape)
        )
        y = model(x).numpy()
        np.testing.assert_array_equal(y, one_by_one(model, x).numpy())
        assert seen == [(2, 40, 18, 15)] * 2
        handle.remove()
        check(model, x)
        assert len(seen) == 2


def test_forward_of_its_own():
    model, x = model_and_image("winograd")
    check(model, x)
    model[1].forward = lambda x: x + 1
    np.testing.assert_array_equal(model(x).numpy(), (model[0](x) + 1).numpy())

    class Mine(nn.BatchNorm2d):
        def forward(self, x):
            return x + 2

    model[1] = Mine(40).eval()
    np.testing.assert_array_equal(model(x).numpy(), (model[0](x) + 2).numpy())


def test_statistics_of_the_batch():
    model, x = model_and_image("winograd", track_running_stats=False)
    check_apart(model, x)
    model, x = model_and_image("winograd")
    check(model, x)
    model[1].train()
    before = model[1].running_mean.clone()
    wanted = one_by_one(copy.deepcopy(model), x).numpy()
    np.testing.assert_array_equal(model(x).numpy(), wanted)
    assert (model[1].running_mean != before).any() and folded(model) == 0


def test_what_lies_between():
    model, x = model_and_image("winograd")
    for layers in (
        [model[0], nn.Identity(), model[1]],
        [model[0], nn.Sequential(model[1])],
        [nn.utils.inference.Activated(model[0], nn.ReLU()), model[1]],
    ):
        apart = nn.Sequential(*layers)
        np.testing.assert_array_equal(apart(x).numpy(), one_by_one(layers, x).numpy())


def test_layers_in_several_places():
    """A convolution with a norm for each level, and a norm behind several convolutions."""
    model, x = model_and_image("winograd")
    other = nn.Sequential(model[0], seen(nn.BatchNorm2d(40)).eval()).requires_grad_(False)
    for _ in range(2):
        for m in (model, other):
            check(m, x)
            assert folded(m) > 0
    third = nn.Sequential(nn.Conv2d(32, 40, 3, padding=1), model[1]).requires_grad_(False)
    for _ in range(2):
        for m in (model, third):
            check(m, x)


def test_errors_are_the_layers_own():
    wrong = {
        "channels": (nn.BatchNorm2d(4), (1, 3, 9, 8)),
        "dimensions": (nn.BatchNorm1d(5), (1, 3, 9, 8)),
        "no batch": (nn.BatchNorm2d(5), (3, 9, 8)),
        "image": (nn.BatchNorm2d(5), (1, 4, 9, 8)),
        "type": (nn.BatchNorm2d(5).double(), (1, 3, 9, 8)),
    }
    for name, (bn, shape) in wrong.items():
        model, x = nn.Sequential(nn.Conv2d(3, 5, 3), bn.eval()), fastnn.randn(shape)
        with fastnn.no_grad():
            try:
                wanted = one_by_one(model, x)
            except Exception as alone:
                with pytest.raises(type(alone)) as inside:
                    model(x)
                assert str(inside.value) == str(alone)
            else:
                assert name == "type"
                np.testing.assert_array_equal(model(x).numpy(), wanted.numpy())
