"""Networks in bfloat16 and float16 train on real digits, parameters and optimizer state included."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from fastnn.datasets import MNIST5k
from tests.data import or_skip

MODELS = {"mlp": lambda: models.MLP(hidden=(64,)), "lenet5": models.LeNet5}
# bfloat16 keeps 8 bits: a step below 1/256 of a weight is lost, so that SGD takes larger ones.
OPTIMIZERS = {
    "sgd": lambda p: fastnn.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: fastnn.optim.Adam(p, lr=2e-3, eps=1e-4),  # float16 has no 1e-8
    "adamw": lambda p: fastnn.optim.AdamW(p, lr=2e-3, eps=1e-4),
    "rmsprop": lambda p: fastnn.optim.RMSprop(p, lr=1e-3, eps=1e-4),
}


@pytest.fixture(scope="module")
def digits():
    """800 digits to learn from and 400 others, every class alike, as float32 images of mean 0."""
    data = or_skip(MNIST5k)
    x = np.asarray(data.data)[:, None].astype(np.float32) / 255
    x, y = (x - x.mean()) / x.std(), np.asarray(data.targets).astype(np.int64)
    return (x[::6][:800], y[::6][:800]), (x[3::12][:400], y[3::12][:400])


def fit(model, optimizer, dtype, x, y, epochs=6):
    """Losses of the steps."""
    images, labels = fastnn.from_numpy(x).to(dtype), fastnn.from_numpy(y)
    losses = []
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(y))
        for rows in np.split(order, len(y) // 40):
            optimizer.zero_grad()
            rows = fastnn.from_numpy(rows)
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("name", "optimizer"), [("lenet5", "sgd"), *(("mlp", o) for o in OPTIMIZERS)]
)
def test_learns(digits, name, optimizer, dtype):
    (x, y), (x_test, y_test) = digits
    kind = getattr(fastnn, dtype)
    model = MODELS[name]().to(kind)
    assert {p.dtype for p in model.parameters()} == {kind}
    losses = fit(model, OPTIMIZERS[optimizer](model.parameters()), kind, x, y)
    assert np.isfinite(losses).all()
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()}
    with fastnn.no_grad():
        scores = model(fastnn.from_numpy(x_test).to(kind))
    accuracy = (scores.argmax(1).numpy() == y_test).mean()
    assert accuracy > 0.8, accuracy  # chance is 0.1; float32 reaches 0.88 to 0.90
