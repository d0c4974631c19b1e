"""The backends: fastnn and PyTorch share one API; the others take part where they can.

`torch.compile` and `onnxruntime` replace whole models (`prepare`); NumPy and JAX know the arithmetic operators and a
few functions. A case that a backend cannot run shows a dash.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np

PEERS = ("torch", "torch.compile", "onnxruntime", "numpy", "jax")
_MODULES = {"torch.compile": "torch", "onnxruntime": "onnxruntime"}
_WHOLE_MODELS = {
    "torch.compile": ("linear", "step", "step LeNet", "inference", "inference batch 8"),
    "onnxruntime": ("linear", "inference", "inference batch 8"),
}
_active = "fastnn"

# How the peers are told to keep to the instructions that FASTNN_ISA leaves us. ONNX Runtime cannot be told.
_LEVELS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
}


def environment(threads: int) -> dict[str, str]:
    """What keeps a peer's process to so many threads, and to our level of instructions."""
    n = str(threads)
    level = dict(_LEVELS.get(os.environ.get("FASTNN_ISA", ""), {}))
    eigen = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    return {
        **{f"{k}_NUM_THREADS": n for k in ("OMP", "MKL", "OPENBLAS")},
        "XLA_FLAGS": f"{level.pop('XLA_FLAGS', '')} {eigen}".strip(),
        **level,
    }


def installed(name: str) -> bool:
    return importlib.util.find_spec(_MODULES.get(name, name)) is not None


def activate(name: str) -> Any:
    """The module to hand to a case's build; this process measures that backend from now on."""
    global _active
    _active = name
    if name == "numpy":
        return _ArrayLibrary(np.asarray, np)
    if name == "jax":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        jnp = importlib.import_module("jax.numpy")
        return _ArrayLibrary(jnp.asarray, jnp)
    return importlib.import_module("torch" if name == "onnxruntime" else _MODULES.get(name, name))


def takes_part(kind: str) -> bool:
    """Whether the backend is measured in such cases: those that replace whole models, only where there is one."""
    return _active not in _WHOLE_MODELS or kind in _WHOLE_MODELS[_active]


def finish(function: Callable[[], Any]) -> Callable[[], Any]:
    """JAX returns before its work is done."""
    if _active != "jax":
        return function
    wait = importlib.import_module("jax").block_until_ready
    return lambda: wait(function())


def prepare(model: Any) -> Any:
    """A model to be trained or run: compiled where the backend compiles."""
    if _active == "torch.compile":
        return importlib.import_module("torch").compile(model)
    return model


def prepare_inference(t: Any, model: Any, x: Any) -> Callable[[], Any]:
    """A function that runs the model on x without recording."""
    model.eval()
    if _active == "onnxruntime":
        return _onnx(t, model, x)
    model = prepare(model)

    def run() -> Any:
        with t.no_grad():
            return model(x)

    return run


def _onnx(t: Any, model: Any, x: Any) -> Callable[[], Any]:
    import onnxruntime

    file = io.BytesIO()
    t.onnx.export(model, (x,), file, input_names=["x"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = t.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": x.numpy()}
    return lambda: session.run(None, feed)


class _ArrayLibrary:
    """NumPy or JAX under the few names that cases use."""

    def __init__(self, from_numpy: Callable[[np.ndarray], Any], library: Any) -> None:
        self.from_numpy = from_numpy
        self.ones_like = library.ones_like
        self.exp, self.tanh = library.exp, library.tanh

    def set_num_threads(self, n: int) -> None:
        """The thread count comes with the environment of the process; JAX takes as many as there are cores to run on."""
        if _active == "jax" and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])
