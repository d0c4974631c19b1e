"""Table look-ups, forward + backward."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Step, forward_backward, labels, tensor


def _case(rows: int, width: int, n: int, training: bool) -> Case:
    def build(t: Any) -> Step:
        table, index = tensor(t, rows, width, grad=training), labels(t, n, rows)
        f = t.nn.functional.embedding
        if training:
            return forward_backward(lambda: f(index, table), [table], t)
        return lambda: f(index, table)

    # Training also writes the table's whole gradient.
    traffic = 8.0 * n * width + (4.0 * rows * width + 8.0 * n * width if training else 0.0)
    how = "training" if training else "forward"
    return Case(f"embedding {n} of {rows}x{width}, {how}", build, 0.0, traffic, "memory")


CASES = [
    _case(rows, width, n, training)
    for rows, width, n in ((1000, 64, 4096), (32000, 256, 4096), (32000, 768, 512))
    for training in (False, True)
]
