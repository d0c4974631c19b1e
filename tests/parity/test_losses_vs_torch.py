"""Every loss function and layer beside PyTorch: values, gradients, reductions, refusals."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastnn

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.standard_normal(shape)


X, T = normal(5, 4), normal(5, 4)
P, B = 1 / (1 + np.exp(-normal(5, 4))), (normal(5, 4) > 0).astype(float)
SIGN = np.where(normal(5) > 0, 1.0, -1.0)
CLASSES = RNG.integers(0, 4, 5)
LABELS = np.array([[0, 2, -1, 1], [3, -1, 0, 0], [1, 0, 2, 3], [-1, 0, 0, 0], [2, 1, 0, -1]])
LOGP = np.log(P / P.sum(1, keepdims=True))

# name: (float arguments, other tensors, keyword arguments)
CASES = [
    ("mse_loss", [X, T], [], {}),
    ("l1_loss", [X, T], [], {}),
    ("huber_loss", [X, T], [], {"delta": 0.7}),
    ("smooth_l1_loss", [X, T], [], {"beta": 0.6}),
    ("smooth_l1_loss", [X, T], [], {"beta": 0.0}),
    ("binary_cross_entropy", [P, B], [], {}),
    ("binary_cross_entropy_with_logits", [X * 10, B], [], {}),
    ("kl_div", [LOGP, P], [], {}),
    ("kl_div", [LOGP, np.log(P)], [], {"log_target": True}),
    ("kl_div", [LOGP, B], [], {}),
    ("poisson_nll_loss", [X, np.round(np.abs(T) * 3)], [], {}),
    ("poisson_nll_loss", [np.abs(X), np.round(np.abs(T) * 3)], [], {"log_input": False, "full": True}),
    ("gaussian_nll_loss", [X, T, np.abs(normal(5, 4)) + 0.1], [], {}),
    ("gaussian_nll_loss", [X, T, np.abs(normal(5, 1)) + 0.1], [], {"full": True}),
    ("soft_margin_loss", [X, np.where(T > 0, 1.0, -1.0)], [], {}),
    ("hinge_embedding_loss", [X, np.where(T > 0, 1.0, -1.0)], [], {"margin": 0.5}),
    ("margin_ranking_loss", [X[:, 0], T[:, 0], SIGN], [], {"margin": 0.3}),
    ("multilabel_soft_margin_loss", [X, B], [], {}),
    ("cosine_embedding_loss", [X, T, SIGN], [], {"margin": 0.1}),
    ("triplet_margin_loss", [X, T, normal(5, 4)], [], {"margin": 0.9}),
    ("triplet_margin_loss", [X, T, normal(5, 4)], [], {"swap": True, "p": 1}),
    ("multi_margin_loss", [X], [CLASSES], {}),
    ("multi_margin_loss", [X], [CLASSES], {"p": 2, "margin": 0.5}),
    ("multilabel_margin_loss", [X], [LABELS], {}),
    ("cross_entropy", [X], [CLASSES], {"label_smoothing": 0.1}),
    ("nll_loss", [LOGP], [CLASSES], {}),
]  # fmt: skip


# Their targets are signs or counts.
NO_TARGET_GRADIENT = ("soft_margin_loss", "hinge_embedding_loss", "kl_div", "poisson_nll_loss")


def gradients(t, name, floats, others, kwargs, seed):
    leaves = [
        t.tensor(a, requires_grad=i < 2 or name == "triplet_margin_loss")
        for i, a in enumerate(floats)
    ]
    if name in NO_TARGET_GRADIENT:
        leaves[1] = t.tensor(floats[1])
    out = getattr(t.nn.functional, name)(*leaves, *[t.tensor(a) for a in others], **kwargs)
    g = np.random.default_rng(seed).standard_normal(tuple(out.shape))
    out.backward(t.tensor(g))
    return out, [x.grad for x in leaves if x.requires_grad]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{i}-{CASES[i][0]}")
def test_values_and_gradients(case, reduction):
    name, floats, others, kwargs = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, our_grads = gradients(
            fastnn, name, floats, others, {**kwargs, "reduction": reduction}, 1
        )
        theirs, their_grads = gradients(
            torch, name, floats, others, {**kwargs, "reduction": reduction}, 1
        )
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-11, atol=1e-11
    )
    for a, b in zip(our_grads, their_grads, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-11)


OTHERS = ("CTCLoss", "AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss")
LAYERS = [n for n in dir(torch.nn) if n.endswith("Loss") and n not in OTHERS]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_print_and_keep_their_options(name):
    ours, theirs = getattr(fastnn.nn, name)(), getattr(torch.nn, name)()
    assert repr(ours) == repr(theirs)
    assert ours.reduction == theirs.reduction and list(ours.state_dict()) == list(
        theirs.state_dict()
    )


def test_layers_give_the_functions_values():
    x, t = fastnn.tensor(X), fastnn.tensor(T)
    assert fastnn.nn.MSELoss()(x, t).item() == pytest.approx(((X - T) ** 2).mean())
    assert fastnn.nn.CosineSimilarity()(x, t).shape == (5,)
    assert fastnn.nn.PairwiseDistance()(x, t).shape == (5,)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda f: f.mse_loss(fastnn.ones(2), fastnn.ones(2), reduction="average"), ValueError),
        (lambda f: f.binary_cross_entropy(fastnn.ones(2) * 2, fastnn.ones(2)), RuntimeError),
        (lambda f: f.binary_cross_entropy_with_logits(fastnn.ones(2), fastnn.ones(3)), ValueError),
        (lambda f: f.cross_entropy(fastnn.ones(2, 3), fastnn.tensor([0, 3])), IndexError),
        (lambda f: f.cross_entropy(fastnn.ones(2, 3), fastnn.tensor([0, -1])), IndexError),
        (lambda f: f.nll_loss(fastnn.ones(2, 3), fastnn.tensor([0, 5])), IndexError),
        (lambda f: f.multi_margin_loss(fastnn.ones(2, 3), fastnn.tensor([0, 5])), IndexError),
        (lambda f: f.huber_loss(fastnn.ones(2), fastnn.ones(2), delta=-1), ValueError),
        (lambda f: f.triplet_margin_loss(*[fastnn.ones(2, 3)] * 3, margin=0), ValueError),
    ],
)
def test_refusals(call, error):
    with pytest.raises(error):
        call(fastnn.nn.functional)
