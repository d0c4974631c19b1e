"""Gradient clipping and parameters as a vector."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn
from tests.harness import check_raises
from tests.reference.optim import clip_grad_norm


def with_gradients(rng, dtype=np.float32):
    params = [fastnn.zeros(*s, dtype=fastnn.from_numpy(np.zeros(1, dtype)).dtype).requires_grad_()
              for s in [(30, 40), (7,), (20_000,)]]  # fmt: skip
    for p in params:
        p.grad = fastnn.from_numpy(rng.standard_normal(p.shape).astype(dtype))
    return [*params, fastnn.zeros(3, requires_grad=True)]  # the last one has none


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf, 3.0])
@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clip_grad_norm(dtype, norm_type, max_norm, rng):
    params = with_gradients(rng, dtype)
    before = [p.grad.numpy().copy() for p in params[:3]]
    norm, want = clip_grad_norm([g.astype(np.float64) for g in before], max_norm, norm_type)
    got = nn.utils.clip_grad_norm_(params, max_norm, norm_type)
    assert got.shape == () and got.dtype == params[0].dtype
    np.testing.assert_allclose(got.item(), norm, rtol=1e-7)
    bar = 2e-7 if dtype == np.float32 else 1e-15
    for p, w in zip(params, want, strict=False):
        np.testing.assert_allclose(p.grad.numpy(), w, rtol=bar)
    if max_norm > 1:
        for p, b in zip(params, before, strict=False):
            np.testing.assert_array_equal(p.grad.numpy(), b)


def test_total_norm_and_scaling_apart(rng):
    params = with_gradients(rng)
    norm = nn.utils.get_total_norm([p.grad for p in params[:3]])
    nn.utils.clip_grads_with_norm_(params, 1.0, norm)
    after = nn.utils.get_total_norm([p.grad for p in params[:3]])
    np.testing.assert_allclose(after.item(), 1, rtol=1e-5)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_non_finite_norms(rng):
    params = with_gradients(rng)
    with fastnn.no_grad():
        params[1].grad[2] = math.nan
    before = params[0].grad.numpy().copy()
    check_raises(
        lambda: nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True), RuntimeError,
        "non-finite", unchanged=(before,),
    )  # fmt: skip
    np.testing.assert_array_equal(params[0].grad.numpy(), before)
    assert math.isnan(nn.utils.clip_grad_norm_(params, 1.0).item())
    assert np.isnan(params[0].grad.numpy()).all()


def test_clip_grad_value(rng):
    params = with_gradients(rng)
    before = [p.grad.numpy().copy() for p in params[:3]]
    nn.utils.clip_grad_value_(params, 0.3)
    for p, b in zip(params, before, strict=False):
        np.testing.assert_array_equal(p.grad.numpy(), np.clip(b, -0.3, 0.3).astype(np.float32))


def test_parameters_to_vector_and_back(rng):
    model = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (8,) and vector.requires_grad
    vector.sum().backward()
    assert (model.weight.grad == 1).all()
    nn.utils.vector_to_parameters(fastnn.arange(8.0), model.parameters())
    assert model.bias.tolist() == [6.0, 7.0]
    check_raises(lambda: nn.utils.vector_to_parameters([1], []), TypeError, "list")
