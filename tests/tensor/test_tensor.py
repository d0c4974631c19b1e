"""Tensors beside PyTorch's rules: creation, promotion, views, indexing, printing, conversion, errors."""

import copy
import pickle

import numpy as np
import pytest

import fastnn


def test_creation():
    assert fastnn.tensor([1, 2]).dtype is fastnn.int64
    assert fastnn.tensor([1.0, 2]).dtype is fastnn.float32
    assert fastnn.tensor([True]).dtype is fastnn.bool
    assert fastnn.tensor(np.ones(2)).dtype is fastnn.float64
    assert fastnn.zeros(2, 3).shape == (2, 3) and fastnn.ones((2, 3)).sum().item() == 6
    assert fastnn.full((2,), 3).dtype is fastnn.int64
    assert fastnn.arange(5).tolist() == [0, 1, 2, 3, 4]
    assert fastnn.arange(0, 1, 0.25).dtype is fastnn.float32
    assert fastnn.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
    assert fastnn.eye(2).tolist() == [[1, 0], [0, 1]]
    assert fastnn.zeros_like(fastnn.ones(3, dtype=fastnn.float64)).dtype is fastnn.float64
    assert fastnn.tensor([]).dtype is fastnn.float32


def test_from_numpy_shares_and_tensor_copies():
    a = np.zeros(3, np.float32)
    shared, copied = fastnn.from_numpy(a), fastnn.tensor(a)
    a[0] = 7
    assert shared[0].item() == 7 and copied[0].item() == 0
    shared[1] = 5
    assert a[1] == 5


def test_awkward_arrays():
    swapped = np.arange(3, dtype=">f4")
    assert fastnn.from_numpy(swapped).tolist() == [0, 1, 2] and swapped.dtype == ">f4"
    raw = np.zeros(17, np.uint8)[1:].view(np.float32)
    assert (fastnn.from_numpy(raw) + 1).tolist() == [1, 1, 1, 1]
    reverse = fastnn.from_numpy(np.arange(4.0)[::-1])
    assert (reverse + 0).tolist() == [3, 2, 1, 0]
    frozen = np.zeros(2, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fastnn.from_numpy(frozen).add_(1)
    with pytest.raises(TypeError, match="complex"):
        fastnn.from_numpy(np.zeros(2, np.complex64))
    with pytest.raises(TypeError):
        fastnn.tensor(["a"])
    with pytest.raises(ValueError):
        fastnn.tensor([[1, 2], [3]])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (fastnn.float32, fastnn.float64, fastnn.float64),
        (fastnn.int64, fastnn.float32, fastnn.float32),
        (fastnn.bfloat16, fastnn.float16, fastnn.float32),
        (fastnn.bfloat16, fastnn.float32, fastnn.float32),
        (fastnn.uint8, fastnn.int8, fastnn.int16),
        (fastnn.uint8, fastnn.int32, fastnn.int32),
        (fastnn.bool, fastnn.uint8, fastnn.uint8),
        (fastnn.int16, fastnn.bfloat16, fastnn.bfloat16),
    ],
)
def test_promotion_of_tensors(a, b, expected):
    x, y = fastnn.ones(2, dtype=a), fastnn.ones(2, dtype=b)
    assert (x + y).dtype is expected and (y * x).dtype is expected
    assert fastnn.promote_types(a, b) is expected


def test_promotion_by_rank():
    i, f = fastnn.ones(2, dtype=fastnn.int32), fastnn.ones(2, dtype=fastnn.bfloat16)
    assert (i + 1).dtype is fastnn.int32
    assert (i + 1.5).dtype is fastnn.float32
    assert (f + 1.5).dtype is fastnn.bfloat16
    assert (f + fastnn.tensor(1.0, dtype=fastnn.float64)).dtype is fastnn.bfloat16
    assert (i + fastnn.tensor(1.0, dtype=fastnn.float64)).dtype is fastnn.float64
    assert (i / i).dtype is fastnn.float32
    assert (fastnn.tensor([True]) + True).dtype is fastnn.bool
    assert fastnn.ones(2, dtype=fastnn.bool).sum().dtype is fastnn.int64


def test_bfloat16_is_computed_in_float32():
    x = fastnn.ones(100_000, dtype=fastnn.bfloat16)
    assert x.sum().item() == 99840  # 100000 rounded once to bfloat16
    assert (fastnn.tensor([1.0], dtype=fastnn.bfloat16) + 0.0078125).item() == 1.0078125


def test_in_place_keeps_its_dtype():
    x = fastnn.ones(2, dtype=fastnn.int64)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.add_(0.5)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        fastnn.ones(1).add_(fastnn.ones(3))
    assert fastnn.ones(2).mul_(3).tolist() == [3, 3]


def test_views_share():
    x = fastnn.arange(6).reshape(2, 3)
    x.view(3, 2)[0, 0] = 10
    x.t()[1, 1] = 20
    x[:, 2].fill_(30)
    assert x.tolist() == [[10, 1, 30], [3, 20, 30]]
    assert x.T.is_contiguous() is False and x.T.contiguous().is_contiguous()
    with pytest.raises(RuntimeError, match="reshape"):
        x.t().view(6)
    assert x.t().reshape(6).tolist() == [10, 3, 1, 20, 30, 30]
    assert x.unsqueeze(0).shape == (1, 2, 3) and x.unsqueeze(0).squeeze().shape == (2, 3)
    assert [p.shape for p in x.split(2, 1)] == [(2, 2), (2, 1)]
    assert [p.shape for p in x.chunk(2, 1)] == [(2, 2), (2, 1)]
    assert x.expand(4, 2, 3).stride() == (0, 3, 1)
    assert x.movedim(0, 1).shape == (3, 2) and x.flatten().shape == (6,)


def test_indexing_follows_numpy():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 5, 3))
    t = fastnn.tensor(a)
    mask = a > 0
    keys = [
        0, -1, slice(1, 3), (slice(None), 2), (..., 1), (None, 0), ([0, 2], [1, 3]), (slice(None), [0, 0, 4]),
        ([[0], [1]], [[1, 2]]), mask, (0, mask[0]), (mask[:, :, 0],), (slice(None, None, 2), ..., slice(1, None)),
    ]  # fmt: skip
    for key in keys:
        np.testing.assert_array_equal(t[key].numpy(), a[key], err_msg=str(key))
        copy_t, copy_a = t.clone(), a.copy()
        copy_t[key] = 7
        copy_a[key] = 7
        np.testing.assert_array_equal(copy_t.numpy(), copy_a, err_msg=str(key))
    assert t[fastnn.tensor([0, 2])].shape == (2, 5, 3)


def test_bad_indices():
    t = fastnn.zeros(2, 3)
    for key, error in [
        (2, IndexError),
        ((0, 3), IndexError),
        ((0, 0, 0), IndexError),
        (fastnn.tensor([5]), IndexError),
        (fastnn.tensor([0.5]), IndexError),
        ("a", TypeError),
        (slice(None, None, -1), ValueError),
    ]:
        with pytest.raises(error):
            t[key]
    with pytest.raises(ValueError, match="shape mismatch"):
        t[0] = fastnn.zeros(2)
    assert t.sum().item() == 0


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (3, "tensor(3)"),
        ([1, 2], "tensor([1, 2])"),
        ([1.0, 2.0], "tensor([1., 2.])"),
        ([1.5, 2.0], "tensor([1.5000, 2.0000])"),
        ([1e-8, 1.0], "tensor([1.0000e-08, 1.0000e+00])"),
        ([True, False], "tensor([ True, False])"),
        ([], "tensor([])"),
        ([float("nan"), 1.5], "tensor([   nan, 1.5000])"),
        ([float("inf"), 1.0], "tensor([inf, 1.])"),
        ([[1, 2], [3, 4]], "tensor([[1, 2],\n        [3, 4]])"),
    ],
)
def test_printing(values, text):
    assert repr(fastnn.tensor(values)) == text


def test_printing_of_more():
    assert repr(fastnn.ones(2, dtype=fastnn.float64)) == "tensor([1., 1.], dtype=fastnn.float64)"
    assert repr(fastnn.ones(1, requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert "grad_fn=<MulBackward0>" in repr(fastnn.ones(1, requires_grad=True) * 2)
    assert repr(fastnn.zeros(2, 0)) == "tensor([], size=(2, 0))"
    assert "..." in repr(fastnn.arange(2000))


def test_scalars():
    assert float(fastnn.tensor(2.5)) == 2.5 and int(fastnn.tensor([3])) == 3
    assert [10, 20, 30][fastnn.tensor(1)] == 20
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(fastnn.ones(2))
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        fastnn.ones(2).item()
    assert f"{fastnn.tensor(1.23456):.2f}" == "1.23"


def test_numpy_meets_tensor():
    t = fastnn.ones(2, dtype=fastnn.float64)
    assert isinstance(np.ones(2) + t, fastnn.Tensor) and isinstance(
        t * np.float64(2), fastnn.Tensor
    )
    assert np.asarray(t).sum() == 2
    with pytest.raises(RuntimeError, match="detach"):
        fastnn.ones(1, requires_grad=True).numpy()
    assert fastnn.from_dlpack(np.arange(3)).tolist() == [0, 1, 2]
    assert np.from_dlpack(fastnn.arange(3)).tolist() == [0, 1, 2]


def test_copy_and_pickle():
    p = fastnn.nn.Parameter(fastnn.ones(2))
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert (
            isinstance(other, fastnn.nn.Parameter)
            and other.requires_grad
            and other.tolist() == [1, 1]
        )
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(p * 2)


def test_sorting_and_order():
    x = fastnn.tensor([3.0, float("nan"), 1.0, 2.0])
    values, indices = x.sort()
    assert indices.tolist() == [2, 3, 0, 1] and values[:3].tolist() == [1, 2, 3]
    assert x.sort(descending=True).indices.tolist() == [1, 0, 3, 2]
    assert fastnn.tensor([1, 1, 1]).argsort(descending=True).tolist() == [0, 1, 2]
    assert fastnn.tensor([5, 1, 4]).topk(2).values.tolist() == [5, 4]
    assert fastnn.tensor([1, 3, 2, 4]).median().item() == 2
    assert fastnn.tensor([1.0, 5.0, 5.0]).max(0).indices.item() == 1
    assert fastnn.tensor([2, 1, 2]).unique(return_counts=True)[1].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("call", "error", "fragment"),
    [
        (lambda: fastnn.ones(2, 3) @ fastnn.ones(4, 5), ValueError, "inner sizes 3 and 4"),
        (lambda: fastnn.ones(2, 3) + fastnn.ones(4), ValueError, "(2, 3)"),
        (lambda: fastnn.cat([fastnn.ones(2, 3), fastnn.ones(3, 4)]), ValueError, "dimension 0"),
        (lambda: fastnn.stack([fastnn.ones(2), fastnn.ones(3)]), ValueError, "equal size"),
        (lambda: fastnn.ones(2).sum(3), IndexError, "out of range"),
        (lambda: fastnn.ones(2, 3).view(5), ValueError, "invalid for input of size 6"),
        (lambda: fastnn.arange(3).mean(), TypeError, "floating point"),
        (lambda: fastnn.zeros(2, -1), RuntimeError, "negative dimension"),
        (lambda: fastnn.ones(2, device="cuda"), RuntimeError, "CUDA is not available"),
        (
            lambda: fastnn.arange(3, dtype=fastnn.int64).requires_grad_(),
            RuntimeError,
            "floating point",
        ),
        (lambda: fastnn.ones(3).gather(0, fastnn.tensor([7])), IndexError, "index 7"),
        (lambda: fastnn.tensor([True]) - fastnn.tensor([True]), RuntimeError, "logical_xor"),
        (lambda: fastnn.arange(3) // 0, RuntimeError, "by zero"),
    ],
)
def test_errors_say_what_is_wrong(call, error, fragment):
    with pytest.raises(error, match=fragment.replace("(", r"\(").replace(")", r"\)")):
        call()


INDICES = {  # as PyTorch reads them: a list that holds more than numbers is a tuple
    "[[0, 1], [1, 2]]": ([0, 1], [1, 2]), "[[0, 1]]": ([0, 1],), "[0, [1, 2]]": (0, [1, 2]), "[None, 0]": (None, 0),
    "[Ellipsis, 0]": (Ellipsis, 0), "[(0, 1)]": ([0, 1],), "((0, 1), (1, 2))": ([0, 1], [1, 2]), "[range(2)]": ([0, 1],),
    "[[0, 1], None]": ([0, 1], None), "[0, 1]": (np.array([0, 1]),), "[[[0, 1], [1, 0]]]": (np.array([[0, 1], [1, 0]]),),
}  # fmt: skip


@pytest.mark.parametrize("text", INDICES)
def test_lists_as_indices(text):
    a = np.arange(48).reshape(3, 4, 4)
    got = fastnn.tensor(a)[eval(text)]
    np.testing.assert_array_equal(got.numpy(), a[INDICES[text]])


@pytest.mark.parametrize("value", ["abc", None, object(), [None, 1.0]])
def test_what_cannot_be_assigned(value):
    x = fastnn.zeros(2)
    with pytest.raises(TypeError, match="setitem: value must be"):
        x[0] = value
    assert x.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "cumprod"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"]
)
def test_reductions_in_an_asked_for_dtype(name, dtype):
    values = np.array([100, 2, 3])
    dims = (0,) if name.startswith("cum") else ()
    out = getattr(fastnn, name)(fastnn.tensor(values), *dims, dtype=getattr(fastnn, dtype))
    assert out.dtype is getattr(fastnn, dtype)
    np.testing.assert_array_equal(out.numpy(), getattr(np, name)(values).astype(dtype))


@pytest.mark.parametrize("op", ["index_add", "index_copy"])
def test_slices_to_add_or_copy(op):
    x, index = fastnn.zeros(3, 2), fastnn.tensor([2, 0])
    out = getattr(x, op)(0, index, fastnn.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert out.tolist() == [[3, 4], [0, 0], [1, 2]]
    for source in (fastnn.ones(2), fastnn.ones(1, 2), fastnn.ones(2, 3), fastnn.tensor(1.0)):
        with pytest.raises(fastnn.ShapeError, match=rf"{op}.*\[2, 2\], got"):
            getattr(x, op)(0, index, source)
    with pytest.raises(fastnn.DTypeError, match=rf"{op}.*float32, got float64"):
        getattr(x, op)(0, index, fastnn.ones(2, 2).double())
