"""embedding and embedding_bag."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F
from tests.backends import num_threads
from tests.cases import embedding as cases
from tests.harness import check_gradients, check_op, check_raises, error_of
from tests.reference import embedding as reference


@pytest.mark.parametrize("case", cases.EMBEDDING, ids=str)
def test_embedding(case):
    check_op(
        F.embedding, reference.embedding_forward, reference.embedding_backward, case,
        ceilings="embedding",
    )  # fmt: skip


@pytest.mark.parametrize("case", cases.EMBEDDING_BAG, ids=str)
def test_embedding_bag(case):
    check_op(
        F.embedding_bag, reference.embedding_bag_forward, reference.embedding_bag_backward, case,
        ceilings=(1e-6, 1e-6),
    )  # fmt: skip


# padding_idx and scale_grad_by_freq make gradients that are no derivatives (of a bag, only the
# latter).
TRUE = [c for c in cases.EMBEDDING if 0 not in c.shapes[0] and not c.kwargs]
TRUE_BAGS = [c for c in cases.EMBEDDING_BAG if not c.kwargs.get("scale_grad_by_freq")]


@pytest.mark.parametrize("case", TRUE, ids=str)
def test_gradients(case):
    check_gradients(F.embedding, case)


@pytest.mark.parametrize("case", TRUE_BAGS, ids=str)
def test_gradients_of_bags(case):
    check_gradients(F.embedding_bag, case)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types(dtype):
    case = next(c for c in cases.EMBEDDING if c.full)
    check_op(
        F.embedding, reference.embedding_forward, reference.embedding_backward, case,
        dtypes=(dtype,),
    )  # fmt: skip


@pytest.mark.parametrize("case", cases.EMBEDDING_RENORM, ids=str)
def test_max_norm_changes_the_table(case):
    indices, table = case.inputs()
    weight = fastnn.tensor(table)
    y = F.embedding(fastnn.tensor(indices), weight, **case.kwargs)
    want = reference.renormalize(table, indices, **case.kwargs)
    np.testing.assert_allclose(weight.numpy(), want, rtol=1e-12)
    np.testing.assert_array_equal(y.numpy(), weight.numpy()[indices])
    assert weight._version == 1


def test_a_hundred_thousand_hits_on_one_row_add_up(rng):
    n, d = 100_000, 300
    index = fastnn.zeros(n, dtype=fastnn.int64)
    dy = rng.random((n, d)).astype(np.float32)
    results = []
    for threads in (1, 2):
        weight = fastnn.zeros(3, d, requires_grad=True)
        with num_threads(threads):
            F.embedding(index, weight).backward(fastnn.from_numpy(dy))
        results.append(weight.grad.numpy())
    assert results[0].tobytes() == results[1].tobytes()
    assert error_of(results[0][0], dy.astype(np.float64).sum(0))[0] <= 1e-6
    assert not results[0][1:].any()


def test_maximum_of_a_bag_takes_nan_and_the_first_of_equals():
    weight = fastnn.tensor([[1.0, 2.0], [1.0, np.nan], [0.0, 3.0]], requires_grad=True)
    y = F.embedding_bag(fastnn.tensor([[0, 1, 2]]), weight, mode="max")
    assert y[0, 0] == 1 and np.isnan(y[0, 1].item())
    y[0, 0].backward()
    np.testing.assert_array_equal(weight.grad.numpy(), [[1, 0], [0, 0], [0, 0]])


def test_include_last_offset():
    weight, flat = fastnn.randn(9, 3), fastnn.tensor([1, 2, 4, 5, 4, 3])
    with_last = F.embedding_bag(flat, weight, fastnn.tensor([0, 2, 5]), include_last_offset=True)
    without = F.embedding_bag(flat[:5], weight, fastnn.tensor([0, 2]))
    assert fastnn.equal(with_last, without)


def test_int32_and_uint8_indices():
    weight = fastnn.randn(5, 3)
    for dtype in (fastnn.int32, fastnn.uint8):
        index = fastnn.tensor([4, 0, 2]).to(dtype)
        assert fastnn.equal(F.embedding(index, weight), weight[fastnn.tensor([4, 0, 2])])


def test_layers():
    layer = nn.Embedding(10, 3, padding_idx=-1)
    assert repr(layer) == "Embedding(10, 3, padding_idx=9)"
    assert not layer.weight[9].any() and layer.weight[0].any()
    layer(fastnn.tensor([9, 1])).sum().backward()
    assert not layer.weight.grad[9].any() and (layer.weight.grad[1] == 1).all()
    table = fastnn.randn(4, 2)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and fastnn.equal(frozen.weight, table)
    bag = nn.EmbeddingBag(10, 3, mode="sum")
    assert repr(bag) == "EmbeddingBag(10, 3, mode='sum')"
    assert bag(fastnn.tensor([[1, 2]])).shape == (1, 3)
    assert not nn.EmbeddingBag.from_pretrained(table).weight.requires_grad
    check_raises(lambda: nn.Embedding(4, 2, 4), ValueError, "within num_embeddings")
    check_raises(lambda: nn.Embedding(4, 3, _weight=table), ValueError, "(4, 2)", "(4, 3)")
    check_raises(lambda: nn.Embedding(4, 3, sparse=True), NotImplementedError, "sparse")


@pytest.mark.parametrize("bad", [5, -1, 2**40])
def test_index_out_of_range(bad):
    weight = fastnn.ones(5, 3)
    index = fastnn.tensor([[0, 1], [bad, 2]])
    for f in (F.embedding, F.embedding_bag):
        text = check_raises(lambda f=f: f(index, weight, max_norm=1.0), IndexError, f"index {bad}",
                            "flat position 2", "5 rows", unchanged=(weight.numpy(),))  # fmt: skip
        assert text.startswith(f.__name__)


def test_errors():
    w, i = fastnn.ones(5, 3), fastnn.tensor([0, 1])
    bag = F.embedding_bag
    for make, error, *text in [
        (lambda: F.embedding(i.float(), w), TypeError, "integers", "float32"),
        (lambda: F.embedding(i, w[0]), ValueError, "2 dimensions", "(3,)"),
        (lambda: F.embedding(i, w.long()), TypeError, "weight", "int64"),
        (lambda: F.embedding(i, w, padding_idx=5), ValueError, "padding_idx", "5"),
        (lambda: F.embedding(i, w, sparse=True), NotImplementedError, "sparse"),
        (lambda: bag(i, w), ValueError, "offsets"),
        (lambda: bag(i, w, i[:0] + 1, mode="product"), ValueError, "product"),
        (lambda: bag(i.reshape(1, 2), w, i), ValueError, "2D"),
        (lambda: bag(i, w, fastnn.tensor([1])), ValueError, "start at 0", "offsets[0] = 1"),
        (lambda: bag(i, w, fastnn.tensor([0, 2, 1])), ValueError, "ascend", "offsets[2] = 1"),
        (lambda: bag(i, w, fastnn.tensor([0, 3])), ValueError, "exceed", "offsets[1] = 3"),
        (lambda: bag(i, w, i, per_sample_weights=w[0, :2]), NotImplementedError, "mode='mean'"),
        (lambda: bag(i, w, i, mode="sum", per_sample_weights=w[0]), ValueError, "[3]", "[2]"),
        (lambda: bag(i, w, i, mode="max", scale_grad_by_freq=True), ValueError, "frequency"),
    ]:
        check_raises(make, error, *text)
