"""What goes wrong says so, changes nothing, and leaves CUDA usable."""

import pytest

import fastnn
from fastnn import _cuda

cupy = pytest.importorskip("cupy")
FAKE = hasattr(cupy.cuda, "StreamOrderError")
needs_stand_in = pytest.mark.skipif(not FAKE, reason="asks the stand-in for a broken machine")


@pytest.fixture(autouse=True)
def still_usable():
    yield
    assert (fastnn.ones(3, device="cuda") * 2).sum().item() == 6


@pytest.fixture
def load_again(monkeypatch):
    """CUDA as it is before its first use."""
    monkeypatch.setattr(_cuda, "_cupy", None)
    monkeypatch.setattr(_cuda, "_failure", None)
    monkeypatch.setattr(_cuda, "_supported", set())


@needs_stand_in
def test_no_driver(monkeypatch, load_again):
    def count():
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", count)
    assert not fastnn.cuda.is_available() and fastnn.cuda.device_count() == 0
    with pytest.raises(
        RuntimeError, match=r"no GPU can be used.*InsufficientDriver.*plugin fastnn-cuda13"
    ):
        fastnn.ones(2, device="cuda")


@needs_stand_in
def test_no_gpu(monkeypatch, load_again):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(RuntimeError, match="there is no GPU"):
        fastnn.ones(2).cuda()


@needs_stand_in
def test_unsupported_gpu(monkeypatch, load_again):
    old = {"name": b"Tesla V100", "major": 7, "minor": 0}
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda i: old)
    assert not fastnn.cuda.is_available()
    with pytest.raises(
        RuntimeError, match=r"cuda:0 \(Tesla V100\).*capability 7\.0; 8\.0 or higher"
    ):
        fastnn.ones(2, device="cuda")


@pytest.mark.parametrize("missing", ["cupy", "fastnn_cuda._cuda"])
def test_missing_package(monkeypatch, load_again, missing):
    real = _cuda.importlib.import_module

    def without(name):
        if name == missing:
            raise ImportError(f"No module named {name!r}")
        return real(name)

    monkeypatch.setattr(_cuda.importlib, "import_module", without)
    with pytest.raises(RuntimeError, match=f"{missing}.*plugin fastnn-cuda13"):
        fastnn.ones(2, device="cuda")


@needs_stand_in
def test_out_of_memory(monkeypatch):
    x = fastnn.ones(1000, device="cuda")
    monkeypatch.setattr(cupy.cuda, "memory_limit", 1000)
    for call in (
        lambda: x * 2,
        lambda: fastnn.ones(1000).cuda(),
        lambda: x.reshape(100, 10).T.contiguous(),
    ):
        with pytest.raises(MemoryError, match=r"CUDA out of memory.*empty_cache"):
            call()
    monkeypatch.undo()
    assert (x == 1).all()


def test_mixed_devices_change_nothing():
    a, b = fastnn.ones(3), fastnn.ones(3, device="cuda")
    for call in (lambda: b.add_(a), lambda: fastnn.add(b, a, out=b), lambda: a.add_(b)):
        with pytest.raises(RuntimeError, match="same device"):
            call()
    assert a.tolist() == b.tolist() == [1, 1, 1]


@needs_stand_in
def test_another_current_device(monkeypatch):
    x = fastnn.ones(3, device="cuda")
    monkeypatch.setattr(cupy.cuda.runtime, "getDevice", lambda: 1)
    with pytest.raises(
        RuntimeError, match=r"on cuda:0, but the current device is cuda:1.*cuda\.device\(0\)"
    ):
        x.add(1)


@needs_stand_in
def test_a_stream_of_another_device():
    x = fastnn.ones(3, device="cuda")
    foreign = fastnn.cuda.stream(fastnn.cuda.Stream(device_id=1))
    with foreign, pytest.raises(RuntimeError, match="current stream belongs to cuda:1"):
        x.add(1)
    assert x.tolist() == [1, 1, 1]


@needs_stand_in
def test_a_stream_that_has_not_waited():
    first, second = (fastnn.cuda.Stream(non_blocking=True) for _ in range(2))
    with fastnn.cuda.stream(first):
        x = fastnn.zeros(3, device="cuda") + 1
    with fastnn.cuda.stream(second):
        with pytest.raises(RuntimeError, match="has waited neither"):
            x.add(1)
        event = fastnn.cuda.Event()
        event.record(first)
        second.wait_event(event)
        y = x.add(1)
    fastnn.cuda.synchronize()
    assert (x + y).tolist() == [3, 3, 3]
