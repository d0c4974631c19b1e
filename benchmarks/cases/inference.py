"""Whole networks, forward only: as written, and with the normalisations folded into the convolutions (which ONNX Runtime
does by itself; ours by nn.utils.fuse_for_inference, activations included)."""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.case import Case, Step, array
from benchmarks.networks import NETWORKS, folded

_NORMALISED = ("small CNN 32x32", "ResNet-18", "MobileNetV2")


def _case(name: str, batch: int, fold: bool = False) -> Case:
    source = NETWORKS[name]

    def build(t: Any) -> Step:
        model = source.build(t).eval()
        if fold:
            model = folded(t, model)
        return peers.prepare_inference(t, model, t.from_numpy(array(batch, *source.shape)))

    title = f"{name}, batch {batch}" + ", folded" * fold
    kind = "inference" + f" batch {batch}" * (batch > 1)
    return Case(title, build, source.flops(batch), kind=kind, quick=batch == 1)


CASES = [_case(name, batch) for name in NETWORKS for batch in (1, 8)]
CASES += [_case(name, batch, fold=True) for name in _NORMALISED for batch in (1, 8)]
