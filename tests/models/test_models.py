"""The models: the rules they are named after, their sizes, and that they learn."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from fastnn.datasets import Digits, Iris
from tests.data import or_skip


def _accuracy(scores, labels):
    return float((scores.numpy().argmax(1) == labels).mean())


def _fit(model, x, y, loss, steps, lr):
    """Full-batch Adam."""
    optimizer = fastnn.optim.Adam([p for p in model.parameters() if p.requires_grad], lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


# ---- perceptron ----------------------------------------------------------------------------------


def test_perceptron_follows_rosenblatts_rule(rng):
    """Sample by sample, against the rule as told: w += lr (wanted - fired) x."""
    lr, classes, features = 0.25, 4, 6
    x = rng.integers(-4, 5, (60, features)).astype(np.float32)
    y = rng.integers(0, classes, 60)
    model = models.Perceptron(features, classes)
    optimizer = fastnn.optim.SGD(model.parameters(), lr)
    weight, bias = np.zeros((classes, features)), np.zeros(classes)
    moved = 0
    for xi, yi in zip(x, y, strict=True):
        optimizer.zero_grad()
        scores = model.scores(fastnn.tensor(xi[None]))
        models.perceptron_loss(scores, fastnn.tensor([int(yi)])).backward()
        optimizer.step()
        error = np.eye(classes)[yi] - (weight @ xi + bias > 0)
        weight += lr * error[:, None] * xi
        bias += lr * error
        moved += bool(error.any())
        # Small whole numbers times a power of two: no rounding on either side.
        np.testing.assert_array_equal(model.linear.weight.detach().numpy(), weight)
        np.testing.assert_array_equal(model.linear.bias.detach().numpy(), bias)
    assert moved > 10


def test_perceptron_units_are_steps(rng):
    model = models.Perceptron(3, 2)
    with fastnn.no_grad():
        model.linear.weight.copy_(fastnn.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))
    out = model(fastnn.tensor([[2.0, 3.0, 0.0], [0.0, -1.0, 5.0]]))
    assert out.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_perceptron_loss_is_the_mean_of_what_is_wrong():
    scores = fastnn.tensor([[2.0, -1.0, 0.5], [-3.0, -0.25, -1.0]])
    # Row 0, class 1: fires for 0 (2) and 2 (0.5), not for 1 (1). Row 1, class 1: only the silent unit (0.25).
    assert models.perceptron_loss(scores, fastnn.tensor([1, 1])).item() == (3.5 + 0.25) / 2


def test_perceptron_separates_what_is_separable(rng):
    x = rng.normal(size=(200, 2)).astype(np.float32)
    x = x[np.abs(x.sum(1)) > 0.3]
    y = (x.sum(1) > 0).astype(np.int64)
    model = models.Perceptron(2, 2)
    optimizer = fastnn.optim.SGD(model.parameters(), 1.0)
    for epoch in range(100):
        wrong = 0
        for xi, yi in zip(x, y, strict=True):
            optimizer.zero_grad()
            loss = models.perceptron_loss(
                model.scores(fastnn.tensor(xi[None])), fastnn.tensor([yi])
            )
            loss.backward()
            optimizer.step()
            wrong += loss.item() > 0
        if epoch and not wrong:
            break
    assert model(fastnn.tensor(x)).numpy().argmax(1).tolist() == y.tolist()


# ---- k-means and radial basis functions ----------------------------------------------------------


def _blobs(rng, centres, each=50, spread=0.1):
    return np.concatenate([c + spread * rng.normal(size=(each, len(c))) for c in centres]).astype(
        np.float32
    )


def test_kmeans_finds_separate_blobs(rng):
    truth = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 30]], float)
    x = _blobs(rng, truth)
    found = models.kmeans(fastnn.tensor(x), 5, generator=fastnn.Generator().manual_seed(3)).numpy()
    nearest = np.linalg.norm(found[:, None] - truth, axis=2).argmin(1)
    assert sorted(nearest) == [0, 1, 2, 3, 4]
    means = x.reshape(5, 50, 2).mean(1)
    np.testing.assert_allclose(found, means[nearest], rtol=1e-5, atol=1e-5)


def test_kmeans_is_a_fixed_point_of_lloyds_step(rng):
    x = rng.normal(size=(300, 3)).astype(np.float32)
    generator = fastnn.Generator().manual_seed(1)
    c = models.kmeans(fastnn.tensor(x), 7, iterations=500, generator=generator).numpy()
    labels = np.linalg.norm(x[:, None] - c, axis=2).argmin(1)
    means = np.stack([x[labels == j].mean(0) for j in range(7)])
    np.testing.assert_allclose(c, means, rtol=1e-5, atol=1e-5)


def test_kmeans_of_few_or_equal_rows():
    x = fastnn.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    assert sorted(models.kmeans(x, 3).tolist()) == x.tolist()
    assert models.kmeans(x, 1).tolist() == [[2.0, 3.0]]
    same = fastnn.ones(10, 2)
    assert models.kmeans(same, 4).tolist() == [[1.0, 1.0]] * 4
    for k in (0, 4, -1):
        with pytest.raises(ValueError, match="between 1 and the number of rows 3"):
            models.kmeans(x, k)


def test_kmeans_leaves_its_input_and_the_global_stream_alone(rng):
    x = rng.normal(size=(40, 3)).astype(np.float32)
    rows = fastnn.tensor(x)
    state = fastnn.get_rng_state()
    one, two = (
        models.kmeans(rows, 5, generator=fastnn.Generator().manual_seed(2)) for _ in range(2)
    )
    assert one.tolist() == two.tolist()
    assert (rows.numpy() == x).all()
    assert fastnn.get_rng_state().tolist() == state.tolist()


def test_rbf_is_its_formula(rng):
    model = models.RBFNetwork(3, 5, 2, train_centres=True)
    x = rng.normal(size=(4, 3)).astype(np.float32)
    with fastnn.no_grad():
        model.log_width.copy_(fastnn.tensor(rng.normal(size=5).astype(np.float32)))
    c, s, w, b = (p.detach().numpy().astype(np.float64) for p in model.parameters())
    distance = ((x[:, None] - c) ** 2).sum(2)
    want = np.exp(-distance / (2 * np.exp(s) ** 2)) @ w.T + b
    np.testing.assert_allclose(model(fastnn.tensor(x)).detach().numpy(), want, rtol=1e-5, atol=1e-6)


def test_rbf_gradients_match_finite_differences(rng):
    model = models.RBFNetwork(3, 4, 2, train_centres=True).to(fastnn.float64)
    x = fastnn.tensor(rng.normal(size=(5, 3)), requires_grad=True)
    model(x).square().sum().backward()
    for p in (x, *model.parameters()):
        got = p.grad.numpy().ravel()
        flat = p.detach().numpy().reshape(-1)
        for i in range(flat.size):
            kept, sums = flat[i], []
            for step in (1e-6, -1e-6):
                flat[i] = kept + step
                sums.append(model(x).square().sum().item())
            flat[i] = kept
            assert got[i] == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_rbf_learns_rings_that_no_line_separates(rng):
    angle, radius = rng.uniform(0, 2 * np.pi, 300), np.repeat([1.0, 3.0, 5.0], 100)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    x = fastnn.tensor((x + 0.1 * rng.normal(size=x.shape)).astype(np.float32))
    y = np.repeat([0, 1, 2], 100)
    fastnn.manual_seed(0)
    model = models.RBFNetwork(2, 30, 3)
    model.fit_centres(x)
    assert not model.centres.requires_grad
    assert float(model.log_width.min()) > -5
    _fit(model, x, fastnn.tensor(y), nn.functional.cross_entropy, 200, 0.1)
    assert _accuracy(model(x).detach(), y) > 0.98


# ---- MLP -----------------------------------------------------------------------------------------


def test_mlp_layers():
    model = models.MLP(12, (8, 6), 3, activation=nn.Tanh, dropout=0.5)
    kinds = [type(m).__name__ for m in model]
    assert kinds == ["Flatten", *["Linear", "Tanh", "Dropout"] * 2, "Linear"]
    assert model(fastnn.zeros(5, 3, 4)).shape == (5, 3)
    assert [type(m).__name__ for m in models.MLP(4, (), 3)] == ["Flatten", "Linear"]


def test_mlp_learns_iris():
    data = or_skip(Iris)
    x, y = np.asarray(data.data, np.float32), np.asarray(data.targets)
    x = (x - x.mean(0)) / x.std(0)
    fastnn.manual_seed(0)
    model = models.MLP(4, (16,), 3)
    rest = np.arange(len(y)) % 3 != 0
    _fit(
        model,
        fastnn.tensor(x[rest]),
        fastnn.tensor(y[rest]),
        nn.functional.cross_entropy,
        150,
        0.02,
    )
    assert _accuracy(model(fastnn.tensor(x[~rest])).detach(), y[~rest]) >= 0.92


def test_mlp_learns_digits():
    parts = [or_skip(Digits, train=part) for part in (True, False)]
    (x, y), (tx, ty) = (
        (np.asarray(p.data, np.float32) / 8 - 1, np.asarray(p.targets)) for p in parts
    )
    fastnn.manual_seed(0)
    model = models.MLP(64, (64,), 10)
    _fit(model, fastnn.tensor(x), fastnn.tensor(y), nn.functional.cross_entropy, 80, 0.01)
    assert _accuracy(model(fastnn.tensor(tx)).detach(), ty) > 0.9


# ---- LeNet-5 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("classic", [False, True])
def test_lenet5_sizes(classic):
    model = models.LeNet5(classic=classic)
    assert sum(p.numel() for p in model.parameters()) == 61_706
    x = fastnn.zeros(3, 1, 28, 28)
    assert model.features(x).shape == (3, 16, 5, 5)
    assert model(x).shape == (3, 10)
    assert models.LeNet5(47)(x).shape == (3, 47)
    assert model(fastnn.zeros(0, 1, 28, 28)).shape == (0, 10)
