"""A batch norm and the ReLU behind it in a Sequential: one pass each way, and the same as two layers."""

import gc

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.ops import norm

SHAPES = [(4, 3), (3, 5, 7), (2, 20, 3, 5), (5, 1, 4, 4), (2, 3, 2, 3, 4)]
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
RELUS = [nn.ReLU, nn.ReLU6]


def _layers(shape: tuple, relu: type, dtype: str = "float32", **kwargs: object) -> list:
    layer = NORMS[len(shape)](shape[1], dtype=getattr(fastnn, dtype), **kwargs)
    if layer.affine:
        rng = np.random.default_rng(1)
        layer.weight.data.copy_(fastnn.tensor(rng.uniform(0.5, 4, shape[1])))
        layer.bias.data.copy_(fastnn.tensor(rng.uniform(-1, 3, shape[1])))
    return [layer, relu()]


def _input(shape: tuple, dtype: str = "float32") -> fastnn.Tensor:
    x = np.random.default_rng(0).standard_normal(shape) * 3 + 1
    return fastnn.tensor(x.astype(np.float32)).to(getattr(fastnn, dtype)).requires_grad_(True)


def _run(run: object, layers: list, x: fastnn.Tensor) -> list:
    y = run(x)
    weights = fastnn.tensor(np.random.default_rng(2).standard_normal(y.shape)).to(y.dtype)
    (y * weights).sum().backward()
    grads = [x.grad, *(p.grad for p in layers[0].parameters())]
    return [y.detach(), *grads, *layers[0].buffers()]


@pytest.mark.parametrize("relu", RELUS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_as_two_layers(shape: tuple, dtype: str, relu: type) -> None:
    fused, apart = _layers(shape, relu, dtype), _layers(shape, relu, dtype)
    a = _run(nn.Sequential(*fused), fused, _input(shape, dtype))
    b = _run(lambda x: apart[1](apart[0](x)), apart, _input(shape, dtype))
    for got, expected in zip(a, b, strict=True):
        np.testing.assert_array_equal(got.float().numpy(), expected.float().numpy())


@pytest.mark.parametrize("relu", RELUS)
def test_channels_last(relu: type) -> None:
    shape = (2, 20, 3, 5)
    fused, apart = _layers(shape, relu), _layers(shape, relu)
    x = [_input(shape).detach().contiguous(memory_format=fastnn.channels_last) for _ in range(2)]
    a = _run(nn.Sequential(*fused), fused, x[0].requires_grad_(True))
    b = _run(lambda x: apart[1](apart[0](x)), apart, x[1].requires_grad_(True))
    for got, expected in zip(a, b, strict=True):
        np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_one_node_records_both() -> None:
    y = nn.Sequential(*_layers((4, 3), nn.ReLU))(_input((4, 3)))
    assert y.grad_fn.next_functions[0][0] is not None
    assert type(y.grad_fn.next_functions[0][0]).__name__.startswith("AccumulateGrad")


@pytest.mark.parametrize("relu", RELUS)
def test_gradients_by_finite_differences(relu: type) -> None:
    layers = _layers((3, 4, 5), relu, "float64")
    model = nn.Sequential(*layers)
    x = _input((3, 4, 5), "float64")
    assert fastnn.autograd.gradcheck(model, (x,))
    assert fastnn.autograd.gradgradcheck(model, (x,))


def test_what_listens_or_replaces_is_heard() -> None:
    layers = _layers((4, 3), nn.ReLU)
    model = nn.Sequential(*layers)
    seen: list = []
    handle = layers[0].register_forward_hook(lambda m, i, o: seen.append(o.detach().numpy().min()))
    model(_input((4, 3)))
    assert seen and seen[0] < 0  # before the ReLU
    handle.remove()

    class Twice(nn.BatchNorm1d):
        def forward(self, input: fastnn.Tensor) -> fastnn.Tensor:
            return 2 * super().forward(input)

    twice, once = Twice(3), nn.BatchNorm1d(3)
    x = _input((4, 3))
    np.testing.assert_allclose(
        nn.Sequential(twice, nn.ReLU())(x).detach().numpy(),
        2 * nn.Sequential(once, nn.ReLU())(x).detach().numpy(),
        rtol=1e-6,
    )


def test_evaluation_and_wrong_input() -> None:
    layers = _layers((4, 3), nn.ReLU)
    model = nn.Sequential(*layers).eval()
    x = _input((4, 3))
    np.testing.assert_array_equal(
        model(x).detach().numpy(), layers[1](layers[0](x)).detach().numpy()
    )
    model.train()
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        model(_input((4, 3, 2, 2)))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(_input((1, 3)))


def test_nan_and_changed_results() -> None:
    x = fastnn.tensor([[1.0], [2.0], [float("nan")]], requires_grad=True)
    model = nn.Sequential(nn.BatchNorm1d(1), nn.ReLU())
    assert np.isnan(model(x).detach().numpy()).all()
    y = model(_input((4, 1)))
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified"):
        y.sum().backward()


def test_results_without_backward_leave_no_memory() -> None:
    """The node reads its own output, and must not keep it alive."""
    model = nn.Sequential(*_layers((2, 20, 30, 50), nn.ReLU))
    x = _input((2, 20, 30, 50))
    model(x)
    before = fastnn.memory_stats()["allocated"]
    gc.disable()
    try:
        for _ in range(5):
            model(x)
        after = fastnn.memory_stats()["allocated"]
    finally:
        gc.enable()
    assert after == before


def test_kernel_refuses_other_activations() -> None:
    x = _input((4, 3)).detach()
    with pytest.raises(ValueError, match="needs training"):
        norm.normalize_batch(x, x[0], x[0], None, None, False, 0.1, 1e-5, "relu")
    with pytest.raises(ValueError, match="none, relu or relu6"):
        norm.normalize_batch(x, None, None, None, None, True, 0.1, 1e-5, "tanh")
