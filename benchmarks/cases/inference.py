"""Whole networks, forward only."""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.case import Case, Step, array
from benchmarks.networks import NETWORKS


def _case(name: str, batch: int) -> Case:
    make, shape = NETWORKS[name]

    def build(t: Any) -> Step:
        return peers.prepare_inference(t, make(t), t.from_numpy(array(batch, *shape)))

    return Case(f"{name}, batch {batch}", build, kind="inference", quick=batch == 1)


CASES = [_case(name, batch) for name in NETWORKS for batch in (1, 8)]
