"""The tape: accumulation, hooks, in-place writes and their versions, views, user-defined functions, memory."""

import gc

import numpy as np
import pytest

import fastnn
from fastnn.autograd import Function, grad


def leaf(values):
    return fastnn.tensor(values, dtype=fastnn.float64, requires_grad=True)


def test_gradients_add_up_over_uses_and_calls():
    x = leaf([1.0, 2.0])
    (x * x + x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3, 5])
    (x * 3).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [6, 8])


def test_two_leaves_never_share_a_grad():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    g = fastnn.ones(2, dtype=fastnn.float64)
    (a + b).backward(g)
    a.grad.mul_(10)
    np.testing.assert_allclose(b.grad.numpy(), [1, 1])
    np.testing.assert_allclose(g.numpy(), [1, 1])


def test_view_gradients_do_not_alias():
    a, b = leaf([[1.0, 2.0]]), leaf([1.0, 2.0])
    (a.reshape(2) + b).sum().backward()
    a.grad.zero_()
    np.testing.assert_allclose(b.grad.numpy(), [1, 1])


def test_backward_twice_needs_retain_graph():
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_backward_of_a_non_scalar_needs_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * 2).backward(fastnn.ones(3, dtype=fastnn.float64))
    with pytest.raises(RuntimeError, match="does not require grad"):
        fastnn.ones(1).backward()


def test_grad_leaves_leaves_alone():
    x, unused = leaf([2.0]), leaf([1.0])
    (g,) = grad((x**3).sum(), x, create_graph=True)
    (gg,) = grad(g.sum(), x)
    assert x.grad is None and g.item() == pytest.approx(12) and gg.item() == pytest.approx(12)
    with pytest.raises(RuntimeError, match="not have been used"):
        grad((x * 2).sum(), [x, unused])
    assert grad((x * 2).sum(), [x, unused], allow_unused=True)[1] is None
    assert grad((x * 2).sum(), [x, unused], materialize_grads=True)[1].item() == 0


def test_backward_into_chosen_inputs():
    a, b = leaf([1.0]), leaf([2.0])
    middle = a * b
    (middle * 3).sum().backward(inputs=[a])
    assert a.grad.item() == 6 and b.grad is None


def test_no_grad_and_friends():
    x = leaf([1.0])
    with fastnn.no_grad():
        assert not (x * 2).requires_grad
        with fastnn.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @fastnn.no_grad()
    def f():
        return x * 2

    assert not f().requires_grad
    with fastnn.set_grad_enabled(False):
        assert not fastnn.is_grad_enabled()
    assert fastnn.is_grad_enabled()
    with fastnn.inference_mode():
        assert not (x * 2).requires_grad


def test_hooks_and_retain_grad():
    x, seen = leaf([1.0, 2.0]), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.numpy().copy()))
    y.retain_grad()
    handle = x.register_hook(lambda g: g * 10)
    y.sum().backward()
    np.testing.assert_allclose(seen, [[1, 1]])
    np.testing.assert_allclose(y.grad.numpy(), [1, 1])
    np.testing.assert_allclose(x.grad.numpy(), [20, 20])
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [2, 2])


def test_a_saved_tensor_that_was_written_is_an_error():
    x = leaf([1.0, 2.0])
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_writing_what_nobody_saved_is_fine():
    x = leaf([1.0, 2.0])
    y = x + 1
    y.mul_(3)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3, 3])


def test_leaves_are_not_written_while_recording():
    x = leaf([1.0])
    for write in (lambda: x.add_(1), lambda: x[0].fill_(2), lambda: x.__setitem__(0, 5.0)):
        with pytest.raises(RuntimeError, match="leaf Variable"):
            write()
    assert x.item() == 1
    with fastnn.no_grad():
        x.add_(1)
    assert x.item() == 2


def test_write_through_a_view_rewrites_the_base():
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([5.0, 6.0])
    z = a * 1
    row, other = z[1], z[0]
    row.mul_(b)
    z.add_(1)
    (z * other.sum() * row.sum()).sum().backward()

    def loss(a, b):
        z = a.copy()
        z[1] *= b
        z += 1
        return (z * z[0].sum() * z[1].sum()).sum()

    for t, index in ((a, (0, 1)), (a, (1, 0)), (b, (1,))):
        base = t.numpy(force=True)
        step = np.zeros_like(base)
        step[index] = 1e-6
        args = [a.numpy(force=True), b.numpy(force=True)]
        plus = [v + step if v is base else v for v in args]
        minus = [v - step if v is base else v for v in args]
        numeric = (loss(*plus) - loss(*minus)) / 2e-6
        assert t.grad.numpy()[index] == pytest.approx(numeric, rel=1e-6)


def test_filling_a_buffer_step_by_step_trains():
    w = leaf([1.0, 2.0])
    out = fastnn.zeros(3, 2, dtype=fastnn.float64)
    for t in range(3):
        out[t] = w * t
    out.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [3, 3])


def test_expanded_memory_is_not_written():
    x = fastnn.zeros(1, 3).expand(2, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.add_(1)


class Cube(Function):
    @staticmethod
    def forward(ctx, x, power):
        ctx.save_for_backward(x)
        ctx.power = power
        return x**power

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ctx.power * x ** (ctx.power - 1), None


def test_user_function():
    x = leaf([2.0])
    y = Cube.apply(x, 3)
    assert y.grad_fn.name() == "CubeBackward"
    y.backward(fastnn.ones(1, dtype=fastnn.float64))
    assert x.grad.item() == 12
    (g,) = grad(Cube.apply(x, 3).sum(), x, create_graph=True)
    assert grad(g.sum(), x)[0].item() == 12


def test_user_function_mistakes_are_named():
    class Count(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g, g

    class Shape(Count):
        @staticmethod
        def backward(ctx, g):
            return fastnn.ones(7, dtype=fastnn.float64)

    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Count.apply(x).sum().backward()
    with pytest.raises(RuntimeError, match="invalid gradient at index 0"):
        Shape.apply(x).sum().backward()


def test_user_function_with_dirty_and_non_differentiable():
    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            with fastnn.no_grad():
                x.numpy(force=True)[...] += 1
            ctx.mark_dirty(x)
            flag = fastnn.ones(1, dtype=fastnn.float64)
            ctx.mark_non_differentiable(flag)
            return x, flag

        @staticmethod
        def backward(ctx, g, _):
            return g * 5

    x = leaf([1.0])
    y, flag = Bump.apply(x * 1)
    assert not flag.requires_grad
    y.sum().backward()
    assert x.grad.item() == 5


def test_no_reference_cycles_and_deep_graphs():
    x = leaf(np.ones(3))
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            ((x * 2).sin().sum() + x[0]).backward()
        alive = [o for o in gc.get_objects() if issubclass(type(o), fastnn.autograd.Node)]
        assert len(alive) == 0
        y = x
        for _ in range(50_000):
            y = y + 1
        y.sum().backward()
        del y
    finally:
        gc.enable()
    assert np.isfinite(x.grad.numpy()).all()


def test_memory_stays_flat_over_steps():
    w = fastnn.tensor(np.ones((64, 64), np.float32), requires_grad=True)

    def step():
        w.grad = None
        (w @ w).tanh().sum().backward()

    for _ in range(5):
        step()
    before = fastnn._core.memory_stats()["allocated"]
    gc.disable()
    try:
        for _ in range(200):
            step()
    finally:
        gc.enable()
    assert fastnn._core.memory_stats()["allocated"] <= before
