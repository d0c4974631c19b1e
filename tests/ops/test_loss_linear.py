"""linear_cross_entropy(): by pieces of the batch as in one."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.autograd import gradcheck, gradgradcheck
from fastnn.nn import LinearCrossEntropyOptions as Options
from fastnn.nn.functional import cross_entropy, linear, linear_cross_entropy

N, FEATURES, CLASSES = 11, 6, 5
PIECES = [
    Options(),
    *[Options(batch_chunk_size=n) for n in (1, 3, 11, 50)],
    Options(chunking_method=None),
]
LABELS = np.array([0, 4, -100, 2, 2, 1, -100, 3, 0, 0, 4])


def operands(rng, dtype=fastnn.float64, bias=True):
    shapes = [(N, FEATURES), (CLASSES, FEATURES)] + ([(CLASSES,)] if bias else [])
    return [fastnn.tensor(rng.standard_normal(s), dtype=dtype).requires_grad_() for s in shapes]


def by_definition(x, w, b=None, *, weight=None, **named):
    return cross_entropy(linear(x, w, b), fastnn.tensor(LABELS), weight, **named)


def results(function, tensors, dy):
    for t in tensors:
        t.grad = None
    y = function(*tensors)
    y.backward(dy if y.dim() else None)
    return [y.detach().double().numpy(), *[t.grad.double().numpy() for t in tensors]]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype, bar", [("float64", 1e-13), ("float32", 2e-6), ("bfloat16", 0.02)])
def test_pieces_add_up(dtype, bar, reduction, smoothing, weighted, bias, rng):
    dtype = getattr(fastnn, dtype)
    tensors = operands(rng, dtype, bias)
    weight = fastnn.rand(CLASSES, dtype=dtype) + 0.5 if weighted else None
    named = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    dy = fastnn.randn(N, dtype=dtype)
    want = results(lambda *t: by_definition(*t, **named), tensors, dy)

    def ours(options):
        def loss(x, w, b=None):
            labels = fastnn.tensor(LABELS)
            return linear_cross_entropy(x, w, labels, linear_bias=b, options=options, **named)

        return results(loss, tensors, dy)

    for options in [None, *PIECES]:
        for a, b in zip(ours(options), want, strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max() <= bar * max(1, np.abs(b).max())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients_by_finite_differences(reduction, rng):
    labels = fastnn.tensor(LABELS)

    def loss(x, w, b):
        return linear_cross_entropy(
            x, w, labels, linear_bias=b, reduction=reduction, options=Options(batch_chunk_size=4)
        )

    assert gradcheck(loss, tuple(operands(rng)))
    assert gradgradcheck(loss, tuple(operands(rng)))


def test_only_the_wanted_gradients(rng):
    for wanted in [(True, False), (False, True)]:
        x, w = (
            t.detach().requires_grad_(y)
            for t, y in zip(operands(rng, bias=False), wanted, strict=True)
        )
        for reduction in ("mean", "none"):
            loss = linear_cross_entropy(
                x, w, fastnn.tensor(LABELS), options=Options(), reduction=reduction
            )
            loss.sum().backward()
        assert (x.grad is not None, w.grad is not None) == wanted


def test_backward_again_gives_the_same_bits(rng):
    for reduction in ("mean", "none"):
        x, w = operands(rng, fastnn.float32, False)
        loss = linear_cross_entropy(
            x, w, fastnn.tensor(LABELS), options=Options(), reduction=reduction
        )
        loss = loss.sum()
        loss.backward(retain_graph=True)
        first, w.grad = w.grad, None
        loss.backward()
        assert w.grad.numpy().tobytes() == first.numpy().tobytes()


def test_the_logits_never_exist_whole():
    n, classes = 512, 20_000
    x, w = fastnn.randn(n, 8), fastnn.randn(classes, 8).requires_grad_()
    labels = fastnn.randint(0, classes, (n,))
    fastnn.empty_cache()
    fastnn.reset_peak_memory_stats()
    before = fastnn.memory_stats()["peak"]
    linear_cross_entropy(x, w, labels, options=Options(batch_chunk_size=16)).backward()
    assert fastnn.memory_stats()["peak"] - before < n * classes * 4 / 5


def test_one_sample_no_samples_and_none_that_counts():
    w = fastnn.randn(3, 2).requires_grad_()
    x = fastnn.randn(2)
    for reduction in ("mean", "none"):
        named = {"options": Options(), "reduction": reduction}
        one = linear_cross_entropy(x, w, fastnn.tensor(1), **named)
        want = cross_entropy(linear(x, w), fastnn.tensor(1))
        assert one.shape == () and abs(one.item() - want.item()) < 1e-6
        none = linear_cross_entropy(fastnn.zeros(0, 2), w, fastnn.zeros(0).long(), **named)
        assert none.shape == (() if reduction == "mean" else (0,))
    loss = linear_cross_entropy(fastnn.randn(2, 2), w, fastnn.full((2,), -100), options=Options())
    loss.backward()
    assert np.isnan(loss.item()) and not w.grad.any()


def test_many_dimensions_and_probabilities():
    x, w = fastnn.randn(4, 3), fastnn.randn(5, 2, 3)
    logits = linear(x, w.reshape(10, 3)).reshape(4, 5, 2)
    labels = fastnn.randint(0, 5, (4, 2))
    assert fastnn.equal(linear_cross_entropy(x, w, labels), cross_entropy(logits, labels))
    likely = fastnn.softmax(fastnn.randn(4, 5), 1)
    with pytest.warns(UserWarning, match="options ignored"):
        loss = linear_cross_entropy(x, w[:, 0], likely, options=Options())
    assert fastnn.equal(loss, cross_entropy(logits[:, :, 0], likely))
    with pytest.raises(RuntimeError, match="ignore_index"):
        linear_cross_entropy(x, w[:, 0], likely, ignore_index=1)


def test_refused():
    x, w, labels = fastnn.randn(4, 3), fastnn.randn(5, 3), fastnn.tensor([0, 1, 2, 3])
    for call, text in [
        (lambda: linear_cross_entropy(x[None], w, labels), "dimensionality 1 or 2"),
        (lambda: linear_cross_entropy(x, w[0], labels), "at least 2"),
        (lambda: linear_cross_entropy(x, w[:, :2], labels), "in_features"),
        (lambda: linear_cross_entropy(x, w, labels, linear_bias=x[0]), r"linear_bias shape \(5,\)"),
        (lambda: linear_cross_entropy(x[0], w[None], labels[0]), "batched"),
        (lambda: linear_cross_entropy(x, w, labels[:3], options=Options()), r"shape \(4,\)"),
        (lambda: linear_cross_entropy(x, w, labels, reduction="x"), "reduction"),
        (lambda: linear_cross_entropy(x, w, labels + 3, options=Options()), "[Cc]lass"),
        (lambda: Options(batch_chunk_size=0), "positive"),
        (lambda: Options(chunking_method="x"), "chunking_method"),
        (lambda: Options(chunking_method="aspect_ratio:0"), "chunking_method"),
        (lambda: Options(acc_policy="x"), "acc_policy"),
        (lambda: Options(batch_chunk_size=3, chunking_method="aspect_ratio").rows(64, 8, 80), "only one"),
        (lambda: nn.LinearCrossEntropyLoss(3, 5, weight=fastnn.ones(4)), "weight"),
        (lambda: nn.LinearCrossEntropyLoss(3, 5, label_smoothing=2.0), "label_smoothing"),
    ]:  # fmt: skip
        with pytest.raises((ValueError, IndexError, RuntimeError), match=text):
            call()
    with pytest.raises(TypeError, match="linear_weight"):
        linear_cross_entropy(x, 3, labels)
