"""Losses of elements, margins and distances on Tensors."""

import functools
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import _core
from fastnn.nn import functional as F
from tests.cases import losses as cases
from tests.harness import check_gradients, check_op, check_raises
from tests.reference import loss_class, loss_pointwise

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
POINTWISE = [(name, case) for name, group in cases.POINTWISE.items() for case in group]
FUSED = {"mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy",
         "binary_cross_entropy_with_logits", "kl_div"}  # fmt: skip
BY_CLASS = [
    (name, case)
    for name, group in {
        "multi_margin_loss": cases.MULTI_MARGIN,
        "multilabel_margin_loss": cases.MULTILABEL_MARGIN,
        "multilabel_soft_margin_loss": cases.MULTILABEL_SOFT_MARGIN,
    }.items()
    for case in group
]


def batchmean(formula):
    """'batchmean' for the reference, which does not have it."""

    def wrapped(*args, reduction="mean", **kwargs):
        if reduction != "batchmean":
            return formula(*args, reduction=reduction, **kwargs)
        rows = args[-2].shape[0]
        result = formula(*args, reduction="sum", **kwargs)
        if isinstance(result, tuple):
            return tuple(None if r is None else r / rows for r in result)
        return result / rows

    return wrapped


@pytest.mark.parametrize(("name", "case"), POINTWISE, ids=str)
def test_pointwise(name, case):
    loss = loss_pointwise.LOSSES[name]
    forward, backward = batchmean(loss.forward), batchmean(loss.backward)
    if name in ("hinge_embedding_loss", "soft_margin_loss"):
        backward = functools.partial(_first_gradient, backward)
    check_op(getattr(F, name), forward, backward, case, ceilings="loss")


def _first_gradient(backward, *args, **kwargs):
    return backward(*args, **kwargs)[:1]


@pytest.mark.parametrize(("name", "case"), [c for c in POINTWISE if c[0] in FUSED], ids=str)
def test_gradients_of_fused_losses(name, case):
    check_gradients(getattr(F, name), case, wanted=(0, 1))


@pytest.mark.parametrize("name", sorted(FUSED))
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types(name, dtype):
    case = next(c for c in cases.POINTWISE[name] if c.full)
    loss = loss_pointwise.LOSSES[name]
    check_op(getattr(F, name), loss.forward,
             lambda *a, **k: loss.backward(*a, **k)[:1], case, dtypes=(dtype,))  # fmt: skip


@pytest.mark.parametrize(("name", "case"), BY_CLASS, ids=str)
def test_by_class(name, case):
    forward, backward = (getattr(loss_class, f"{name}_{d}") for d in ("forward", "backward"))
    check_op(
        getattr(F, name), forward, functools.partial(_first_gradient, backward), case,
        ceilings=(5e-7, 1e-6),
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(FUSED))
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nan_and_infinity(name, reduction):
    x = np.full(40, 0.5, np.float32)
    x[5] = np.nan
    t = np.full(40, 0.25, np.float32)
    a = fastnn.from_numpy(x).requires_grad_()
    y = getattr(F, name)(a, fastnn.from_numpy(t), reduction=reduction)
    if reduction != "none":
        assert np.isnan(y.item())
    else:
        assert (np.isnan(y.detach().numpy()) == np.isnan(x)).all()
    y.sum().backward()
    expected = np.isnan(x) & (name != "kl_div")  # whose derivative does not depend on x
    assert (np.isnan(a.grad.numpy()) == expected).all()


def test_bce_limits_its_logarithms():
    x = fastnn.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    t = fastnn.tensor([0.0, 1.0, 1.0, 0.0])
    y = F.binary_cross_entropy(x, t, reduction="none")
    assert y.tolist() == [0.0, 0.0, 100.0, 100.0]
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, -1e12, 1e12], rtol=1e-6)


def test_logits_of_any_size_do_not_overflow():
    x = fastnn.tensor([-1e30, -1000.0, 1000.0, 1e30], requires_grad=True)
    t = fastnn.tensor([0.0, 0.0, 1.0, 1.0])
    y = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert not y.any()
    F.binary_cross_entropy_with_logits(x, 1 - t, reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.numpy(), [-1, -1, 1, 1])


def test_shapes_that_broadcast_warn_and_count(rng):
    x, t = fastnn.from_numpy(rng.random((3, 4))), fastnn.from_numpy(rng.random(4))
    x.requires_grad_()
    t.requires_grad_()
    with pytest.warns(UserWarning, match="size"):
        y = F.mse_loss(x, t)
    y.backward()
    d = x.detach().numpy() - t.detach().numpy()
    np.testing.assert_allclose(y.item(), (d**2).mean())
    np.testing.assert_allclose(x.grad.numpy(), d / 6)
    np.testing.assert_allclose(t.grad.numpy(), -d.sum(0) / 6)


def test_dtypes_promote_and_weights_may_want_gradients(rng):
    x, t = rng.random(50), rng.random(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = F.mse_loss(fastnn.tensor(x).float(), fastnn.tensor(t))
    assert y.dtype == fastnn.float64
    w = fastnn.ones(50, dtype=fastnn.float64, requires_grad=True)
    F.binary_cross_entropy_with_logits(fastnn.tensor(x), fastnn.tensor(t), w).backward()
    assert w.grad is not None and (w.grad > 0).all()


def test_errors():
    x, t = fastnn.zeros(3, 4), fastnn.zeros(3, 5)
    for make, error, *text in [
        (lambda: F.mse_loss(x, t), ValueError, "mse_loss", "(3, 4)", "(3, 5)"),
        (lambda: F.binary_cross_entropy(x, t), ValueError, "[3, 5]", "[3, 4]"),
        (lambda: F.binary_cross_entropy(x + 2, x), RuntimeError, "between 0 and 1"),
        (lambda: F.binary_cross_entropy_with_logits(x, t), ValueError, "[3, 5]", "[3, 4]"),
        (lambda: F.huber_loss(x, x, delta=0), ValueError, "delta", "0"),
        (lambda: F.smooth_l1_loss(x, x, beta=-1.0), ValueError, "beta", "-1"),
        (lambda: F.l1_loss(x, x, reduction="max"), ValueError, "l1_loss", "'max'"),
        (lambda: _core.pointwise_loss("x", x.numpy(), x.numpy(), None, None, 0, 1), ValueError,
         "'x'"),
        (lambda: _core.pointwise_loss("mse", x.numpy(), t.numpy(), None, None, 0, 1), ValueError,
         "(3, 4)", "(3, 5)"),
    ]:  # fmt: skip
        check_raises(make, error, *text)
