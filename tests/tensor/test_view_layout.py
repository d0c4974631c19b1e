"""Views on memory of any layout: where NumPy finds one so do we, and gradients go back through all of them."""

import gc
import threading

import numpy as np
import pytest

import fastnn


def strided_arrays(rng, count):
    """Arrays with permuted, stepped, reversed, size-1 and size-0 axes."""
    for _ in range(count):
        shape = rng.choice(
            [0, 1, 1, 2, 3, 4, 6], rng.integers(0, 5), p=[0.03, 0.2, 0.1] + [0.1675] * 4
        )
        steps = rng.integers(1, 3, len(shape))
        a = rng.standard_normal([n * s for n, s in zip(shape, steps, strict=True)])
        key = [slice(None, None, int(s) * int(rng.choice([-1, 1]))) for s in steps]
        a = np.asarray(a)[(*key, ...)]  # the ellipsis keeps a 0-d array an array
        yield a.transpose(rng.permutation(a.ndim))


def shapes_of(rng, numel, count):
    """Shapes with that many elements."""
    for _ in range(count):
        shape, rest = [], numel
        while rest > 1 and len(shape) < 5:
            n = int(rng.choice([d for d in range(1, rest + 1) if rest % d == 0]))
            shape.append(n)
            rest //= n
        shape.append(rest)
        yield tuple(shape)


def test_view_exists_where_numpy_has_one():
    rng = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for a in strided_arrays(rng, 400):
        for shape in shapes_of(rng, a.size, 4):
            try:
                expected = a.reshape(shape, copy=False)
            except ValueError:
                expected = None
            x = fastnn.from_numpy(a)
            assert np.array_equal(x.reshape(shape).numpy(), a.reshape(shape))
            seen[expected is None] += 1
            if expected is None:
                with pytest.raises(RuntimeError, match="view size"):
                    x.view(shape)
            else:
                y = x.view(shape)
                assert np.array_equal(y.numpy(), expected)
                assert y._base is x
                if a.size:
                    assert np.shares_memory(y.numpy(), a)
    assert min(seen.values()) > 50


WINDOWS = {
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, -1),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "expand": lambda x: x.unsqueeze(0).expand(3, -1, -1, -1),
    "slice": lambda x: x[1:, ::2, None, -1:],
    "select": lambda x: x[-1, :, 0],
    "ellipsis": lambda x: x[..., 1],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "diagonal": lambda x: x.diagonal(1, 0, 2),
    "view": lambda x: x.contiguous().view(4, -1),
    "reshape": lambda x: x.reshape(-1, 2),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(1, (2, -1)),
    "empty": lambda x: x[2:2, :, 4:],
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_gradient_is_where_the_window_is(name, order):
    window = WINDOWS[name]
    a = (
        np.random.default_rng(1)
        .standard_normal((2, 4, 4))
        .transpose(order)
        .transpose(np.argsort(order))
    )
    x = fastnn.from_numpy(a).requires_grad_()
    y = window(x)
    g = np.random.default_rng(2).standard_normal(y.numpy(force=True).shape)
    y.backward(fastnn.from_numpy(g))
    expected = np.zeros(a.shape)
    positions = window(fastnn.from_numpy(np.arange(a.size).reshape(a.shape))).numpy()
    np.add.at(expected.reshape(-1), positions.reshape(-1), g.reshape(-1))
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-14)
    if y.numel():
        fastnn.autograd.gradgradcheck(lambda t: window(t * t), [x])


def test_setting_through_every_kind_of_index_agrees_with_numpy():
    rng = np.random.default_rng(3)
    keys = [
        0,
        -1,
        slice(1, 3),
        (slice(None), 1),
        (..., 0),
        (None, 1),
        (slice(0, 0),),
        (1, slice(None, None, 2)),
    ]
    for key in keys:
        for dtype in (np.float32, np.float64, np.int64):
            a = np.arange(12).reshape(3, 4).astype(dtype)
            value = rng.integers(0, 9, a[key].shape).astype(np.float32)
            for v in (value, 5, True):
                x, expected = fastnn.from_numpy(a.copy()), a.copy()
                before = x._version
                x[key] = fastnn.from_numpy(v) if isinstance(v, np.ndarray) else v
                expected[key] = v
                assert np.array_equal(x.numpy(), expected)
                assert x._version == before + 1


def test_a_refused_index_changes_nothing():
    x = fastnn.zeros(3, 4)
    for key, value in (
        ((5,), 1.0),
        ((0, 0, 0), 1.0),
        (slice(None, None, -1), 1.0),
        ((..., ...), 1.0),
    ):
        with pytest.raises((IndexError, ValueError)):
            x[key] = value
    with pytest.raises(ValueError):
        x[0] = fastnn.ones(5)
    assert not x.numpy().any() and x._version == 0


def test_overlapping_expansion_refuses_writes_and_the_rest_takes_them():
    x = fastnn.zeros(1, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.expand(2, 3).add_(1.0)
    x.expand(1, 3).add_(1.0)
    assert x.tolist() == [[1.0, 1.0, 1.0]]


def test_steps_leave_nothing_behind_without_the_collector():
    x = fastnn.ones(4, 4, requires_grad=True)

    def step():
        y = (x.view(16)[2:].reshape(7, 2).t() * 2.0).tanh()
        z = x * 1.0
        z[1:3] = 0.0
        (y.sum() + z.sum()).backward()
        x.grad = None
        with pytest.raises(RuntimeError):
            (x * x).backward()

    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            step()
        before = len(gc.get_objects())
        for _ in range(200):
            step()
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


def test_a_deep_graph_ends_without_recursion():
    x = y = fastnn.ones(2, requires_grad=True)
    for _ in range(50_000):
        y = y.view(1, 2).view(2) * 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    del y


def test_threads_have_their_own_switch_and_graphs():
    shared = fastnn.ones(8, requires_grad=True)
    failures = []

    def work(record):
        try:
            for _ in range(300):
                with fastnn.set_grad_enabled(record):
                    y = (shared.view(2, 4)[1] * 2.0).sum()
                assert y.requires_grad is record
                if record:
                    (g,) = fastnn.autograd.grad(y, [shared])
                    assert g.tolist() == [0.0] * 4 + [2.0] * 4
        except AssertionError as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_a_compiled_function_is_a_method_and_copies_as_itself():
    import copy
    import inspect

    assert fastnn.add.__name__ == "add" and fastnn.add.__doc__
    assert copy.deepcopy(fastnn.add) is fastnn.add
    assert list(inspect.signature(fastnn.flatten).parameters) == ["input", "start_dim", "end_dim"]
    bound = fastnn.ones(2).view
    assert bound(1, 2).tolist() == [[1.0, 1.0]]


def test_results_follow_the_default_dtype():
    fastnn.set_default_dtype(fastnn.float64)
    try:
        whole = fastnn.tensor([1, 2])
        assert (whole + 0.5).dtype is fastnn.float64
        assert (whole / 2).dtype is fastnn.float64
        assert whole.exp().dtype is fastnn.float64
        assert (fastnn.ones(2, dtype=fastnn.float32) + 0.5).dtype is fastnn.float32
    finally:
        fastnn.set_default_dtype(fastnn.float32)
    assert (fastnn.tensor([1, 2]) + 0.5).dtype is fastnn.float32


def test_scaled_addition_in_place():
    x, y = fastnn.tensor([1.0, 2.0]), fastnn.tensor([10.0, 20.0])
    assert x.add_(y, alpha=-0.5).tolist() == [-4.0, -8.0]
    assert x.sub_(y, alpha=2).tolist() == [-24.0, -48.0]
    assert x._version == 2
    with pytest.raises(TypeError):
        x.mul_(y, alpha=2)
