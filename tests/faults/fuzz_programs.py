"""Fuzzing with an answer: random programs of views, writes and arithmetic, against NumPy.

The same program runs on a Tensor and on an array in float64, since views and writes through them
mean the same in both; its gradient is compared with a finite difference.
"""

import numpy as np

import fastnn


def _axis(rng, x):
    return int(rng.integers(x.ndim)) if x.ndim else None


def _slice(rng, x):
    key = []
    for n in x.shape:
        start = int(rng.integers(0, n + 1))
        key.append(slice(start, int(rng.integers(start, n + 2)), int(rng.integers(1, 3))))
    return (
        *key[: rng.integers(len(key) + 1)],
        ...,
    )  # ...: a view of a NumPy array without axes, too


def _rows(rng, x):
    return rng.integers(0, x.shape[0], int(rng.integers(1, 5)))


# A step is drawn from the array and returns (name, function of a tensor, function of an array).
def transpose(rng, x):
    order = tuple(int(i) for i in rng.permutation(x.ndim))
    return f"permute{order}", lambda t: t.permute(*order), lambda a: a.transpose(order)


def reshape(rng, x):
    return "flatten", lambda t: t.reshape(-1).clone(), lambda a: a.reshape(-1).copy()


def slicing(rng, x):
    key = _slice(rng, x)
    return f"[{key}]", lambda t: t[key], lambda a: a[key]


def unsqueeze(rng, x):
    if x.ndim > 4:
        return reshape(rng, x)
    return "[None]", lambda t: t[None], lambda a: a[None]


def expand(rng, x):
    if x.ndim > 4:
        return reshape(rng, x)
    shape = (int(rng.integers(1, 4)), *x.shape)
    return f"expand{shape}", lambda t: t.expand(shape).clone(), lambda a: np.broadcast_to(a, shape).copy()  # fmt: skip


def gather_rows(rng, x):
    if not x.ndim or not x.shape[0]:
        return reshape(rng, x)
    rows = _rows(rng, x)
    return f"rows{rows.tolist()}", lambda t: t[fastnn.from_numpy(rows)], lambda a: a[rows]


def mask(rng, x):
    limit = float(rng.standard_normal())
    return f"mask>{limit}", lambda t: t.masked_fill(t > limit, 0.5), lambda a: np.where(a > limit, 0.5, a)  # fmt: skip


def total(rng, x):
    axis = _axis(rng, x)
    return f"sum {axis}", lambda t: t.sum(axis), lambda a: a.sum(axis)


def running(rng, x):
    if not x.ndim:
        return reshape(rng, x)
    axis = _axis(rng, x)
    return f"cumsum {axis}", lambda t: t.cumsum(axis) * 0.5, lambda a: a.cumsum(axis) * 0.5


def join(rng, x):
    if not x.ndim:
        return unsqueeze(rng, x)
    axis = _axis(rng, x)
    return f"cat {axis}", lambda t: fastnn.cat([t, t * 2], axis), lambda a: np.concatenate([a, a * 2], axis)  # fmt: skip


def smooth(rng, x):
    return "tanh", lambda t: t.tanh(), np.tanh


def product(rng, x):
    if x.ndim < 2:
        return smooth(rng, x)
    return "x @ x.T", lambda t: (t @ t.transpose(-1, -2)).tanh(), lambda a: np.tanh(a @ a.swapaxes(-1, -2))  # fmt: skip


def write(rng, x):
    """Through a view, into the array that later steps see."""
    key, number = _slice(rng, x), float(rng.standard_normal())

    def tensors(t):
        t[key] = t[key] * 0.5 + number
        return t

    def arrays(a):
        a[key] = a[key] * 0.5 + number
        return a

    return f"[{key}] = 0.5 [] + {number}", tensors, arrays


def write_in_place(rng, x):
    key = _slice(rng, x)

    def tensors(t):
        t[key].mul_(0.5).add_(1.0)
        return t

    def arrays(a):
        a[key] *= 0.5
        a[key] += 1.0
        return a

    return f"[{key}].mul_().add_()", tensors, arrays


STEPS = (transpose, reshape, slicing, unsqueeze, expand, gather_rows, mask, total, running, join,
         smooth, product, write, write_in_place)  # fmt: skip


def call(rng, log):
    shape = tuple(int(n) for n in rng.choice([0, 1, 1, 2, 3, 4, 5], rng.integers(0, 4)))
    start = np.asarray(rng.standard_normal(shape))
    x = start.copy()
    kept, program = [x], []  # every array that a step made: later writes may reach it through views
    for _ in range(int(rng.integers(2, 9))):
        if x.size > 5000:
            break
        step = STEPS[rng.integers(len(STEPS))](rng, x)
        program.append(step)
        x = np.asarray(step[2](x))
        kept.append(x)
    log(f"{shape} " + "; ".join(name for name, _, _ in program))

    try:
        _compare(rng, program, start, kept)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):  # the only rightful refusal
            raise AssertionError(f"refused: {error}") from error
        raise


def _compare(rng, program, start, kept):
    leaf = fastnn.from_numpy(start.copy()).requires_grad_()
    t = leaf * 1.0
    made = [t]
    for _, step, _ in program:
        t = step(t)
        made.append(t)
    for i, (got, want) in enumerate(zip(made, kept, strict=True)):
        got = got.detach().numpy()
        assert got.shape == want.shape, f"after {i} steps: shape {got.shape}, {want.shape}"
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9, err_msg=f"after {i} steps")
    _check_gradient(rng, program, start, leaf, t)


def _check_gradient(rng, program, start, leaf, result):
    weight = np.asarray(rng.standard_normal(result.shape))
    (result * fastnn.from_numpy(weight)).sum().backward()
    assert np.array_equal(leaf.detach().numpy(), start), "the leaf was modified"
    along = np.asarray(rng.standard_normal(start.shape))

    def value(eps):
        a = np.asarray(start + eps * along)
        for _, _, step in program:
            a = np.asarray(step(a))
        return float((a * weight).sum())

    slopes = [(value(e) - value(-e)) / (2 * e) for e in (1e-6, 2e-6)]
    slope = float((leaf.grad.numpy() * along).sum())
    # A mask that switches between the points has no derivative there: both estimates then differ.
    scale = 1e-5 + 1e-5 * abs(slope) + 1e-7 * float(np.abs(weight).sum())
    if abs(slopes[0] - slopes[1]) < scale:
        assert abs(slope - slopes[0]) < 10 * scale, f"gradient {slope}, difference {slopes[0]}"
