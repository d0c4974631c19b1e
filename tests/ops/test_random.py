"""Random tensors, generators and dropout."""

import math
import threading

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F
from fastnn.random import fork_rng
from tests.backends import num_threads
from tests.harness import check_raises
from tests.reference import dropout as reference
from tests.reference.philox import normals, words

FACTORIES = {
    "rand": lambda g: fastnn.rand(3, 41, generator=g),
    "randn": lambda g: fastnn.randn((3, 41), generator=g, dtype=fastnn.float64),
    "randint": lambda g: fastnn.randint(-3, 50, (77,), generator=g),
    "randperm": lambda g: fastnn.randperm(301, generator=g),
    "normal": lambda g: fastnn.normal(fastnn.zeros(5, 1), fastnn.ones(1, 7), generator=g),
    "bernoulli": lambda g: fastnn.bernoulli(fastnn.full((90,), 0.3), generator=g),
    "multinomial": lambda g: fastnn.multinomial(fastnn.ones(4, 30), 9, generator=g),
    "replacement": lambda g: fastnn.multinomial(fastnn.ones(30), 50, True, generator=g),
    "exponential_": lambda g: fastnn.empty(50).exponential_(2.0, generator=g),
    "random_": lambda g: fastnn.empty(50, dtype=fastnn.uint8).random_(generator=g),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_a_seed_and_a_state_bring_the_same_numbers_back(name):
    make = FACTORIES[name]
    g = fastnn.Generator().manual_seed(7)
    first = make(g)
    state = g.get_state()
    second = make(g)
    assert not fastnn.equal(first, second)
    assert fastnn.equal(make(g.manual_seed(7)), first)
    g.set_state(state)
    assert fastnn.equal(make(g), second)
    fastnn.manual_seed(7)
    assert fastnn.equal(make(None), first)
    with num_threads(3):
        assert fastnn.equal(make(g.manual_seed(7)), first)


def test_stream_is_the_one_documented():
    fastnn.manual_seed(5)
    a, b = fastnn.rand(6), fastnn.randn(4)
    np.testing.assert_array_equal(a.numpy(), np.array([w >> 8 for w in words(5, 0, 6)]) * 2.0**-24)
    np.testing.assert_allclose(b.numpy(), normals(words(5, 2, 4), 32), rtol=3e-6)


def test_generator_interface():
    g = fastnn.Generator()
    assert g.manual_seed(-1) is g and g.initial_seed() == 2**64 - 1
    assert g.seed() == g.initial_seed() != g.seed()
    assert fastnn.default_generator.manual_seed(3) and fastnn.initial_seed() == 3
    state = fastnn.get_rng_state()
    assert state.dtype == fastnn.uint8 and state.shape == (16,)
    twin = g.clone_state()
    assert fastnn.equal(fastnn.rand(3, generator=g), fastnn.rand(3, generator=twin))
    with fork_rng():
        fastnn.rand(100)
    assert fastnn.equal(fastnn.get_rng_state(), state)
    check_raises(lambda: g.manual_seed(2**64), RuntimeError, "Overflow")
    check_raises(lambda: g.manual_seed("x"), TypeError, "whole number", "'x'")
    check_raises(lambda: g.set_state(fastnn.zeros(16)), TypeError, "uint8")
    check_raises(lambda: g.set_state(state[:3]), RuntimeError, "wrong size", "[3]")
    check_raises(lambda: fastnn.rand(3, generator=7), TypeError, "Generator", "int")
    check_raises(lambda: fastnn.Generator("cuda"), RuntimeError, "cuda")


def test_threads_never_get_the_same_part_of_the_stream():
    g, drawn = fastnn.Generator().manual_seed(0), []

    def work():
        drawn.extend(fastnn.randint(2**62, (4,), generator=g).tolist() for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({tuple(d) for d in drawn}) == 800


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_dtypes_shapes_and_ranges(dtype):
    d = getattr(fastnn, dtype)
    u = fastnn.rand(2000, dtype=d)
    assert u.dtype == d and u.float().min() >= 0 and u.float().max() < 1
    z = fastnn.randn(20_000, dtype=d).float()
    assert abs(z.mean()) < 0.05 and abs(z.std() - 1) < 0.05
    like = fastnn.rand_like(fastnn.zeros(2, 3, dtype=d))
    assert like.dtype == d and like.shape == (2, 3)
    w = fastnn.empty(2000, dtype=d).uniform_(-3, 5).float()
    assert w.min() >= -3 and w.min() < -2.9 and w.max() > 4.9 and w.max() <= 5


def test_integers_cover_their_range_and_no_more():
    a = fastnn.randint(-2, 3, (1000,))
    assert a.dtype == fastnn.int64 and set(a.tolist()) == {-2, -1, 0, 1, 2}
    assert set(fastnn.empty(500, dtype=fastnn.bool).random_().tolist()) == {False, True}
    b = fastnn.empty(20_000, dtype=fastnn.uint8).random_()
    assert int(b.min()) == 0 and int(b.max()) == 255
    full = fastnn.empty(2000, dtype=fastnn.int64).random_()
    assert int(full.min()) >= 0 and int(full.max()) > 2**62
    low = fastnn.empty(2000, dtype=fastnn.int64).random_(-(2**63), 0)
    assert int(low.max()) < 0 and int(low.min()) < -(2**62)
    assert fastnn.randint(10, (5,), dtype=fastnn.float32).dtype == fastnn.float32
    assert fastnn.randint_like(a, 4).shape == a.shape


def test_multinomial_follows_its_weights():
    fastnn.manual_seed(1)
    w = fastnn.tensor([1.0, 0.0, 3.0, 6.0])
    n = 20_000
    counts = np.bincount(fastnn.multinomial(w, n, True).numpy(), minlength=4)
    assert counts[1] == 0
    expected = np.array([0.1, 0.3, 0.6]) * n
    assert ((counts[[0, 2, 3]] - expected) ** 2 / expected).sum() < 15
    rows = fastnn.multinomial(w.expand(3000, 4), 3)
    assert (np.sort(rows.numpy(), 1) == [0, 2, 3]).all()
    first = np.bincount(rows[:, 0].numpy(), minlength=4)[[0, 2, 3]]
    expected = np.array([0.1, 0.3, 0.6]) * 3000
    assert ((first - expected) ** 2 / expected).sum() < 15


def test_moments_of_the_other_distributions():
    fastnn.manual_seed(2)
    n, d = 40_000, fastnn.float64
    assert abs(fastnn.empty(n, dtype=d).exponential_(2.0).mean() - 0.5) < 0.02
    assert abs(fastnn.empty(n, dtype=d).log_normal_(0.5, 0.25).log().mean() - 0.5) < 0.01
    assert abs(fastnn.empty(n, dtype=d).geometric_(0.25).mean() - 4) < 0.1
    assert abs(fastnn.empty(n, dtype=d).cauchy_(3.0, 2.0).median() - 3) < 0.1
    assert abs(fastnn.empty(n, dtype=d).bernoulli_(0.25).mean() - 0.25) < 0.02


def test_in_place_draws_end_the_history_and_count_as_writes():
    x = fastnn.zeros(5, requires_grad=True)
    y = x * 2
    z = y * y
    y.normal_()
    check_raises(lambda: z.sum().backward(), RuntimeError, "modified by an inplace operation")
    y.sum().backward()
    assert x.grad is None or not x.grad.any()
    check_raises(lambda: x.uniform_(), RuntimeError, "leaf Variable")


def test_errors_of_random_functions():
    x = fastnn.zeros(3)
    check_raises(lambda: x.uniform_(2, 1), RuntimeError, "from=2", unchanged=(x.numpy(),))
    check_raises(lambda: x.normal_(0, -1), RuntimeError, "std >= 0.0", "-1")
    check_raises(lambda: x.normal_(0, math.nan), RuntimeError, "std >= 0.0")
    check_raises(lambda: x.bernoulli_(1.5), RuntimeError, "[0, 1]", "1.5")
    check_raises(lambda: x.random_(5, 5), RuntimeError, "from=5")
    check_raises(lambda: x.exponential_(0), RuntimeError, "lambda")
    check_raises(lambda: fastnn.rand(3, dtype=fastnn.int64), RuntimeError, "int64")
    check_raises(lambda: fastnn.rand(-3), RuntimeError, "negative")
    check_raises(lambda: fastnn.randint(5, 5, (3,)), RuntimeError, "from=5")
    check_raises(lambda: fastnn.randint(0, 300, (3,), dtype=fastnn.uint8), RuntimeError, "uint8")
    check_raises(lambda: fastnn.randperm(-1), ValueError, "non-negative")
    check_raises(lambda: fastnn.bernoulli(x + 2), ValueError, "2")
    check_raises(lambda: fastnn.multinomial(x, 1), RuntimeError, "sum of probabilities")
    check_raises(lambda: fastnn.multinomial(x - 1, 1), RuntimeError, "element < 0")
    check_raises(lambda: fastnn.multinomial(fastnn.eye(3)[0], 2), RuntimeError, "non-zero")


# ---- Dropout ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_masks_scales_and_repeats_the_mask_backward(p):
    fastnn.manual_seed(3)
    x = (fastnn.rand(300, 70) + 0.5).requires_grad_()
    y = F.dropout(x, p)
    dy = fastnn.randn(300, 70)
    y.backward(dy)
    keep = y.detach().numpy() != 0
    assert abs(keep.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / keep.size)
    want = reference.dropout_forward(x.detach().numpy(), keep, p)
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=3e-7)
    want = reference.dropout_backward(dy.numpy(), x, keep, p)[0]
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=3e-7)


def test_dropout_in_place_in_eval_and_twice_differentiated():
    x = fastnn.ones(100)
    assert F.dropout(x, 0.5, training=False) is x and F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(x.tolist()) == {0.0, 2.0}
    assert not F.dropout(x, 1.0).any()
    v = fastnn.ones(50, requires_grad=True)
    (g,) = fastnn.autograd.grad((F.dropout(v, 0.4) ** 2).sum(), v, create_graph=True)
    (h,) = fastnn.autograd.grad(g.sum(), v)
    np.testing.assert_allclose(h.numpy() * v.detach().numpy(), g.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "shape", "lead"),
    [(F.dropout1d, (6, 50, 9), 2), (F.dropout1d, (50, 9), 1), (F.dropout2d, (6, 50, 3, 4), 2),
     (F.dropout3d, (6, 50, 3, 2, 2), 2), (F.dropout3d, (50, 3, 2, 2), 1)],
)  # fmt: skip
def test_feature_dropout_takes_whole_channels(f, shape, lead):
    y = f(fastnn.ones(shape), 0.5).numpy().reshape(*shape[:lead], -1)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[..., :1]).all()


@pytest.mark.parametrize(("f", "shape"), [(F.alpha_dropout, (400, 300)),
                                          (F.feature_alpha_dropout, (400, 300, 2))])  # fmt: skip
def test_alpha_dropout_keeps_mean_and_variance(f, shape):
    fastnn.manual_seed(4)
    x = fastnn.randn(shape)
    y = f(x, 0.3, training=True)
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03
    values, counts = np.unique(y.numpy(), return_counts=True)
    keep = y.numpy() != values[counts.argmax()]  # what is masked has one value
    assert abs(keep.mean() - 0.7) < 0.02
    want = reference.alpha_dropout_forward(x.numpy(), keep, 0.3)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5, atol=1e-6)
    if f is F.feature_alpha_dropout:
        assert (keep[..., 0] == keep[..., 1]).all()
    assert f(x, 0.3, training=False) is x


def test_dropout_layers():
    layer = nn.Dropout(0.25)
    assert repr(layer) == "Dropout(p=0.25, inplace=False)"
    x = fastnn.ones(1000)
    assert 0.15 < (layer(x) == 0).float().mean() < 0.35
    assert layer.eval()(x) is x
    for cls in (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout):
        check_raises(lambda cls=cls: cls(1.2), ValueError, "between 0 and 1", "1.2")
        assert repr(cls()) == f"{cls.__name__}(p=0.5, inplace=False)"
    check_raises(lambda: F.dropout(x, -0.1), ValueError, "between 0 and 1", "-0.1")
    check_raises(lambda: F.dropout(x.long()), TypeError, "floating-point")
    check_raises(lambda: F.dropout1d(fastnn.ones(2, 3, 4, 5)), ValueError, "dropout1d", "4-D")
