"""PyTorch behind the harness: shows that the bar is one that a good implementation passes."""

import ml_dtypes
import numpy as np
import torch

from tests.backends import TensorBackend
from tests.layouts import LAYOUTS


class TorchBackend(TensorBackend):
    layouts = tuple(name for name in LAYOUTS if name != "flipped")  # torch has no negative strides
    threads = (1,)  # its bits depend on the number of threads

    def __init__(self):
        super().__init__(torch)

    def num_threads(self):
        return torch.get_num_threads()

    def set_num_threads(self, count):
        torch.set_num_threads(count)

    def isa_levels(self):
        return ["torch"]

    def isa(self):
        return "torch"

    def set_isa(self, name):
        assert name == "torch"

    def tensor(self, array, wanted=False):
        if array is None or array.dtype != ml_dtypes.bfloat16:
            return super().tensor(array, wanted)
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return tensor.requires_grad_() if wanted else tensor

    def array(self, tensor):
        if tensor.dtype != torch.bfloat16:
            return super().array(tensor)
        return tensor.detach().contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
