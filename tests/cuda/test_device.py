"""Tensors on a GPU: moving, views, gradients, errors."""

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn


@pytest.mark.parametrize(
    "dtype", [fastnn.float32, fastnn.bfloat16, fastnn.float16, fastnn.float64, fastnn.int64, fastnn.bool]
)  # fmt: skip
def test_there_and_back(dtype):
    x = fastnn.arange(24).reshape(2, 3, 4).to(dtype)
    y = x.cuda()
    assert y.is_cuda and y.device == fastnn.device("cuda:0") and y.dtype is dtype
    assert y.cuda() is y and x.cpu() is x
    assert y.cpu().equal(x) and not y.cpu().is_cuda
    assert y.tolist() == x.tolist()


def test_device_and_dtype_at_once():
    x = fastnn.arange(3).to("cuda", fastnn.float32)
    assert x.is_cuda and x.dtype is fastnn.float32


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,)])
def test_small_shapes(shape):
    x = fastnn.ones(shape)
    assert (x.cuda() + 1).cpu().equal(x + 1)


def test_creation():
    for t in (
        fastnn.zeros(2, 3, device="cuda"),
        fastnn.ones(2, 3, device="cuda:0"),
        fastnn.full((2, 3), 4.0, device=fastnn.device("cuda")),
        fastnn.tensor([[1.0, 2, 3], [4, 5, 6]], device=0),
        fastnn.empty(2, 3, device="cuda").new_ones(2, 3),
    ):
        assert t.is_cuda and t.shape == (2, 3)
    assert fastnn.zeros_like(fastnn.ones(3, device="cuda")).is_cuda


def test_random_numbers_are_the_cpus():
    for make in (fastnn.rand, fastnn.randn):
        fastnn.manual_seed(3)
        cpu = make(1000)
        fastnn.manual_seed(3)
        assert make(1000, device="cuda").cpu().equal(cpu)


def test_views_share_memory():
    x = fastnn.arange(24.0).reshape(4, 6).cuda()
    expected = np.arange(24.0, dtype=np.float32).reshape(4, 6)
    for view in (
        lambda t: t[1:3], lambda t: t[:, ::2], lambda t: t[2], lambda t: t.T,
        lambda t: t.reshape(2, 12), lambda t: t[None, :, 1],
    ):  # fmt: skip
        assert np.array_equal(view(x).cpu().numpy(), view(expected))
    x[1:3].zero_()
    x[0, ::3] = 7
    expected[1:3] = 0
    expected[0, ::3] = 7
    assert np.array_equal(x.cpu().numpy(), expected)


def _losses(device, steps=4, dtype=None):
    fastnn.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.25), nn.Linear(288, 10),
    ).to(device)  # fmt: skip
    if dtype is not None:
        model.to(dtype)
    x, y = fastnn.randn(16, 1, 28, 28).to(device), fastnn.randint(0, 10, (16,)).to(device)
    optimizer = fastnn.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x if dtype is None else x.to(dtype)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_gives_the_cpus_losses():
    np.testing.assert_allclose(_losses("cuda"), _losses("cpu"), rtol=2e-5)


@pytest.mark.parametrize("dtype", [fastnn.bfloat16, fastnn.float16])
def test_training_in_half_precision(dtype):
    np.testing.assert_allclose(_losses("cuda", dtype=dtype), _losses("cpu", dtype=dtype), rtol=3e-2)


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_sgd(momentum):
    for device in ("cpu", "cuda"):
        p = nn.Parameter(fastnn.arange(12.0).reshape(3, 4).to(device))
        optimizer = fastnn.optim.SGD([p], 0.1, momentum=momentum)
        for _ in range(3):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        if device == "cpu":
            expected = p.detach().numpy()
    np.testing.assert_allclose(p.detach().cpu().numpy(), expected, rtol=1e-6)


def test_gradients_move_between_devices():
    x = fastnn.tensor([1.0, 2, 3], requires_grad=True)
    (x.cuda() * 2).cpu().sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_module_to_and_state():
    model = nn.Linear(3, 2).cuda()
    assert all(p.is_cuda for p in model.parameters())
    state = model.state_dict()
    other = nn.Linear(3, 2)
    other.load_state_dict({k: v.cpu() for k, v in state.items()})
    assert other.weight.equal(model.weight.cpu())
    assert copy.deepcopy(model).weight.is_cuda
    assert not model.cpu().weight.is_cuda


def test_save_and_load(tmp_path):
    t = fastnn.randn(3, 4)
    fastnn.save({"t": t.cuda()}, tmp_path / "t.safetensors")
    assert fastnn.load(tmp_path / "t.safetensors")["t"].equal(t)
    assert fastnn.load(tmp_path / "t.safetensors", map_location="cuda")["t"].is_cuda


def test_mixed_devices_are_refused():
    a, b = fastnn.ones(3), fastnn.ones(3, device="cuda")
    for call in (
        lambda: a + b,
        lambda: fastnn.ones(2, 3) @ fastnn.ones(3, 2, device="cuda"),
        lambda: nn.functional.cross_entropy(
            fastnn.ones(2, 3, device="cuda"), fastnn.tensor([0, 1])
        ),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            call()
    assert (b + fastnn.tensor(2.0)).tolist() == [3, 3, 3]  # a number may lie on the CPU


def test_copy_between_devices():
    a, b = fastnn.zeros(2, 3), fastnn.ones(3, device="cuda").requires_grad_()
    a.copy_(b)  # broadcast, and on the tape
    (a * 2).sum().backward()
    assert a.tolist() == [[1, 1, 1]] * 2 and b.grad.is_cuda and b.grad.tolist() == [4, 4, 4]
    assert fastnn.zeros(2, 3, device="cuda").copy_(a.detach()).cpu().equal(a)


def test_numpy_and_printing():
    t = fastnn.ones(2, device="cuda")
    with pytest.raises(TypeError, match=r"Tensor\.cpu"):
        t.numpy()
    assert "device='cuda:0'" in repr(t)
    assert fastnn.ones(1, device="cuda").item() == 1


def test_an_op_without_cuda_kernels_says_so():
    with pytest.raises(NotImplementedError, match="CUDA"):
        nn.functional.layer_norm(fastnn.ones(2, 3, device="cuda"), (3,))


def test_a_device_that_does_not_exist():
    with pytest.raises(RuntimeError, match="cuda:7"):
        fastnn.ones(1, device="cuda:7")
    with pytest.raises(RuntimeError, match="not one of"):
        fastnn.ones(1, device="tpu")


def test_kernels_on_cupy_arrays():
    cupy = pytest.importorskip("cupy")
    x, w = np.ones((2, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    y = fastnn.kernels.conv(cupy.asarray(x), cupy.asarray(w))
    assert isinstance(y, cupy.ndarray)
    np.testing.assert_allclose(y.get(), fastnn.kernels.conv(x, w))


def test_memory_and_streams():
    before = fastnn.cuda.memory_allocated()
    t = fastnn.ones(1000, 1000, device="cuda")
    assert fastnn.cuda.memory_allocated() >= before + 4_000_000
    del t
    fastnn.cuda.synchronize()
    fastnn.cuda.empty_cache()
    assert fastnn.cuda.device_count() >= 1 and fastnn.cuda.current_device() == 0
    assert fastnn.cuda.memory_stats()["allocated"] >= 0
    with fastnn.cuda.stream(fastnn.cuda.Stream()) as s:
        assert fastnn.cuda.current_stream().ptr == s.ptr
        assert (fastnn.ones(3, device="cuda") + 1).sum().item() == 6
