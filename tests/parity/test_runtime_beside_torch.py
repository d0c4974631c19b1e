"""fastnn and PyTorch in one process: in either import order both work, fastnn with the same bits."""

import pytest

torch = pytest.importorskip("torch")

from tests.test_runtime import WORK, output_of

TORCH = """
import torch
def torch_work():
    a = torch.ones(256, 256)
    assert float((a @ a).sum()) == 256.0**3
"""
BOTH = """
for _ in range(20):
    torch_work()
    bits = work()
print(bits.hex())
"""


@pytest.mark.parametrize("code", [WORK + TORCH, TORCH + WORK], ids=["fastnn-first", "torch-first"])
def test_import_order(code):
    assert output_of(code + BOTH) == output_of(WORK + "print(work().hex())")


def test_denormals_survive_torch_flushing_them():
    code = (
        TORCH
        + "assert torch.set_flush_denormal(True)\n"
        + WORK
        + "x = np.full(1 << 20, 1e-40, np.float32)\n"
        + "_core.set_num_threads(2)\n"
        + "_core.grads_scale_([x], 2.0)\n"
        + "print((x.view(np.int32) == np.float32(2e-40).view(np.int32)).all())\n"
        + "print(torch.tensor([1e-39], dtype=torch.float64).float().mul(0.5).item() == 0.0)"
    )
    assert output_of(code).split() == ["True", "True"]  # and torch's setting still holds
