"""A whole training has the same bits at every thread count and in every process."""

import os
import subprocess
import sys

import pytest

TRAIN = """
import hashlib, sys
import numpy as np
import fastnn
from fastnn import nn, optim

fastnn.manual_seed(7)
rng = np.random.default_rng(7)
if sys.argv[1] == "lenet":
    net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(6),
                        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.3),
                        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 10))
    shape = (32, 1, 28, 28)
else:
    net = nn.Sequential(nn.Linear(100, 257), nn.LayerNorm(257), nn.GELU(), nn.Dropout(0.5),
                        nn.Linear(257, 10))
    shape = (67, 100)
optimizer = optim.Adam(net.parameters(), lr=1e-3)
digest, losses = hashlib.sha256(), []
for step in range(30):
    x = fastnn.from_numpy(rng.standard_normal(shape).astype(np.float32))
    y = fastnn.from_numpy(rng.integers(0, 10, shape[0]))
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    digest.update(loss._data.tobytes())
for t in net.state_dict().values():
    digest.update(t.numpy().tobytes())
assert losses[-1] == losses[-1] and len(set(losses)) == 30
print(digest.hexdigest())
"""


def train(model, threads):

    set_threads = f"from fastnn import _core\n_core.set_num_threads({threads})\n"
    done = subprocess.run(
        [sys.executable, "-c", set_threads + TRAIN, model],
        env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("model", ["lenet", "mlp"])
def test_thirty_steps_have_the_same_bits(model):
    first = train(model, 1)
    assert len(first) == 64
    assert [train(model, n) for n in (1, 2, 3)] == [first] * 3
