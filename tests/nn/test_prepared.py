"""Weights that fuse_for_inference's layers keep laid out for their kernels: whatever changes them is seen."""

import copy
import ctypes

import numpy as np
import pytest

import fastnn
from fastnn import _core, nn
from fastnn.nn import functional as F
from tests.backends import isa
from tests.nn.inference import run_while

# in, out, kernel, stride, padding, dilation, groups, image: few and many tiles, panels that are not full,
# several blocks of channels.
CONVOLUTIONS = {
    "winograd": (32, 40, 3, 1, 1, 1, 1, (2, 32, 18, 15)),
    "winograd, few tiles": (64, 64, 3, 1, 1, 1, 1, (1, 64, 8, 7)),
    "winograd, groups": (64, 70, 3, 1, 1, 1, 2, (1, 64, 15, 15)),
    "winograd, 5x5": (32, 70, 5, 1, 2, 1, 1, (2, 32, 18, 15)),
    "winograd, stride": (80, 40, 4, 2, 1, 1, 1, (3, 80, 33, 30)),
    "filters": (20, 33, 3, 1, 1, 1, 1, (2, 20, 9, 8)),
    "filters, stride": (64, 48, 3, 2, 1, 1, 1, (1, 64, 21, 20)),
    "filters, 5x3": (48, 102, (5, 3), 1, (2, 1), 1, 3, (1, 48, 7, 7)),
    "filters, dilation": (48, 40, 3, 1, 2, 2, 1, (3, 48, 14, 14)),
    "filters, large": (8, 40, 3, 1, 1, 1, 1, (1, 8, 60, 70)),
    "pointwise": (100, 50, 1, 1, 0, 1, 1, (2, 100, 9, 7)),
    "pointwise, blocks": (400, 33, 1, 1, 0, 1, 1, (1, 400, 14, 14)),
    "pointwise, groups": (192, 70, 1, 1, 0, 1, 2, (1, 192, 7, 7)),
    "pointwise, stride": (48, 70, 1, 2, 0, 1, 1, (1, 48, 31, 28)),
    "pointwise, few columns": (40, 64, 1, 2, 0, 1, 1, (2, 40, 15, 5)),
    "pointwise, long rows": (32, 40, 1, 2, 0, 1, 1, (1, 32, 5, 501)),
    "pointwise, few pixels": (120, 40, 1, 1, 0, 1, 1, (3, 120, 2, 2)),
    "direct, filters shared out": (3, 36, 3, 1, 1, 1, 1, (1, 3, 33, 32)),
    "direct, stride": (3, 12, 5, 2, 2, 1, 1, (2, 3, 40, 63)),
    "direct, few filters": (16, 3, 3, 1, 1, 1, 1, (1, 16, 20, 30)),
    "as it lies": (24, 40, 1, 1, 0, 1, 1, (2, 24, 9, 7)),
    "depthwise": (32, 32, 3, 1, 1, 1, 32, (1, 32, 9, 20)),
}  # fmt: skip
LAID_OUT = [
    name for name in CONVOLUTIONS if name.startswith(("winograd", "filters", "pointwise", "direct"))
]
ONE_OF_EACH = ["winograd", "filters, stride", "pointwise", "direct, filters shared out"]
TWO_LAYOUTS = (64, 64, 3, 1, 1, 1, 1)


def layer_of(arguments, dtype=fastnn.float32):
    i, o, kernel, stride, padding, dilation, groups = arguments
    layer = nn.Conv2d(i, o, kernel, stride, padding, dilation, groups)
    return nn.utils.fuse_for_inference(nn.Sequential(layer).to(dtype))


def layer_and_image(name, dtype=fastnn.float32):
    *arguments, shape = CONVOLUTIONS[name]
    return layer_of(arguments, dtype), fastnn.randn(shape).to(dtype)


def by_formula(model, x):
    c = model[0]
    arrays = [t.detach().double() for t in (x, c.weight, c.bias)]
    return F.conv2d(*arrays, c.stride, c.padding, c.dilation, c.groups).numpy()


def check(model, x, tolerance=2e-5):
    y = model(x)
    wanted = by_formula(model, x)
    near = tolerance * np.nanmax(np.abs(wanted), initial=1)
    np.testing.assert_allclose(y.double().numpy(), wanted, tolerance, near)
    return y


def prepared(model):
    return model[0].__dict__["_prepared"].bytes


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64, fastnn.bfloat16, fastnn.float16])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_values(name, dtype):
    model, x = layer_and_image(name, dtype)
    tolerance = {2: 0.03, 4: 2e-5, 8: 1e-12}[x.element_size()]
    for _ in range(2):
        check(model, x, tolerance)
        check(model, x.contiguous(memory_format=fastnn.channels_last), tolerance)
        check(model, x[0:1, :, 1:, :-1], tolerance)
    check(model, x[0:0], tolerance)


OTHER_DIMENSIONS = {
    "1d": (nn.Conv1d(64, 96, 3, padding=1), F.conv1d, (2, 64, 50)),
    "1d, pointwise": (nn.Conv1d(128, 96, 1, 2), F.conv1d, (2, 128, 51)),
    "3d": (nn.Conv3d(32, 48, 3, padding=1), F.conv3d, (1, 32, 5, 9, 9)),
    "3d, flat": (nn.Conv3d(64, 48, (1, 3, 3), padding=(0, 1, 1)), F.conv3d, (1, 64, 1, 15, 15)),
}


@pytest.mark.parametrize("name", OTHER_DIMENSIONS)
def test_other_dimensions(name):
    layer, function, shape = OTHER_DIMENSIONS[name]
    model, x = nn.utils.fuse_for_inference(nn.Sequential(layer)), fastnn.randn(shape)
    wanted = function(
        x.double(), layer.weight.double(), layer.bias.double(), layer.stride, layer.padding
    )
    for _ in range(2):
        np.testing.assert_allclose(model(x).numpy(), wanted.detach().numpy(), 2e-5, 2e-5)


@pytest.mark.skipif(fastnn._core.isa() == "reference", reason="the reference lays nothing out")
@pytest.mark.parametrize("name", LAID_OUT)
def test_same_bits_prepared_or_not_and_for_every_number_of_threads(name):
    model, x = layer_and_image(name)
    y = model(x).numpy()
    held = model[0].weight.numpy()  # somebody may write to it: not to be relied upon
    assert prepared(model) > 0
    before = fastnn.get_num_threads()
    for n in (1, 2, 3):
        fastnn.set_num_threads(n)
        np.testing.assert_array_equal(model(x).numpy(), y)
        np.testing.assert_array_equal(copy.deepcopy(model)(x).numpy(), y)
    fastnn.set_num_threads(before)
    held *= 2
    check(model, x)


def double(model):
    model[0].weight.mul_(2)


def through_data(model):
    model[0].weight.data.copy_(model[0].weight * 2)


def through_view(model):
    model[0].weight[3].zero_()


def through_array(model):
    model[0].weight.numpy()[:] *= 2


def through_array_of_view(model):
    model[0].weight.detach()[1:].numpy()[:] *= 2


def through_dlpack(model):
    np.from_dlpack(model[0].weight)[:] *= 2


def loaded(model):
    model.load_state_dict({k: v * 2 for k, v in model.state_dict().items()})


def new_array(model):
    model[0].weight.data = fastnn.from_numpy(np.ones(model[0].weight.shape, np.float32))


def new_parameter(model):
    model[0].weight = nn.Parameter(fastnn.randn(*model[0].weight.shape), requires_grad=False)


def through_parameter(model):
    """A tensor on the same memory that counts its own writes, and is gone at the next call."""
    other = nn.Parameter(model[0].weight, requires_grad=False)
    other *= 2


def through_buffer(model):
    other = nn.Buffer(model[0].weight.data)
    other *= 2


def through_data_of_another(model):
    other = fastnn.zeros(1)
    other.data = model[0].weight.data
    other *= 2


def through_address(model):
    weight = model[0].weight
    array = np.random.default_rng().standard_normal(weight.shape).astype(np.float32)
    ctypes.memmove(weight.data_ptr(), array.ctypes.data, array.nbytes)


CHANGES = [
    double, through_data, through_view, through_array, through_array_of_view, through_dlpack, loaded, new_array,
    new_parameter, through_parameter, through_buffer, through_data_of_another, through_address,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_changes_are_seen(name, change):
    model, x = layer_and_image(name)
    before = check(model, x)
    for _ in range(2):
        change(model)
        assert (check(model, x) != before).any()
        check(model, x)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_weight_wrapped_again(name):
    """The same array, whose writes another counter counts, perhaps up to the same number."""
    for writes in range(4):
        model, x = layer_and_image(name)
        model = copy.deepcopy(model)
        before = check(model, x)
        model[0].weight = nn.Parameter(model[0].weight.mul_(2), requires_grad=False)
        for _ in range(writes):
            model[0].weight.mul_(1.5)
        assert (check(model, x) != before).any()


def test_the_stride_may_change():
    """Both ways need as many products for each filter, in another order."""
    model, x = layer_of((32, 64, 5, 1, 2, 1, 1)), fastnn.randn(2, 32, 40, 40)
    for stride in (1, 2, 1):
        model[0].stride = (stride, stride)
        check(model, x)


def test_the_instruction_set_may_change():
    model = layer_of((32, 64, 5, 1, 2, 1, 1))
    x = fastnn.randn(1, 32, 12, 12)
    for level in [*_core.isa_levels()[1:], *reversed(_core.isa_levels()[1:])]:
        with isa(level):
            check(model, x)


def test_an_array_that_somebody_holds():
    model, x = layer_and_image("winograd")
    array = np.random.default_rng(1).standard_normal(model[0].weight.shape).astype(np.float32)
    model[0].weight = nn.Parameter(fastnn.from_numpy(array), requires_grad=False)
    for _ in range(3):
        check(model, x)
        array += 1
    model, x = layer_and_image("winograd")
    twin = model[0].weight.detach()
    for _ in range(3):
        check(model, x)
        twin += 1


def test_attributes_and_images_may_change():
    model = layer_of(TWO_LAYOUTS)
    for size in (3, 30, 7, 30, 12, 3):
        check(model, fastnn.randn(1, 64, size, size))
    x = fastnn.randn(2, 64, 20, 20)
    for model[0].stride, model[0].dilation in (
        ((2, 2), (1, 1)),
        ((1, 1), (2, 1)),
        ((1, 1), (1, 1)),
    ):
        check(model, x)
    model[0].groups = 2
    model[0].weight = nn.Parameter(fastnn.randn(64, 32, 3, 3), requires_grad=False)
    check(model, x)


def test_not_a_number_stays_where_it_is():
    model, x = layer_and_image("winograd")
    x[0, 3, 5, 5] = float("nan")
    y = model(x)
    assert (
        int(y.isnan().sum()) == 9 * 40
        and (y.isnan().numpy() == np.isnan(by_formula(model, x))).all()
    )
    check(model, x.nan_to_num())


def test_gradients_and_training():
    model, x = layer_and_image("winograd")
    model(x)
    model.requires_grad_().train()
    for _ in range(2):
        y = model(x)
        y.sum().backward()
        with fastnn.no_grad():
            model[0].weight.sub_(model[0].weight.grad * 0.01)
            check(model, x)


def test_state_is_what_it_was():
    plain = nn.Sequential(nn.Conv2d(32, 40, 3), nn.ReLU())
    fused = nn.utils.fuse_for_inference(plain)
    x = fastnn.randn(1, 32, 20, 20)
    fused(x)
    assert set(fused.state_dict()) == {"0.layer.weight", "0.layer.bias"}
    copied = copy.deepcopy(fused)
    assert copied[0].layer.__dict__["_prepared"].bytes == 0
    np.testing.assert_array_equal(copied(x).numpy(), fused(x).numpy())


def test_several_threads_while_the_weight_changes():
    model, x = layer_and_image("winograd")
    run_while(model, x, lambda: model[0].weight.mul_(1.01))
    check(model, x)
