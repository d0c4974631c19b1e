"""Normalisations on Tensors."""

import functools

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F
from tests.cases import norm as cases
from tests.harness import CEILINGS, check_gradients, check_op, check_raises, error_of
from tests.reference import norm as reference

OPS = {
    "batch_norm": cases.BATCH,
    "layer_norm": cases.LAYER,
    "rms_norm": cases.RMS,
    "group_norm": cases.GROUP,
    "instance_norm": cases.INSTANCE,
    "local_response_norm": cases.LOCAL_RESPONSE,
}
ALL = [(name, case) for name, group in OPS.items() for case in group]


def functions(name):
    forward, backward = (getattr(reference, f"{name}_{d}") for d in ("forward", "backward"))
    return getattr(F, name), forward, backward


@pytest.mark.parametrize(("name", "case"), ALL, ids=str)
def test_against_the_reference(name, case):
    check_op(*functions(name), case, ceilings="norm")


@pytest.mark.parametrize(("name", "case"), [c for c in ALL if 0 not in c[1].shapes[0]], ids=str)
def test_gradients(name, case):
    arrays = case.inputs()
    wanted = [i for i, a in enumerate(arrays) if a is not None and a.dtype == np.float64]
    if name in ("batch_norm", "instance_norm"):
        wanted = [i for i in wanted if i not in (1, 2)]
    check_gradients(getattr(F, name), case, wanted=tuple(wanted), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "case"), [a for a in ALL if a[1].full], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types(name, case, dtype):
    check_op(*functions(name), case, dtypes=(dtype,))


SIZES = [(3, 5, 2, 2), (2, 300, 3, 5), (64, 7), (1500, 20), (2, 3, 61, 67), (9, 1, 8, 8), (70, 513)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_the_same_in_both_memory_formats(shape, training, rng):
    """Sizes above and below the tiles of channels and the blocks of rows."""
    arrays = [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]
    vectors = [rng.random(shape[1]).astype(np.float32) + 0.5 for _ in range(4)]
    op = functools.partial(F.batch_norm, training=training)
    want = run_batch(op, arrays, vectors)
    moved = [np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) for a in arrays]
    got = run_batch(op, moved, vectors)
    if shape[1] > 1:
        assert got["y"].strides == got["dx"].strides == moved[0].strides
    mixed = run_batch(op, [moved[0], arrays[1]], vectors)
    x, dy = (a.astype(np.float64) for a in arrays)
    running = [v.astype(np.float64) for v in vectors[:2]]
    args = (x, *running, *vectors[2:])
    exact = {"y": reference.batch_norm_forward(*args, training=training)}
    grads = reference.batch_norm_backward(dy, *args, training=training)
    exact |= {"dx": grads[0], "dw": grads[3], "db": grads[4]}
    forward, backward = CEILINGS["norm"]
    # A channel's sums may cancel, and one channel has no larger one to be measured by.
    bars = {"y": forward, "dx": backward, "dw": 4 * backward, "db": 4 * backward}
    for key, bar in bars.items():
        for result in (want, got, mixed):
            assert error_of(result[key], exact[key])[0] <= bar, key


def run_batch(op, arrays, vectors):
    x = fastnn.from_numpy(arrays[0]).requires_grad_()
    mean, var, weight, bias = (fastnn.tensor(v) for v in vectors)
    weight.requires_grad_()
    bias.requires_grad_()
    y = op(x, mean, var, weight, bias)
    y.backward(fastnn.from_numpy(arrays[1]))
    tensors = {"y": y, "dx": x.grad, "dw": weight.grad, "db": bias.grad, "mean": mean, "var": var}
    return {k: t.detach().numpy() for k, t in tensors.items()}


@pytest.mark.parametrize("op", ["layer_norm", "group_norm", "batch_norm", "instance_norm"])
@pytest.mark.parametrize("layout", ["row-major", "channels-last"])
@pytest.mark.parametrize(("mean", "bar"), [(100.0, 6e-6), (1e4, 1e-3)])
def test_large_means_keep_their_digits(op, layout, mean, bar, rng):
    x = (rng.standard_normal((8, 16, 11, 13)) + mean).astype(np.float32)
    exact = x.astype(np.float64)
    if op == "layer_norm":
        got = F.layer_norm(fastnn.from_numpy(x), (11, 13))
        want = reference.layer_norm_forward(exact, (11, 13))
    else:
        if layout == "channels-last":
            x = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
        t = fastnn.from_numpy(x)
        got, want = {
            "group_norm": lambda: (F.group_norm(t, 4), reference.group_norm_forward(exact, 4)),
            "instance_norm": lambda: (F.instance_norm(t), reference.instance_norm_forward(exact)),
            "batch_norm": lambda: (
                F.batch_norm(t, None, None, training=True),
                reference.batch_norm_forward(exact, None, None, training=True),
            ),
        }[op]()
    assert error_of(got.numpy(), want)[0] <= bar


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
@pytest.mark.parametrize("layout", ["row-major", "channels-last"])
def test_running_statistics(momentum, layout, rng):
    x = rng.standard_normal((6, 5, 7, 3)) * 2 + 3
    if layout == "channels-last":
        x = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    mean, var = rng.standard_normal(5), rng.random(5)
    for op, formula in ((F.batch_norm, reference.batch_norm_running),
                        (F.instance_norm, reference.instance_norm_running)):  # fmt: skip
        tensors = fastnn.tensor(mean), fastnn.tensor(var)
        kwargs = {"training": True} if op is F.batch_norm else {}
        op(fastnn.from_numpy(x), *tensors, momentum=momentum, **kwargs)
        for got, want in zip(tensors, formula(x, mean, var, momentum), strict=True):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-11)
            assert got._version == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_reach_their_channel_and_no_other(value, rng):
    for move in (lambda a: a, lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1)):
        x = rng.standard_normal((3, 4, 5, 5)).astype(np.float32)
        x[1, 2, 3, 3] = value
        y = F.batch_norm(fastnn.from_numpy(move(x)), None, None, training=True).numpy()
        assert np.isnan(y[:, 2]).any() and np.isfinite(y[:, [0, 1, 3]]).all()
        z = F.group_norm(fastnn.from_numpy(move(x)), 2).numpy()
        assert np.isnan(z[1, 2:]).any() and np.isfinite(z[[0, 2]]).all()
        assert np.isfinite(z[1, :2]).all()


def test_constant_input_gives_the_bias():
    x = fastnn.full((4, 3, 5), 7.5)
    for y in (F.layer_norm(x, (5,)), F.batch_norm(x, None, None, training=True),
              F.group_norm(x, 3), F.instance_norm(x)):  # fmt: skip
        assert not y.any()


def test_batch_norm_layer_follows_training_and_eval(rng):
    layer = nn.BatchNorm2d(3, momentum=None)
    batches = [fastnn.from_numpy(rng.standard_normal((4, 3, 5, 5)).astype("f4")) for _ in range(3)]
    for x in batches:
        layer(x)
    assert int(layer.num_batches_tracked) == 3
    means = np.mean([x.numpy().mean((0, 2, 3)) for x in batches], 0)
    np.testing.assert_allclose(layer.running_mean.numpy(), means, rtol=1e-5, atol=1e-6)
    before = layer.running_mean.numpy().copy()
    layer.eval()(batches[0])
    np.testing.assert_array_equal(layer.running_mean.numpy(), before)
    untracked = nn.BatchNorm2d(3, track_running_stats=False).eval()
    assert abs(float(untracked(batches[0] + 5).mean())) < 1e-5
    assert set(layer.state_dict()) == {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip
    old = {k: v for k, v in layer.state_dict().items() if k != "num_batches_tracked"}
    nn.BatchNorm2d(3).load_state_dict(old)


def test_unbatched_instance_norm(rng):
    x = fastnn.from_numpy(rng.standard_normal((3, 6, 7)).astype("f4"))
    layer = nn.InstanceNorm2d(3, affine=True)
    assert fastnn.equal(layer(x), layer(x.unsqueeze(0)).squeeze(0))


REPR = {
    "BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)":
        lambda: nn.BatchNorm1d(4),
    "InstanceNorm3d(4, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)":
        lambda: nn.InstanceNorm3d(4),
    "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True, bias=True)": lambda: nn.LayerNorm([3, 4]),
    "RMSNorm((4,), eps=None, elementwise_affine=True)": lambda: nn.RMSNorm(4),
    "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)": lambda: nn.GroupNorm(2, 4),
    "LocalResponseNorm(3, alpha=0.0001, beta=0.75, k=1.0)": lambda: nn.LocalResponseNorm(3),
}  # fmt: skip


@pytest.mark.parametrize("text", REPR)
def test_printing(text):
    assert repr(REPR[text]()) == text


def test_layers_without_affine_have_no_parameters(rng):
    x = fastnn.from_numpy(rng.standard_normal((2, 4, 3, 3)).astype("f4"))
    for layer, want in [
        (nn.LayerNorm((3, 3), elementwise_affine=False), F.layer_norm(x, (3, 3))),
        (nn.RMSNorm(3, elementwise_affine=False), F.rms_norm(x, (3,))),
        (nn.GroupNorm(2, 4, affine=False), F.group_norm(x, 2)),
        (nn.BatchNorm2d(4, affine=False), F.batch_norm(x, None, None, training=True)),
        (nn.LocalResponseNorm(3), F.local_response_norm(x, 3)),
    ]:
        assert not list(layer.parameters())
        assert fastnn.equal(layer(x), want)
    assert [n for n, _ in nn.LayerNorm(3, bias=False).named_parameters()] == ["weight"]


def test_errors():
    x, v = fastnn.zeros(2, 6, 4), fastnn.ones(5)
    b = F.batch_norm
    for make, error, *text in [
        (lambda: F.layer_norm(x, (5,)), ValueError, "normalized_shape=[5]", "[2, 6, 4]"),
        (lambda: F.layer_norm(x, ()), ValueError, "normalized_shape"),
        (lambda: F.layer_norm(x, (4,), v), ValueError, "weight", "[5]"),
        (lambda: F.rms_norm(x, (4,), v), ValueError, "rms_norm", "weight"),
        (lambda: F.layer_norm(x.long(), (4,)), TypeError, "layer_norm", "int64"),
        (lambda: b(x, v, v), ValueError, "running_mean", "6", "[5]"),
        (lambda: b(x, None, None, training=False), ValueError, "running_mean"),
        (lambda: b(x, None, None, v, training=True), ValueError, "weight", "6"),
        (lambda: b(x[:1, :, :1], None, None, training=True), ValueError, "more than 1 value"),
        (lambda: b(v, None, None, training=True), ValueError, "2 dimensions"),
        (lambda: F.group_norm(x, 4), ValueError, "divisible", "6", "4"),
        (lambda: F.group_norm(x, 0), ValueError, "num_groups"),
        (lambda: F.group_norm(x, -2), ValueError, "num_groups"),
        (lambda: F.instance_norm(x[..., :1]), ValueError, "more than 1 spatial"),
        (lambda: F.instance_norm(x, use_input_stats=False), ValueError, "running_mean"),
        (lambda: F.local_response_norm(v, 3), ValueError, "3D"),
        (lambda: F.local_response_norm(x, 0), ValueError, "size"),
        (lambda: nn.BatchNorm2d(6)(x), ValueError, "4D", "3D"),
        (lambda: nn.GroupNorm(4, 6), ValueError, "num_channels", "6"),
        (lambda: nn.InstanceNorm1d(5, affine=True)(x), ValueError, "num_features (5)"),
    ]:
        check_raises(make, error, *text)


def test_more_groups_than_channels_are_refused():
    with pytest.raises(ValueError, match="num_groups"):
        fastnn.nn.functional.group_norm(fastnn.ones(2, 0), 2**31)


BIASLESS = [
    (lambda **k: nn.BatchNorm2d(4, **k), (2, 4, 3, 3)),
    (lambda **k: nn.InstanceNorm2d(4, affine=True, **k), (2, 4, 3, 3)),
    (lambda **k: nn.GroupNorm(2, 4, **k), (2, 4, 3, 3)),
    (lambda **k: nn.LayerNorm(4, **k), (2, 4)),
    (lambda **k: nn.LazyBatchNorm1d(**k), (2, 4)),
]


@pytest.mark.parametrize(("make", "shape"), BIASLESS)
def test_layers_without_bias(make, shape, rng):
    x = fastnn.from_numpy(rng.standard_normal(shape).astype("f4"))
    whole, layer = make(), make(bias=False)
    want = whole(x)
    assert fastnn.equal(layer(x), want)
    assert [n for n, _ in layer.named_parameters()] == ["weight"] and layer.bias is None
    layer(x).sum().backward()
    assert layer.weight.grad is not None
