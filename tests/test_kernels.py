"""``fastnn.kernels``: every function on plain arrays against the float64 references, forward and backward."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn._errors import DTypeError, ShapeError
from tests.reference import activations, conv, embedding, gemm, loss_class, norm, pool, softmax


def close(got, want, tolerance=2e-5):
    assert isinstance(got, np.ndarray)
    want = np.asarray(want, np.float64)
    assert got.shape == want.shape
    np.testing.assert_allclose(
        got, want, rtol=0, atol=tolerance * max(1.0, np.abs(want).max(initial=0))
    )


@pytest.fixture
def draw(rng):
    """Arrays of a shape: every second element of a larger array, which must stay as it is."""
    made = []

    def make(*shape):
        whole = rng.standard_normal((*shape[:-1], 2 * shape[-1])).astype(np.float32)
        made.append((whole, whole.copy()))
        return whole[..., ::2]

    yield make
    for whole, before in made:
        np.testing.assert_array_equal(whole, before)


def test_gemm_and_linear(draw):
    a, b, bias = draw(3, 5, 7), draw(7, 4), draw(4)
    close(kernels.gemm(a, b, bias, alpha=0.5), 0.5 * np.matmul(a, b, dtype=np.float64) + bias)
    out = np.ones((5, 4), np.float32)
    assert kernels.gemm(a[0], b, beta=2.0, out=out) is out
    close(out, 2 + np.matmul(a[0], b, dtype=np.float64))
    close(kernels.gemm(a[0], b, activation="relu"), np.maximum(a[0] @ b, 0))
    x, w, dy = draw(3, 5, 7), draw(6, 7), draw(3, 5, 6)
    close(kernels.linear(x, w, draw(6) * 0), gemm.linear_forward(x, w))
    want = gemm.linear_backward(*(v.astype(np.float64) for v in (dy, x, w)), np.zeros(6))
    for got, expected in zip(kernels.linear_backward(dy, x, w), want, strict=True):
        close(got, expected)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_conv(draw, dims):
    x, w, b = draw(2, 4, *[7] * dims), draw(6, 2, *[3] * dims), draw(6)
    how = {"stride": 2, "padding": 1, "groups": 2}
    y = kernels.conv(x, w, b, **how)
    wide = [v.astype(np.float64) for v in (x, w, b)]
    close(y, conv.conv_forward(*wide, **how))
    close(
        kernels.conv(x, w, b, activation="relu", **how),
        np.maximum(conv.conv_forward(*wide, **how), 0),
    )
    dy = draw(*y.shape)
    want = conv.conv_backward(dy.astype(np.float64), *wide, **how)
    for got, expected in zip(kernels.conv_backward(dy, x, w, **how), want, strict=True):
        close(got, expected)


def test_conv_transpose(draw):
    x, w, b = draw(2, 4, 5, 5), draw(4, 3, 4, 4), draw(3)
    how = {"stride": 2, "padding": 1}
    y = kernels.conv_transpose(x, w, b, **how)
    wide = [v.astype(np.float64) for v in (x, w, b)]
    close(y, conv.conv_transpose_forward(*wide, **how))
    dy = draw(*y.shape)
    want = conv.conv_transpose_backward(dy.astype(np.float64), *wide, **how)
    for got, expected in zip(kernels.conv_transpose_backward(dy, x, w, **how), want, strict=True):
        close(got, expected)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_pooling(draw, dims):
    x = draw(2, 3, *[8] * dims)
    y, indices = kernels.max_pool(x, 3, 2, 1)
    close(y, pool.max_pool_forward(x, 3, 2, 1, n=dims), 0)
    dy = draw(*y.shape)
    (want,) = pool.max_pool_backward(dy.astype(np.float64), x.astype(np.float64), 3, 2, 1, n=dims)
    close(kernels.max_pool_backward(dy, indices, x.shape), want)
    how = {"stride": 2, "padding": 1, "count_include_pad": False}
    close(
        kernels.avg_pool(x, 3, **how), pool.avg_pool_forward(x.astype(np.float64), 3, **how, n=dims)
    )
    (want,) = pool.avg_pool_backward(dy.astype(np.float64), x.astype(np.float64), 3, **how, n=dims)
    close(kernels.avg_pool_backward(dy, x.shape, 3, **how), want)


def test_row_norms(draw):
    x, w, b, dy = draw(5, 6, 8), draw(6, 8), draw(6, 8), draw(5, 6, 8)
    wide = [v.astype(np.float64) for v in (dy, x, w, b)]
    y, saved = kernels.layer_norm(x, w, b, axes=2)
    close(y, norm.layer_norm_forward(wide[1], (6, 8), wide[2], wide[3]))
    want = norm.layer_norm_backward(wide[0], wide[1], (6, 8), wide[2], wide[3])
    for got, expected in zip(
        kernels.layer_norm_backward(dy, x, w, saved, axes=2), want, strict=True
    ):
        close(got, expected.reshape(got.shape))
    y, saved = kernels.rms_norm(x, w, axes=2, eps=1e-5)
    close(y, norm.rms_norm_forward(wide[1], (6, 8), wide[2], eps=1e-5))
    want = norm.rms_norm_backward(wide[0], wide[1], (6, 8), wide[2], eps=1e-5)
    for got, expected in zip(kernels.rms_norm_backward(dy, x, w, saved, axes=2), want, strict=True):
        close(got, expected.reshape(got.shape))


def test_channel_norms(draw):
    x, w, b, dy = draw(4, 6, 5, 5), draw(6), draw(6), draw(4, 6, 5, 5)
    wide = [v.astype(np.float64) for v in (dy, x, w, b)]
    mean, var = np.zeros(6, np.float32), np.ones(6, np.float32)
    y, saved = kernels.batch_norm(x, w, b, running_mean=mean, running_var=var)
    close(y, norm.batch_norm_forward(wide[1], None, None, wide[2], wide[3], training=True))
    close(mean, 0.1 * x.mean((0, 2, 3)))
    want = norm.batch_norm_backward(wide[0], wide[1], None, None, wide[2], wide[3], training=True)
    want = [want[0], *want[3:]]
    for got, expected in zip(kernels.batch_norm_backward(dy, x, w, saved), want, strict=True):
        close(got, expected)
    y, saved = kernels.group_norm(x, 3, w, b)
    close(y, norm.group_norm_forward(wide[1], 3, wide[2], wide[3]))
    want = norm.group_norm_backward(wide[0], wide[1], 3, wide[2], wide[3])
    for got, expected in zip(kernels.group_norm_backward(dy, x, 3, w, saved), want, strict=True):
        close(got, expected)


def test_softmax_and_cross_entropy(draw, rng):
    x, dy = draw(5, 7), draw(5, 7)
    wide = x.astype(np.float64)
    for name in ("softmax", "log_softmax"):
        y = getattr(kernels, name)(x, 1)
        close(y, getattr(softmax, f"{name}_forward")(wide, 1))
        (want,) = getattr(softmax, f"{name}_backward")(dy.astype(np.float64), wide, 1)
        close(getattr(kernels, f"{name}_backward")(dy, y, 1), want)
    target = rng.integers(0, 7, 5)
    how = {"label_smoothing": 0.1, "reduction": "sum"}
    loss, saved = kernels.cross_entropy(x, target, **how)
    close(loss, loss_class.cross_entropy_forward(wide, target, **how))
    ones = np.ones((), np.float32)
    want = loss_class.cross_entropy_backward(np.ones(()), wide, target, **how)
    close(kernels.cross_entropy_backward(ones, x, target, None, saved), want[0])


def test_embedding(draw, rng):
    table, index = draw(9, 4), rng.integers(0, 9, (3, 5))
    dy = draw(3, 5, 4)
    close(kernels.embedding(index, table), table[index], 0)
    want = np.zeros((9, 4))
    np.add.at(want, index, dy)
    close(kernels.embedding_backward(dy, index, 9), want)
    close(embedding.embedding_forward(index, table), table[index], 0)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "gelu", "silu", "mish", "softsign"])
def test_activations(draw, name):
    x, dy = draw(6, 9), draw(6, 9)
    wide = fastnn.from_numpy(x.astype(np.float64)).requires_grad_()
    y = getattr(fastnn.nn.functional, name)(wide)
    close(kernels.activation(x, name), y.detach().numpy())
    y.backward(fastnn.from_numpy(dy.astype(np.float64)))
    close(kernels.activation_backward(dy, x, name), wide.grad.numpy())
    assert activations.silu_derivative(np.zeros(1)) == 0.5


def test_bad_input_is_refused():
    x = np.zeros((2, 3, 8, 8), np.float32)
    with pytest.raises(ShapeError, match="conv2d"):
        kernels.conv(x, np.zeros((4, 5, 3, 3), np.float32))
    with pytest.raises(DTypeError, match="conv"):
        kernels.conv(x, np.zeros((4, 3, 3, 3), np.float64))
    with pytest.raises(ValueError, match="swishy"):
        kernels.activation(x, "swishy")
    with pytest.raises(ValueError, match="median"):
        kernels.cross_entropy(x[:, :, 0, 0], np.zeros(2, np.int64), reduction="median")
    with pytest.raises(IndexError):
        kernels.embedding(np.array([9]), np.zeros((3, 2), np.float32))
    with pytest.raises(TypeError):
        kernels.conv("image", x)


def test_all_names_are_there():
    assert all(
        callable(getattr(kernels, name)) and getattr(kernels, name).__doc__
        for name in kernels.__all__
    )
