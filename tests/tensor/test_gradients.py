"""First and second derivatives of the tensor ops against finite differences."""

import numpy as np
import pytest

import fastnn
from fastnn.autograd import gradcheck, gradgradcheck


def make(*shape, seed=0, low=None):
    rng = np.random.default_rng([seed, *shape])
    a = rng.standard_normal(shape)
    if low is not None:
        a = np.abs(a) + low
    return fastnn.tensor(a, requires_grad=True)


INDEX = fastnn.tensor([[0, 1], [2, 2], [3, 0]])

OPS = {
    "mm": (lambda a, b: (a @ b).sin(), [(3, 4), (4, 2)]),
    "batch @ matrix": (lambda a, b: a @ b, [(2, 3, 4), (4, 2)]),
    "broadcast batches": (lambda a, b: a @ b, [(2, 1, 3, 4), (5, 4, 2)]),
    "matrix @ vector": (lambda a, b: a @ b, [(3, 4), (4,)]),
    "vector @ matrix": (lambda a, b: a @ b, [(4,), (4, 3)]),
    "linear": (fastnn.nn.functional.linear, [(2, 5, 3), (4, 3), (4,)]),
    "bilinear": (fastnn.nn.functional.bilinear, [(2, 3), (2, 4), (2, 3, 4), (2,)]),
    "addmm": (lambda c, a, b: fastnn.addmm(c, a, b, beta=0.5, alpha=2), [(2,), (3, 4), (4, 2)]),
    "einsum bmm": (lambda a, b: fastnn.einsum("bij,bjk->bik", a, b), [(2, 3, 4), (2, 4, 2)]),
    "einsum outer": (lambda a, b: fastnn.einsum("i,j->ij", a, b), [(3,), (2,)]),
    "einsum trace": (lambda a: fastnn.einsum("ii->i", a), [(3, 3)]),
    "einsum three": (
        lambda a, b, c: fastnn.einsum("...i,kij,...j->...k", a, b, c),
        [(2, 3), (2, 3, 4), (2, 4)],
    ),
    "tensordot": (lambda a, b: fastnn.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 2)]),
    "add broadcast": (lambda a, b: a + b, [(3, 1), (4,)]),
    "sub": (lambda a, b: a - b * 2, [(3, 4), (4,)]),
    "mul": (lambda a, b: a * b, [(3, 4), (3, 1)]),
    "div": (lambda a, b: a / (b * b + 1), [(3, 1), (4,)]),
    "pow": (lambda a, b: (a * a + 1) ** b, [(3, 4), (4,)]),
    "pow number": (lambda a: a**3, [(5,)]),
    "number pow": (lambda a: 2.0**a, [(5,)]),
    "number minus": (lambda a: 1 - a, [(5,)]),
    "number over": (lambda a: 2 / (a * a + 1), [(5,)]),
    "maximum": (lambda a, b: fastnn.maximum(a, b), [(3, 4), (4,)]),
    "atan2": (lambda a, b: fastnn.atan2(a, b), [(3, 4), (3, 4)]),
    "where": (lambda a, b: fastnn.where(a > 0, a * 2, b), [(3, 4), (4,)]),
    "clamp": (lambda a: a.clamp(-0.5, 0.5), [(3, 4)]),
    "lerp": (lambda a, b: fastnn.lerp(a, b, 0.3), [(3,), (3,)]),
    "addcmul": (lambda a, b, c: fastnn.addcmul(a, b, c, value=2), [(3,), (3,), (3,)]),
    "sum dims": (lambda a: a.sum((0, 2)) ** 2, [(2, 3, 4)]),
    "mean": (lambda a: a.mean(1, keepdim=True) * a, [(3, 4)]),
    "prod": (lambda a: a.prod(), [(2, 3)]),
    "prod dim": (lambda a: a.prod(1), [(3, 4)]),
    "cumsum": (lambda a: a.cumsum(0) ** 2, [(3, 4)]),
    "cumprod": (lambda a: a.cumprod(1), [(3, 4)]),
    "max": (lambda a: a.max() * a, [(3, 4)]),
    "max dim": (lambda a: a.max(1)[0] ** 2, [(3, 4)]),
    "amax": (lambda a: a.amax((0, 1)) ** 2, [(3, 4)]),
    "min dim": (lambda a: a.min(0, keepdim=True)[0] * a, [(3, 4)]),
    "var": (lambda a: a.var(1), [(3, 4)]),
    "std": (lambda a: a.std(), [(3, 4)]),
    "logsumexp": (lambda a: a.logsumexp(1), [(3, 4)]),
    "norm 2": (lambda a: a.norm(2, 1), [(3, 4)]),
    "norm 3": (lambda a: a.norm(3), [(3, 4)]),
    "norm 1": (lambda a: a.norm(1, 0), [(3, 4)]),
    "cat": (lambda a, b: fastnn.cat([a, b * 2], 1) ** 2, [(3, 4), (3, 1)]),
    "stack": (lambda a, b: fastnn.stack([a, b], 1) ** 2, [(3, 4), (3, 4)]),
    "index list": (lambda a: a[[0, 2, 0]] ** 2, [(3, 4)]),
    "slice": (lambda a: a[1:, ::2] ** 2, [(3, 4)]),
    "boolean": (lambda a: a[a.detach() > 0] ** 2, [(3, 4)]),
    "gather": (lambda a: a.gather(1, INDEX) ** 2, [(3, 4)]),
    "scatter": (
        lambda a, b: a.scatter(1, fastnn.tensor([[0, 1], [2, 3], [3, 0]]), b),
        [(3, 4), (3, 2)],
    ),
    "scatter_add": (lambda a, b: a.scatter_add(1, INDEX, b) ** 2, [(3, 4), (3, 2)]),
    "index_add": (lambda a, b: a.index_add(0, fastnn.tensor([1, 1]), b) ** 2, [(3, 2), (2, 2)]),
    "masked_fill": (lambda a: a.masked_fill(a.detach() > 0, 3.0) * a, [(3, 4)]),
    "sort": (lambda a: a.sort(1)[0] ** 2, [(3, 4)]),
    "topk": (lambda a: a.topk(2)[0] ** 2, [(3, 4)]),
    "median": (lambda a: a.median(1)[0] ** 2, [(3, 5)]),
    "cummax": (lambda a: a.cummax(1)[0] ** 2, [(3, 4)]),
    "permute": (lambda a: a.permute(2, 0, 1) ** 2, [(2, 3, 4)]),
    "expand": (lambda a: a.expand(3, 2, 2) ** 2, [(2, 1)]),
    "unfold": (lambda a: a.unfold(0, 3, 2) ** 2, [(7, 2)]),
    "diagonal": (lambda a: a.diagonal(1) ** 2, [(3, 4)]),
    "diag_embed": (lambda a: fastnn.diag_embed(a) ** 2, [(3, 2)]),
    "roll": (lambda a: a.roll(1, 0) * a, [(3, 4)]),
    "flip": (lambda a: a.flip(0) * a, [(3, 4)]),
    "repeat": (lambda a: a.repeat(2, 3) ** 2, [(2, 2)]),
    "tril": (lambda a: a.tril() ** 2, [(3, 3)]),
    "cdist": (lambda a, b: fastnn.cdist(a, b), [(3, 2), (4, 2)]),
    "unbind": (lambda a: a.unbind(1)[1] * a.unbind(1)[0], [(3, 2)]),
    "in-place chain": (lambda a: (a * 1).exp_().mul_(2).sigmoid_(), [(4,)]),
    "in-place power": (lambda a: (a * 1).pow_(3), [(4,)]),
}


@pytest.mark.parametrize("name", OPS)
def test_first_and_second_derivative(name):
    function, shapes = OPS[name]
    inputs = tuple(make(*s, seed=i) for i, s in enumerate(shapes))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


UNARY = [
    "neg", "abs", "sqrt", "rsqrt", "square", "reciprocal", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p",
    "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "erfc", "sigmoid", "frac",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    x = make(7, low=0.2)
    assert gradcheck(getattr(fastnn, name), (x,))
    assert gradgradcheck(getattr(fastnn, name), (x,))


@pytest.mark.parametrize(
    ("name", "scale"), [("asin", 0.3), ("acos", 0.3), ("atanh", 0.3), ("logit", 0.3)]
)
def test_unary_on_the_unit_interval(name, scale):
    x = fastnn.tensor(np.linspace(0.1, 0.9, 5), requires_grad=True)
    assert gradcheck(getattr(fastnn, name), (x,))
    assert gradgradcheck(getattr(fastnn, name), (x,))


ACTIVATIONS = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "sigmoid",
    "tanh", "logsigmoid", "hardsigmoid", "hardswish", "hardtanh", "hardshrink", "softshrink", "tanhshrink", "softmax",
    "log_softmax", "softmin", "glu", "normalize",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    x = make(4, 6, seed=3)
    function = getattr(fastnn.nn.functional, name)
    assert gradcheck(lambda t: function(t * 2), (x,))
    assert gradgradcheck(lambda t: function(t * 2), (x,))


def test_gelu_tanh_threshold_prelu():
    f = fastnn.nn.functional
    x, w = make(4, 3), make(3, seed=1)
    assert gradcheck(lambda t: f.gelu(t, "tanh"), (x,)) and gradgradcheck(
        lambda t: f.gelu(t, "tanh"), (x,)
    )
    assert gradcheck(lambda t: f.threshold(t, 0.1, 2.0), (x,))
    assert gradcheck(f.prelu, (x, w)) and gradgradcheck(f.prelu, (x, w))


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_products_with_zeros(zeros):
    a = np.array([1.5, -2.0, 0.5, 3.0])
    a[:zeros] = 0
    x = fastnn.tensor(a, requires_grad=True)
    assert gradcheck(lambda t: t.prod(), (x,))
    assert gradcheck(lambda t: t.cumprod(0), (x,))


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(fastnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(fastnn.autograd.GradcheckError, match="Jacobian mismatch"):
        gradcheck(Wrong.apply, (make(3),))
    assert gradcheck(Wrong.apply, (make(3),), raise_exception=False) is False
