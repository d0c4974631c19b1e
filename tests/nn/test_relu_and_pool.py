"""A ReLU before a max pool in a Sequential: it runs on the pool's results, and all is the same as in order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastnn
from fastnn import nn

RELUS = [nn.ReLU, nn.ReLU6]
POOLS = {
    "2x2": lambda: nn.MaxPool2d(2),
    "overlapping": lambda: nn.MaxPool2d(3, 1, 1),
    "ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "dilated": lambda: nn.MaxPool2d(2, dilation=2),
    "padded": lambda: nn.MaxPool2d((3, 5), (2, 3), (1, 2)),
}


def _input(*shape: int, dtype: str = "float32") -> fastnn.Tensor:
    x = np.random.default_rng(0).standard_normal(shape) * 4
    x.flat[::5] = -1.0  # ties, and windows without a positive value
    x.flat[::7] = 8.0
    x.flat[3] = -0.0
    return fastnn.tensor(x).to(getattr(fastnn, dtype))


def _run(run: Callable, x: fastnn.Tensor) -> tuple:
    x = x.detach().clone().requires_grad_(True)
    y = run(x * 1)
    weights = fastnn.tensor(np.random.default_rng(1).standard_normal(y.shape)).to(y.dtype)
    (y * weights).sum().backward()
    return y.detach().double().numpy(), x.grad.double().numpy()


def _in_order(layers: list) -> Callable:
    def run(x: fastnn.Tensor) -> fastnn.Tensor:
        for layer in layers:
            x = layer(x)
        return x

    return run


def _same(layers: list, x: fastnn.Tensor) -> None:
    for got, expected in zip(
        _run(nn.Sequential(*layers), x), _run(_in_order(layers), x), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def _last(*layers: nn.Module) -> str:
    """The operation that ran last."""
    y = nn.Sequential(*layers)(_input(2, 3, 8, 8).requires_grad_(True))
    return y.grad_fn.name()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("relu", RELUS)
@pytest.mark.parametrize("pool", POOLS)
def test_same_as_in_order(pool: str, relu: type, dtype: str) -> None:
    _same([relu(), POOLS[pool]()], _input(2, 3, 9, 11, dtype=dtype))


@pytest.mark.parametrize("relu", RELUS)
def test_one_and_three_axes(relu: type) -> None:
    _same([relu(), nn.MaxPool1d(3, 2)], _input(2, 3, 17))
    _same([relu(), nn.MaxPool3d(2)], _input(2, 3, 4, 5, 6))


@pytest.mark.parametrize("relu", RELUS)
@pytest.mark.parametrize("before", [nn.Conv2d(3, 4, 3), nn.Linear(8, 6), nn.BatchNorm2d(3).eval()])
def test_in_place(before: nn.Module, relu: type) -> None:
    """Of what the layer before has computed, which nobody else sees."""
    _same([before, relu(inplace=True), nn.MaxPool2d(3, 2)], _input(2, 3, 9, 8))


def test_not_a_number_passes() -> None:
    x = _input(1, 2, 4, 4)
    x[0, 0, 1, 1] = float("nan")
    _same([nn.ReLU(), nn.MaxPool2d(2)], x)


def test_pool_runs_first() -> None:
    assert _last(nn.ReLU(), nn.MaxPool2d(2)).startswith("Relu")
    assert _last(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)).startswith("Relu")


def test_other_layers_keep_their_order() -> None:
    assert _last(nn.Tanh(), nn.MaxPool2d(2)).startswith("MaxPool")
    assert _last(nn.ReLU(), nn.AvgPool2d(2)).startswith("Avg")


@pytest.mark.parametrize("watched", [0, 1])
def test_hooks_see_the_order_as_written(watched: int) -> None:
    layers, seen = [nn.ReLU(), nn.MaxPool2d(2)], []
    layers[watched].register_forward_hook(lambda _, args, y: seen.append((args[0].shape, y.shape)))
    assert _last(*layers).startswith("MaxPool")
    size = 8 >> watched  # of what the watched layer gives
    assert seen == [((2, 3, 8, 8), (2, 3, size, size))]


def test_in_place_writes_what_the_caller_sees() -> None:
    x = _input(2, 3, 8, 8).requires_grad_(True)
    seen = x * 1
    y = nn.Sequential(nn.ReLU(inplace=True), nn.MaxPool2d(2))(seen)
    assert y.grad_fn.name().startswith("MaxPool")
    assert (seen >= 0).all()


def test_in_place_behind_a_view() -> None:
    x = _input(2, 3, 8, 8).requires_grad_(True)
    seen = x * 1
    nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.MaxPool2d(2))(seen)
    assert (seen >= 0).all()


def test_indices_are_those_of_the_rectified_values() -> None:
    x = -_input(1, 1, 4, 4).abs().requires_grad_(True)
    pool = nn.MaxPool2d(2, return_indices=True)
    y, places = nn.Sequential(nn.ReLU(), pool)(x)
    expected, expected_places = pool(nn.ReLU()(x))
    np.testing.assert_array_equal(places.numpy(), expected_places.numpy())
    np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())


def test_second_gradient() -> None:
    x = _input(2, 3, 8, 8, dtype="float64")

    def second(run: Callable) -> np.ndarray:
        leaf = x.clone().requires_grad_(True)
        (first,) = fastnn.autograd.grad((run(leaf * leaf) ** 2).sum(), leaf, create_graph=True)
        (first**2).sum().backward()
        return leaf.grad.numpy()

    layers = [nn.Conv2d(3, 4, 3, dtype=fastnn.float64), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    np.testing.assert_allclose(
        second(nn.Sequential(*layers)), second(_in_order(layers)), rtol=1e-12
    )
