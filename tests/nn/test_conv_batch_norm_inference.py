"""A batch norm in evaluation mode behind a convolution is folded into it where a Sequential wants no gradient: whatever
it was made of may change, and is seen."""

import copy
import ctypes
import itertools
import pickle
import threading

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.nn import functional as F
from tests.backends import isa, num_threads

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


# ---- Changes ----


def tensor_of(model, source):
    place, name = source.split(".")
    return getattr(model[int(place)], name)


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


def test_copies():
    model, x = model_and_image("winograd")
    y = check(model, x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert folded(again) == 0 and set(again.state_dict()) == set(model.state_dict())
        again[1].running_mean.add_(1)
        assert (check(again, x) != y).any()
    np.testing.assert_array_equal(model(x).numpy(), y)


def test_other_types():
    model, x = model_and_image("winograd")
    check(model, x)
    check(model.double(), x.double(), 1e-13)
    check(model.float(), x)
    for dtype in (fastnn.bfloat16, fastnn.float16):
        check_apart(copy.deepcopy(model).to(dtype), x.to(dtype))


def test_several_threads_while_sources_change():
    model, x = model_and_image("winograd")
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
        model[0].weight.mul_(1.01)
        model[1].running_mean.add_(0.01)
    for t in threads:
        t.join()
    assert not errors
    check(model, x)


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
