"""Analytical gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _core


class GradcheckError(RuntimeError):
    """Analytical and numerical gradients differ."""


def _as_tuple(x: Any) -> tuple:
    return (x,) if isinstance(x, _core.TensorBase) else tuple(x)


def _outputs(func: Callable[..., Any], inputs: tuple) -> tuple:
    return tuple(o for o in _as_tuple(func(*inputs)) if o._data.dtype.kind == "f")


def _numerical(func: Callable[..., Any], inputs: tuple, which: int, eps: float) -> list[np.ndarray]:
    """d outputs / d inputs[which] by central differences: one (n_in, n_out) matrix for each output."""
    x = inputs[which]._data
    columns: list[list[np.ndarray]] = []
    for i in np.ndindex(x.shape):
        before = x[i].copy()
        x[i] = before + eps
        plus = [o._data.copy() for o in _outputs(func, inputs)]
        x[i] = before - eps
        minus = [o._data.copy() for o in _outputs(func, inputs)]
        x[i] = before
        columns.append([(p - m).ravel() / (2 * eps) for p, m in zip(plus, minus, strict=True)])
    n_out = len(columns[0]) if columns else len(_outputs(func, inputs))
    return [np.array([c[k] for c in columns]) for k in range(n_out)]


def _analytical(outs: tuple, k: int, inputs: Sequence[Any]) -> list[np.ndarray]:
    from . import grad

    out = outs[k]
    rows: list[list[np.ndarray]] = [[] for _ in inputs]
    for i in np.ndindex(out._data.shape):
        seed = np.zeros(out._data.shape, out._data.dtype)
        seed[i] = 1
        gs = grad(out, inputs, _core.wrap(seed), retain_graph=True, allow_unused=True)
        for row, g, x in zip(rows, gs, inputs, strict=True):
            row.append(np.zeros(x._data.size) if g is None else np.array(g._data).ravel())
    return [np.array(r).T for r in rows]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
) -> bool:
    """Compares the gradients of ``func(*inputs)`` with central differences.

    Inputs that require grad should be float64. Raises GradcheckError on a difference above ``atol + rtol * |numerical|``,
    and when two backward passes differ by more than `nondet_tol` (or returns False, without `raise_exception`).
    """
    inputs = _as_tuple(inputs)
    wanted = [
        i for i, x in enumerate(inputs) if isinstance(x, _core.TensorBase) and x.requires_grad
    ]
    if not wanted:
        raise ValueError("gradcheck expects at least one input tensor to require gradient")
    try:
        outs = _outputs(func, inputs)
        if not any(o.requires_grad for o in outs):
            raise GradcheckError("gradcheck: no output requires grad")
        tensors = [inputs[i] for i in wanted]
        numerical = {i: _numerical(func, inputs, i, eps) for i in wanted}
        for k, out in enumerate(outs):
            if not out.requires_grad:
                continue
            analytical = _analytical(outs, k, tensors)
            again = _analytical(outs, k, tensors)
            for position, i in enumerate(wanted):
                a, n = analytical[position], numerical[i][k]
                if not np.all(np.abs(a - again[position]) <= nondet_tol):
                    raise GradcheckError(
                        f"Backward is not reentrant: two runs for output {k} and input {i} differ"
                    )
                n = n.reshape(a.shape)
                if not np.allclose(a, n, rtol=rtol, atol=atol):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {k} with respect to input {i},\n"
                        f"numerical:\n{n}\nanalytical:\n{a}\n"
                    )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **_: Any,
) -> bool:
    """gradcheck of the gradient itself: second derivatives of ``func`` against central differences."""
    from . import grad

    inputs = _as_tuple(inputs)
    outs = _outputs(func, inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [_core.wrap(rng.standard_normal(o._data.shape).astype(o._data.dtype)) for o in outs]
        for s in seeds:
            s.requires_grad_(True)
    else:
        seeds = list(_as_tuple(grad_outputs))

    def first_gradient(*args: Any) -> tuple:
        ins, gos = args[: len(inputs)], args[len(inputs) :]
        wanted = [x for x in ins if isinstance(x, _core.TensorBase) and x.requires_grad]
        found = grad(_outputs(func, ins), wanted, gos, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        first_gradient,
        (*inputs, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )
