"""A PyTorch state_dict of plain arrays gives the same numbers in the model of the same name."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastnn
from fastnn import models


def _torch_lenet(classic):
    t = torch.nn
    act, pool = (t.Tanh, t.AvgPool2d) if classic else (t.ReLU, t.MaxPool2d)
    net = t.Module()
    net.features = t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), act(), pool(2), t.Conv2d(6, 16, 5), act(), pool(2)
    )
    net.classifier = t.Sequential(
        t.Flatten(), t.Linear(400, 120), act(), t.Linear(120, 84), act(), t.Linear(84, 10)
    )
    net.forward = lambda x: net.classifier(net.features(x))
    return net


def _torch_mlp():
    t = torch.nn
    return t.Sequential(
        t.Flatten(), t.Linear(784, 64), t.ReLU(), t.Linear(64, 32), t.ReLU(), t.Linear(32, 10)
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (models.LeNet5, lambda: _torch_lenet(False)),
        (lambda: models.LeNet5(classic=True), lambda: _torch_lenet(True)),
        (lambda: models.MLP(784, (64, 32), 10), _torch_mlp),
    ],
    ids=["lenet5", "lenet5-classic", "mlp"],
)
def test_same_outputs_and_gradients(rng, ours, theirs):
    torch.manual_seed(0)
    net, model = theirs(), ours()
    state = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    assert list(model.state_dict()) == list(state)
    model.load_state_dict({k: fastnn.tensor(v) for k, v in state.items()})

    x = rng.normal(size=(9, 1, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, 9)
    want = net.forward(torch.from_numpy(x))
    got = model(fastnn.tensor(x))
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)

    torch.nn.functional.cross_entropy(want, torch.from_numpy(y)).backward()
    fastnn.nn.functional.cross_entropy(got, fastnn.tensor(y)).backward()
    for (name, p), q in zip(model.named_parameters(), net.parameters(), strict=True):
        np.testing.assert_allclose(
            p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-6, err_msg=name
        )
