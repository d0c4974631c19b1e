"""Compare one reference with PyTorch's float64 result and gradients."""

import numpy as np
import torch

FORWARD_BAR, GRADIENT_BAR = 1e-12, 1e-10


def relative_error(got, want):
    """max |got - want| / max(1, max |want|), infinite when NaN or infinities are misplaced."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, torch {want.shape}"
    if got.size == 0:
        return 0.0
    finite = np.isfinite(want)
    if not np.array_equal(np.where(finite, 0, got), np.where(finite, 0, want), equal_nan=True):
        return np.inf
    difference = np.abs(np.where(finite, got, 0) - np.where(finite, want, 0))
    return difference.max() / max(1.0, np.abs(want[finite]).max(initial=0.0))


def is_float(a):
    return a is not None and np.issubdtype(np.asarray(a).dtype, np.floating)


def bind(case, arrays):
    """Positional and keyword arguments of a case's call."""
    split = len(arrays) - len(case.names)
    return arrays[:split], dict(zip(case.names, arrays[split:], strict=True)) | case.kwargs


def validate(function, forward, backward, case, *, kwargs=None, skip=(), bar=GRADIENT_BAR):
    """``forward`` and ``backward`` agree with torch's ``function`` on ``case``.

    ``kwargs`` are further arguments of the reference only; ``skip`` names arguments (by position)
    that have no gradient; ``bar`` bounds the error of gradients.
    """
    arrays, extra = case.inputs(), kwargs or {}
    tensors = [None if a is None else torch.tensor(a) for a in arrays]
    wanted = [i for i, a in enumerate(arrays) if is_float(a) and i not in skip]
    for i in wanted:
        tensors[i].requires_grad_()
    args, named = bind(case, tensors)
    expected = function(*args, **named)
    many = isinstance(expected, tuple)
    expected = expected if many else (expected,)
    args, named = bind(case, arrays)
    with np.errstate(all="ignore"):  # special values are compared, not warned about
        got = forward(*args, **named, **extra)
    got = got if many else (got,)
    for g, e in zip(got, expected, strict=True):
        assert relative_error(g, e.detach().numpy()) <= FORWARD_BAR, case.id
    if backward is None:
        return
    dy = np.random.default_rng(1).standard_normal(expected[0].shape)
    gradients = torch.autograd.grad(
        expected[0], [tensors[i] for i in wanted], torch.tensor(dy), materialize_grads=True
    )
    with np.errstate(all="ignore"):
        got = backward(dy, *args, **named, **extra)
    for i, want in zip(wanted, gradients, strict=True):
        error = relative_error(got[i], want.numpy())
        assert error <= bar, f"{case.id}: gradient {i} is off by {error}"
