"""linear_cross_entropy() and its layer beside PyTorch's."""

import inspect
import warnings

import numpy as np
import pytest

import fastnn

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore", [None, 2])
@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_the_layer(reduction, ignore, chunk, bias, rng):
    x = rng.standard_normal((8, 6)).astype(np.float32)
    class_weight = rng.random(5).astype(np.float32)
    labels = np.array([0, 4, 2, -100, 1, 3, 3, 2]) if ignore is None else rng.integers(0, 5, 8)
    values = {"linear.weight": rng.standard_normal((5, 6)).astype(np.float32)}
    if bias:
        values["linear.bias"] = rng.standard_normal(5).astype(np.float32)
    seen = []
    for m in (torch, fastnn):
        options = None if chunk is None else m.nn.LinearCrossEntropyOptions(batch_chunk_size=chunk)
        layer = m.nn.LinearCrossEntropyLoss(
            6, 5, bias=bias, reduction=reduction, ignore_index=ignore, weight=m.tensor(class_weight), options=options
        )  # fmt: skip
        state = {k: m.tensor(v) for k, v in values.items()} | {"weight": m.tensor(class_weight)}
        layer.load_state_dict(state)
        leaf = m.tensor(x).requires_grad_()
        loss = layer(leaf, m.tensor(labels))
        loss.sum().backward()
        seen.append([loss, leaf.grad, *[p.grad for p in layer.parameters()]])
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), 2e-5, 2e-6)


def test_dimensions_and_printing(rng):
    x, labels = rng.standard_normal((4, 3)), rng.integers(0, 5, (4, 2))
    w, b = rng.standard_normal((10, 3)), rng.standard_normal(10)
    losses, texts = [], []
    for m in (torch, fastnn):
        layer = m.nn.LinearCrossEntropyLoss(3, 5, out_features=(2,), bias=True, dtype=m.float64)
        layer.load_state_dict({"linear.weight": m.tensor(w), "linear.bias": m.tensor(b)})
        losses.append(layer(m.tensor(x), m.tensor(labels)).item())
        texts.append(repr(layer))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["LinearCrossEntropyLoss", "LinearCrossEntropyOptions"])
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(m.nn, name)).parameters for m in (fastnn, torch))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize(
    "batch, features, classes", [(64, 8, 80), (7, 8, 3), (1, 1, 1), (4096, 512, 32000)]
)
@pytest.mark.parametrize("method", ["aspect_ratio", "aspect_ratio:4", None])
def test_sizes_of_pieces(method, batch, features, classes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.nn.LinearCrossEntropyOptions(chunking_method=method)._adjust(
            batch, features, classes, torch.float32, torch.device("cpu")
        )
    ours = fastnn.nn.LinearCrossEntropyOptions(chunking_method=method).rows(
        batch, features, classes
    )
    assert ours == theirs.batch_chunk_size
