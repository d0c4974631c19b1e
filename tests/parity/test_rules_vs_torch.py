"""What the catalogue's one call per case leaves out: kinks, indices, statistics, masks, tables."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.cases import activations as activation_cases
from tests.cases import conv as conv_cases
from tests.cases import embedding as embedding_cases
from tests.cases import losses as loss_cases
from tests.cases import pool as pool_cases
from tests.parity.validate import relative_error, validate
from tests.reference import activations, conv, distance, dropout, embedding, norm, pool
from tests.reference.loss_pointwise import LOSSES

F = torch.nn.functional


def cases(rows):
    return pytest.mark.parametrize("case", rows, ids=str)


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activation_at_kinks_infinities_and_nan(name):
    kinks = [*activation_cases.KINKS, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-310]
    x = torch.tensor(kinks, dtype=torch.float64, requires_grad=True)
    kwargs = activation_cases.PARAMETERS[name][0]
    y = (getattr(F, name, None) or getattr(torch, name))(x, **kwargs)
    (dx,) = torch.autograd.grad(y.sum(), x)
    activation = activations.ACTIVATIONS[name]
    with np.errstate(all="ignore"):
        got = activation.forward(np.array(kinks), **kwargs)
        slope = activation.derivative(np.array(kinks), **kwargs)
    assert relative_error(got, y.detach().numpy()) <= 1e-12
    defined = np.isfinite(dx.numpy()) & ~np.isnan(kinks)
    bar = 1e-7 if name == "hardsigmoid" else 1e-10  # torch takes 1/6 from float32
    assert relative_error(slope[defined], dx.numpy()[defined]) <= bar


def _layer(n, x, weight, bias, **kwargs):
    channels = weight.shape[1] * kwargs.get("groups", 1)
    layer = getattr(torch.nn, f"Conv{n}d")(
        channels, weight.shape[0], weight.shape[2:], bias=bias is not None, **kwargs
    )
    return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))


@pytest.mark.parametrize(
    "n, case",
    [
        pytest.param(n, case, id=f"{n}d-{case}")
        for n in (1, 2, 3)
        for case in getattr(conv_cases, f"CONV{n}D")
        if "padding_mode" in case.kwargs
    ],
)
def test_padding_modes_of_convolution_layers(n, case):
    validate(partial(_layer, n), conv.conv_forward, conv.conv_backward, case)


@pytest.mark.parametrize(
    "n, case",
    [
        pytest.param(n, case, id=f"{n}d-{case}")
        for n in (1, 2, 3)
        for case in getattr(pool_cases, f"MAX{n}D")
    ],
)
def test_max_pool_indices(n, case):
    indices = {"return_indices": True}
    function = partial(getattr(F, f"max_pool{n}d"), **indices)
    validate(function, partial(pool.max_pool_forward, n=n, **indices), None, case)
    x = case.inputs()[0]
    if x.size:
        whole = pool.max_pool_forward(x, **case.kwargs)
        assert np.array_equal(pool.max_pool_forward(x[0], **case.kwargs, n=n), whole[0])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_adaptive_max_pool_indices(n):
    function = partial(getattr(F, f"adaptive_max_pool{n}d"), return_indices=True)
    reference = partial(pool.adaptive_max_pool_forward, return_indices=True)
    for case in pool_cases.adaptive(getattr(pool_cases, f"ADAPTIVE{n}D"), pool_cases.distinct):
        validate(function, reference, None, case)


@pytest.mark.parametrize("size", [None, (2, 3, 9, 9)])
def test_max_unpool(size):
    x = torch.tensor(pool_cases.distinct(np.random.default_rng(0), (2, 3, 8, 8))[0])
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    values = values.detach().requires_grad_()
    y = F.max_unpool2d(values, indices, 2, output_size=size)
    dy = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (dx,) = torch.autograd.grad(y, values, dy)
    args = (values.detach().numpy(), indices.numpy(), 2)
    got = pool.max_unpool_forward(*args, output_size=size)
    assert np.array_equal(got, y.detach().numpy())
    back = pool.max_unpool_backward(dy.numpy(), *args, output_size=size)[0]
    assert np.array_equal(back, dx.numpy())


@pytest.mark.parametrize("name", ["batch", "instance"])
@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_running_statistics(name, momentum, rng):
    x = rng.standard_normal((3, 4, 5, 6)) + 2
    mean, var = rng.standard_normal(4), rng.uniform(0.5, 2, 4)
    new_mean, new_var = torch.tensor(mean), torch.tensor(var)
    flag = {"training": True} if name == "batch" else {"use_input_stats": True}
    function = getattr(F, f"{name}_norm")
    function(torch.tensor(x), new_mean, new_var, momentum=momentum, **flag)
    got = getattr(norm, f"{name}_norm_running")(x, mean, var, momentum)
    assert relative_error(got[0], new_mean.numpy()) <= 1e-12
    assert relative_error(got[1], new_var.numpy()) <= 1e-12


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("name", loss_cases.ZERO_TARGETS)
def test_losses_of_zero_targets(name):
    loss, case = LOSSES[name], loss_cases.ZERO_TARGETS[name]
    validate(getattr(F, name), loss.forward, loss.backward, case, skip=(1,))


@cases(loss_cases.TRIPLET_MARGIN)
def test_triplet_margin_with_distance(case):
    def function(*arrays, p=2.0, **kwargs):
        distance_function = torch.nn.PairwiseDistance(p)
        return F.triplet_margin_with_distance_loss(
            *arrays, distance_function=distance_function, **kwargs
        )

    forward, backward = distance.triplet_margin_loss_forward, distance.triplet_margin_loss_backward
    validate(function, forward, backward, case)


@cases(embedding_cases.EMBEDDING_RENORM)
def test_embedding_renormalizes_the_table(case):
    indices, weight = case.inputs()
    table = torch.tensor(weight)
    got = embedding.embedding_forward(indices, weight, **case.kwargs)
    want = F.embedding(torch.tensor(indices), table, **case.kwargs)
    assert relative_error(got, want.numpy()) <= 1e-12
    after = embedding.renormalize(weight, indices, **case.kwargs)
    assert relative_error(after, table.numpy()) <= 1e-12
    assert not np.array_equal(after, weight)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(
    "name",
    ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"],
)
def test_dropout(name, p):
    """torch's own mask, read from its output, gives torch's output and gradient."""
    shape = {"dropout1d": (5, 7, 4), "dropout3d": (3, 7, 2, 3, 2)}.get(name, (5, 7, 3, 2))
    x = np.random.default_rng(0).standard_normal(shape)
    torch.manual_seed(1)
    tensor = torch.tensor(x, requires_grad=True)
    y = getattr(F, name)(tensor, p, training=True)
    dy = torch.ones_like(y)
    (dx,) = torch.autograd.grad(y, tensor, dy)
    keep = dx.numpy() != 0
    some = keep[tuple(slice(n) for n in dropout.mask_shape(shape, name))]
    assert np.array_equal(np.broadcast_to(some, shape), keep)
    kind = "alpha_dropout" if "alpha" in name else "dropout"
    forward, backward = (getattr(dropout, f"{kind}_{way}") for way in ("forward", "backward"))
    assert relative_error(forward(x, keep, p), y.detach().numpy()) <= 1e-12
    assert relative_error(backward(dy.numpy(), x, keep, p)[0], dx.numpy()) <= 1e-12
