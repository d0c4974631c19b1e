"""Small differences from PyTorch, each found by comparing random calls, each with its answer written out."""

import numpy as np
import pytest

import fastnn


def numbers(*shape):
    return fastnn.arange(float(np.prod(shape))).reshape(shape)


# ---- indexing ----------------------------------------------------------------------------------------------------


def test_a_whole_number_is_selected_before_arrays_are_looked_up():
    x = numbers(2, 3, 4)
    picked = x[0, :, [1, 2, 3]]  # NumPy would put the array's dimension first
    assert tuple(picked.shape) == (3, 3)
    np.testing.assert_array_equal(picked.numpy(), x.numpy()[0][:, [1, 2, 3]])
    mask = fastnn.tensor([True, False, True, True])
    np.testing.assert_array_equal(x[1, :, mask].numpy(), x.numpy()[1][:, mask.numpy()])
    assert tuple(x[1, None, :, mask].shape) == (1, 3, 3)


def test_writing_at_a_whole_number_and_an_array():
    x = numbers(2, 3, 4).requires_grad_()
    value = fastnn.zeros(3, 2, requires_grad=True)
    y = x * 1
    y[1, :, [0, 3]] = value
    expected = x.detach().numpy().copy()
    expected[1][:, [0, 3]] = 0
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    np.testing.assert_array_equal(value.grad.numpy(), np.ones((3, 2)))
    assert x.grad.sum().item() == 18


def test_an_ellipsis_for_nothing_keeps_arrays_together():
    x = numbers(5, 3, 2)
    index = fastnn.tensor([0, 1])
    assert tuple(x[:, index, ..., index].shape) == (5, 2)


@pytest.mark.parametrize("key", [0, slice(None), (slice(None), [0, 2]), ...])
def test_a_value_may_have_leading_dimensions_of_one(key):
    x = numbers(2, 3)
    like = x[key]
    value = fastnn.full((1, 1, *like.shape), 7.0, requires_grad=True)
    y = x.clone()
    y[key] = value
    np.testing.assert_array_equal(y[key].detach().numpy(), np.full(like.shape, 7))
    y.sum().backward()
    assert value.grad.shape == value.shape
    assert value.grad.sum().item() == like.numel()
    with pytest.raises(fastnn.ShapeError, match="2"):
        x.clone()[0] = fastnn.zeros(2, 3)


# ---- operators ---------------------------------------------------------------------------------------------------


def test_operators_in_place_change_the_tensor_itself():
    mask = fastnn.tensor([True, False, True])
    same = mask
    mask &= fastnn.tensor([True, True, False])
    mask |= fastnn.tensor([False, True, False])
    mask ^= True
    assert mask is same and same.tolist() == [False, False, True]
    n = same_n = fastnn.tensor([1, 2, 9])
    n <<= 2
    n >>= 1
    n //= 4
    assert n is same_n and n.tolist() == [0, 1, 4]
    assert n.lt_(2).tolist() == [1, 1, 0]
    assert (1 << fastnn.tensor([0, 3])).tolist() == [1, 8]
    assert (8 >> fastnn.tensor([0, 3])).tolist() == [8, 1]


@pytest.mark.parametrize("op", ["fmax", "fmin", "isclose", "equal"])
def test_two_tensors_are_asked_for_by_name(op):
    with pytest.raises(TypeError, match=rf"{op}.*other.*Tensor.*int"):
        getattr(fastnn, op)(fastnn.ones(2), 1)


def test_functions_of_integers():
    n = fastnn.tensor([0, 1])
    assert fastnn.sigmoid(n).dtype is fastnn.float32
    np.testing.assert_allclose(fastnn.tanh(n > 0).numpy(), np.tanh([0, 1]), rtol=1e-6)
    np.testing.assert_allclose(fastnn.logsumexp(n, 0).item(), np.log(1 + np.e), rtol=1e-6)
    assert fastnn.nan_to_num(n).tolist() == [0, 1]
    assert fastnn.any(n.to(fastnn.uint8)).dtype is fastnn.uint8
    assert (n > 0).diff().tolist() == [True]


# ---- reductions of one number ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, -1])
def test_one_number_has_a_dimension_to_reduce(dim):
    x = fastnn.tensor(3.0)
    for op in ("sum", "mean", "prod", "amax", "amin", "logsumexp", "cumsum", "cumprod"):
        assert getattr(x, op)(dim).item() == pytest.approx(3), op
    for op in ("max", "min", "median", "mode", "cummax", "cummin", "sort", "kthvalue"):
        values, indices = getattr(x, op)(*((1,) if op == "kthvalue" else ()), dim)
        assert (values.item(), indices.item()) == (3, 0), op
    assert x.all(dim).item() and x.any(dim).item()
    assert np.isnan(x.var(dim).item()) and x.var(dim, unbiased=False).item() == 0
    assert tuple(x.nonzero().shape) == (1, 0)
    assert fastnn.tensor(3, dtype=fastnn.int16).cumsum(dim).dtype is fastnn.int64


def test_spread_takes_its_arguments_by_place():
    x = numbers(2, 3)
    np.testing.assert_allclose(x.var(1, False).numpy(), x.numpy().var(1))
    assert tuple(x.std(1, True, True).shape) == (2, 1)
    spread, centre = fastnn.std_mean(x, 0, False, True)
    assert spread.shape == centre.shape == (1, 3)


# ---- printing ----------------------------------------------------------------------------------------------------


def test_a_number_formats_as_a_number():
    assert f"{fastnn.tensor(2.5)}" == "2.5"
    assert f"{fastnn.tensor(2.5, requires_grad=True):.2f}" == "2.50"
    assert f"{fastnn.ones(1)}" == "tensor([1.])"


def test_what_does_not_fit_goes_to_the_next_line():
    x = fastnn.tensor([1e-7, -2e-6, 3e-7], dtype=fastnn.float64, requires_grad=True)
    assert repr(x) == (
        "tensor([ 1.0000e-07, -2.0000e-06,  3.0000e-07], dtype=fastnn.float64,\n"
        "       requires_grad=True)"
    )
    assert repr(fastnn.zeros(0, dtype=fastnn.bool)) == "tensor([], dtype=fastnn.bool)"
    zeros = repr(fastnn.zeros(25))  # their width does not count, so that 24 stand in a line
    assert zeros.splitlines()[1] == "        0.])"


# ---- the command line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ink", [0, 255])
def test_a_picture_of_ink_on_nothing(tmp_path, ink):
    image = pytest.importorskip("PIL.Image")
    from fastnn.cli.predict import read_image

    pixels = np.zeros((9, 9, 4), np.uint8)
    pixels[..., :3] = ink
    pixels[2:5, 3:6, 3] = 255
    image.fromarray(pixels).save(tmp_path / "a.png")
    grey = read_image(tmp_path / "a.png")
    assert grey[3, 4] == ink and grey[0, 0] == 255 - ink


def test_the_mode_of_what_is_all_nan():
    found = fastnn.tensor([float("nan"), float("nan")]).mode()
    assert found.values.isnan().item() and found.indices.item() == 0
    assert fastnn.tensor([2.0, float("nan"), 2.0, 1.0]).mode().indices.item() == 2
