"""How the harness calls an operator: on fastnn Tensors, or as a pair of functions of arrays."""

import os
from contextlib import contextmanager

import numpy as np

from tests.layouts import LAYOUTS

DEVICE = os.environ.get(
    "FASTNN_TEST_DEVICE", "cpu"
)  # cuda: the operators' tests on a GPU, or on tests/fakecupy


class Runtime:
    """Threads and instruction sets of fastnn."""

    layouts = LAYOUTS  # that the harness tries
    threads = (1, 2, 3) if DEVICE == "cpu" else (1,)  # counts at which it asks for the same bits

    def num_threads(self):
        return self._core().num_threads()

    def set_num_threads(self, count):
        self._core().set_num_threads(count)

    def isa_levels(self):
        return self._core().isa_levels() if DEVICE == "cpu" else [self.isa()]

    def isa(self):
        return self._core().isa()

    def set_isa(self, name):
        self._core().set_isa(name)

    @staticmethod
    def _core():
        from fastnn import _core

        return _core


class TensorBackend(Runtime):
    """Calls ``op`` on Tensors of ``module`` (fastnn, or anything shaped like PyTorch)."""

    def __init__(self, module=None):
        self._module = module

    @property
    def module(self):
        if self._module is None:
            import fastnn

            self._module = fastnn
        return self._module

    def tensor(self, array, wanted=False):
        if array is None:
            return None
        tensor = self.module.from_numpy(array)
        if DEVICE != "cpu":
            tensor = tensor.to(DEVICE)
        return tensor.requires_grad_() if wanted else tensor

    def array(self, tensor):
        return tensor.detach().cpu().numpy()

    def run(self, op, arrays, bind, wanted=(), dy=None):
        """Outputs, and the gradients of the first output for the ``wanted`` arguments."""
        tensors = [self.tensor(a, i in wanted) for i, a in enumerate(arrays)]
        outputs = _as_tuple(_call(op, bind, tensors))
        gradients = {}
        if wanted:
            outputs[0].backward(self.tensor(dy))
            gradients = {i: self._gradient(tensors[i], i) for i in wanted}
        return [self.array(o) for o in outputs], gradients

    def _gradient(self, tensor, i):
        assert tensor.grad is not None, f"argument {i} got no gradient"
        return self.array(tensor.grad)

    def second_gradients(self, op, arrays, bind, wanted, dy, directions):
        """The gradients of sum_i <gradient i, direction i> with respect to ``wanted`` and dy."""
        tensors = [self.tensor(a, i in wanted) for i, a in enumerate(arrays)]
        output, seed = _as_tuple(_call(op, bind, tensors))[0], self.tensor(dy, True)
        inputs = [tensors[i] for i in wanted]
        grad = self.module.autograd.grad
        first = grad(output, inputs, seed, create_graph=True)
        live = [(g, self.tensor(d)) for g, d in zip(first, directions, strict=True)]
        live = [(g, d) for g, d in live if g.requires_grad]
        second = grad([g for g, _ in live], [*inputs, seed], [d for _, d in live],
                      allow_unused=True)  # fmt: skip
        shapes = [arrays[i].shape for i in wanted] + [dy.shape]
        return [
            np.zeros(shape) if g is None else self.array(g)
            for g, shape in zip(second, shapes, strict=True)
        ]


class ArrayBackend(Runtime):
    """Calls ``op = (forward, backward)`` on arrays, with the conventions of tests/reference."""

    def run(self, op, arrays, bind, wanted=(), dy=None):
        forward, backward = op
        outputs = list(_as_tuple(_call(forward, bind, arrays)))
        gradients = {}
        if wanted:
            every = _call(backward, lambda tensors: _after(dy, bind(tensors)), arrays)
            gradients = {i: every[i] for i in wanted}
        return outputs, gradients


def _as_tuple(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _call(function, bind, arguments):
    args, kwargs = bind(arguments)
    return function(*args, **kwargs)


def _after(dy, bound):
    args, kwargs = bound
    return [dy, *args], kwargs


@contextmanager
def isa(name, backend=None):
    """Run the body at one instruction set level."""
    backend = backend or Runtime()
    before = backend.isa()
    backend.set_isa(name)
    try:
        yield
    finally:
        backend.set_isa(before)


@contextmanager
def num_threads(count, backend=None):
    backend = backend or Runtime()
    before = backend.num_threads()
    backend.set_num_threads(count)
    try:
        yield
    finally:
        backend.set_num_threads(before)
