"""A batch norm that is folded into the convolution before it: whatever it was made of may change, and is seen."""

import copy
import ctypes
import itertools
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from tests.nn.inference import (
    SOURCES,
    check,
    folded,
    model_and_image,
    one_by_one,
    run_while,
    tensor_of,
)


def test_nothing_is_folded_twice():
    """So a write that nobody can see, through an address from before the first call, does not count."""
    model, x = model_and_image("winograd")
    weight = model[0].weight
    address, values = weight.data_ptr(), np.ones(weight.shape, np.float32)
    y = check(model, x)
    ctypes.memmove(address, values.ctypes.data, values.nbytes)
    np.testing.assert_array_equal(model(x).numpy(), y)
    weight.mul_(1)
    assert (check(model, x) != y).any()


def other(t):
    """Positive, as a variance has to be."""
    return fastnn.rand(t.shape) + 0.5


def multiplied(model, source):
    tensor_of(model, source).mul_(1.5)


def through_data(model, source):
    t = tensor_of(model, source)
    t.data.copy_(other(t))


def through_view(model, source):
    tensor_of(model, source)[3].add_(2)


def through_array(model, source):
    tensor_of(model, source).numpy()[:] *= 2


def through_array_of_view(model, source):
    tensor_of(model, source).detach()[1:].numpy()[:] *= 2


def through_dlpack(model, source):
    np.from_dlpack(tensor_of(model, source))[:] *= 2


def loaded(model, source):
    state = {k: v.clone() for k, v in model.state_dict().items()}
    state[source] = other(state[source])
    model.load_state_dict(state)


def assigned(model, source):
    state = model.state_dict()
    state[source] = other(state[source])
    model.load_state_dict(state, assign=True)


def new_array(model, source):
    t = tensor_of(model, source)
    t.data = other(t)


def new_tensor(model, source):
    place, name = source.split(".")
    fields = model[int(place)]
    t = other(getattr(fields, name))
    setattr(fields, name, t if name.startswith("running") else nn.Parameter(t, requires_grad=False))


def through_another_parameter(model, source):
    twin = nn.Parameter(tensor_of(model, source), requires_grad=False)
    twin *= 2


def through_address(model, source):
    t = tensor_of(model, source)
    values = other(t).numpy()
    ctypes.memmove(t.data_ptr(), values.ctypes.data, values.nbytes)


CHANGES = [
    multiplied, through_data, through_view, through_array, through_array_of_view, through_dlpack, loaded, assigned,
    new_array, new_tensor, through_another_parameter, through_address,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["winograd", "groups"])
def test_changes_are_seen(name, source, change):
    model, x = model_and_image(name)
    before = check(model, x)
    for _ in range(2):
        change(model, source)
        after = check(model, x)
        assert (after != before).any()
        before = after
    assert folded(model) > 0


@pytest.mark.parametrize("source", SOURCES)
def test_a_tensor_that_is_gone(source):
    model, x = model_and_image("winograd")
    check(model, x)
    place, name = source.split(".")
    if name.startswith("running"):
        model[1].running_mean = model[1].running_var = None
        np.testing.assert_array_equal(model(x).numpy(), one_by_one(model, x).numpy())
        return
    setattr(model[int(place)], name, None)
    if source != "0.weight":
        wanted = one_by_one(model, x).numpy()
        np.testing.assert_allclose(model(x).numpy(), wanted, 1e-5, 1e-5)
        assert folded(model) > 0


@pytest.mark.parametrize("source", SOURCES)
def test_an_array_that_somebody_holds(source):
    model, x = model_and_image("winograd")
    before = check(model, x)
    held = tensor_of(model, source).numpy()
    for _ in range(2):
        held *= 1.5
        after = check(model, x)
        assert (after != before).any() and folded(model) == 0
        before = after
    del held
    check(model, x)
    assert folded(model) > 0


def test_a_state_that_somebody_holds():
    """The folded weights are made for every call: the same bits as those that are kept."""
    model, x = model_and_image("winograd", nn.ReLU())
    kept = check(model, x)
    state = model.state_dict()
    for _ in range(2):
        np.testing.assert_array_equal(model(x).numpy(), kept)
        assert folded(model) == 0
    for t in state.values():
        t.mul_(2)
        assert (check(model, x) != kept).any() and folded(model) == 0
    del state, t
    check(model, x)
    assert folded(model) > 0


def unit(i, o, k, groups=1):
    return nn.Conv2d(i, o, k, padding=k // 2, groups=groups), nn.BatchNorm2d(o)


@pytest.mark.parametrize(
    "shape", [(2, 32, 5, 5), (1, 32, 7, 7), (2, 32, 30, 30), (1, 40, 80, 80)], ids=str
)
@pytest.mark.parametrize("taps", [1, 3])
def test_same_bits_whoever_holds_an_array(taps, shape):
    """Also of images so small that only kept weights could pay for another kernel, and where layers run together."""
    c = shape[1]
    model = nn.Sequential(
        *unit(c, 6 * c, taps),
        nn.ReLU6(),
        *unit(6 * c, 6 * c, 3, 6 * c),
        nn.ReLU6(),
        *unit(6 * c, c, 1),
    ).eval()
    x = fastnn.randn(shape)
    with fastnn.no_grad():
        kept = model(x).numpy()
        for hold in (
            nn.Module.state_dict,
            lambda m: m[3].weight.detach(),
            lambda m: m[7].running_var.numpy(),
        ):
            held = hold(model)
            np.testing.assert_array_equal(model(x).numpy(), kept)
            del held


@pytest.mark.parametrize("source", SOURCES)
def test_a_tensor_wrapped_again(source):
    """The same array, whose writes another counter counts, perhaps up to the same number."""
    place, name = source.split(".")
    wrap = nn.Buffer if name.startswith("running") else lambda t: nn.Parameter(t, False)
    for writes in range(4):
        model, x = model_and_image("winograd")
        model = copy.deepcopy(model)
        before = check(model, x)
        fields = model[int(place)]
        setattr(fields, name, wrap(getattr(fields, name).mul_(2)))
        for _ in range(writes):
            getattr(fields, name).mul_(1.5)
        assert (check(model, x) != before).any()


def test_eps_may_change():
    model, x = model_and_image("winograd")
    for model[1].eps in (1e-5, 0.5, 1e-3, 0):
        check(model, x)


def test_training_goes_on():
    model, x = model_and_image("winograd", nn.ReLU())
    model.requires_grad_()
    steps = [
        optim.SGD(model.parameters(), 0.1, momentum=0.9),
        optim.Adam(model.parameters(), 0.05),
    ]
    seen = []
    for step in (*steps, *steps):
        with fastnn.no_grad():
            seen.append(check(model.eval(), x))
        assert folded(model) > 0
        model.train()
        assert folded(model) == 0
        model.zero_grad()
        model(x).square().mean().backward()
        step.step()
    assert all((a != b).any() for a, b in itertools.pairwise(seen))


def test_statistics_that_training_updates():
    """With weights that stay as they are, and without train(), which lets go of what is folded."""
    model, x = model_and_image("winograd")
    before = check(model, x)
    model[1].training = True
    with fastnn.no_grad():
        model[1](model[0](x) + 3)
    model[1].training = False
    assert (check(model, x) != before).any()


def test_copies():
    model, x = model_and_image("winograd")
    y = check(model, x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert folded(again) == 0 and set(again.state_dict()) == set(model.state_dict())
        again[1].running_mean.add_(1)
        assert (check(again, x) != y).any()
    np.testing.assert_array_equal(model(x).numpy(), y)


def test_several_threads_while_sources_change():
    model, x = model_and_image("winograd")

    def change():
        model[0].weight.mul_(1.01)
        model[1].running_mean.add_(0.01)

    run_while(model, x, change)
    check(model, x)
