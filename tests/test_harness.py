"""The harness finds planted errors: each test breaks a correct operator in one way."""

import numpy as np
import pytest

from tests.backends import ArrayBackend
from tests.cases import Case
from tests.harness import check_gradients, check_op, check_raises, error_of
from tests.layouts import LAYOUTS, place
from tests.reference.gemm import linear_backward, linear_forward


class FakeRuntime(ArrayBackend):
    """Functions of arrays, on a machine with two instruction set levels."""

    def __init__(self):
        self.threads_now, self.level = 2, "high"

    def num_threads(self):
        return self.threads_now

    def set_num_threads(self, count):
        self.threads_now = count

    def isa_levels(self):
        return ["low", "high"]

    def isa(self):
        return self.level

    def set_isa(self, name):
        self.level = name


CASE = Case("planted", ((5, 7), (3, 7), (3,)), full=True)


def check(forward=linear_forward, backward=linear_backward, backend=None, case=CASE, **options):
    check_op(
        (forward, backward), linear_forward, linear_backward, case,
        ceilings="gemm", backend=backend or FakeRuntime(), **options,
    )  # fmt: skip


def fails(*fragments, **options):
    with pytest.raises(AssertionError) as caught:
        check(**options)
    for fragment in fragments:
        assert fragment in str(caught.value)
    return caught.value


def broken(change):
    """The linear layer, with ``change(y, x, weight, bias)`` applied to its output."""
    return lambda x, weight, bias: change(linear_forward(x, weight, bias), x, weight, bias)


def test_a_correct_operator_passes():
    check(dtypes=("float32", "float64", "float16", "bfloat16"), forward=_half_linear,
          backward=_half_linear_backward)  # fmt: skip
    check()


def _half_linear(*arrays):
    dtype, wide = arrays[0].dtype, [a.astype(np.promote_types(a.dtype, "f4")) for a in arrays]
    return linear_forward(*wide).astype(dtype)


def _half_linear_backward(*arrays):
    dtype, wide = arrays[0].dtype, [a.astype(np.promote_types(a.dtype, "f4")) for a in arrays]
    return tuple(g.astype(dtype) for g in linear_backward(*wide))


def test_wrong_value_names_everything():
    def change(y, *_):
        y[2, 1] *= 1 + 1e-5
        return y

    fails(
        "[planted]", "float32", "contiguous", "isa=high", "output 0", "off by", "worst at (2, 1)",
        "got", "reference", forward=broken(change),
    )  # fmt: skip


def test_wrong_gradient():
    def backward(*arrays):
        dx, dw, db = linear_backward(*arrays)
        return dx, -dw, db

    fails("gradient 1 is off by", backward=backward)


def test_missing_gradient():
    fails("shape ()", "gradient 2", backward=lambda *a: (*linear_backward(*a)[:2], None))


def test_float64_computed_in_float32():
    def change(y, *_):
        return y.astype(np.float32).astype(y.dtype)

    fails("float64", "off by", forward=broken(change))


def test_low_precision_accumulation_breaks_the_rule_of_two():
    def change(_, x, weight, bias):
        total = np.zeros((len(x), len(weight)), np.float16)
        for k in range(x.shape[1]):
            total += np.multiply.outer(x[:, k], weight[:, k]).astype(np.float16)
        return total.astype(x.dtype) + bias

    long = Case("long", ((5, 401), (3, 401), (3,)))
    for dtype, backward in (("float32", linear_backward), ("float16", _half_linear_backward)):
        fails(
            "output 0 is off by", forward=broken(change), backward=backward, dtypes=[dtype],
            case=long,
        )  # fmt: skip


def test_output_dtype_and_shape():
    fails("dtype float64, expected float32", forward=broken(lambda y, *_: y.astype(np.float64)))
    fails("shape (1, 5, 3), expected (5, 3)", forward=broken(lambda y, *_: y[None]))


def test_modified_input():
    def change(y, x, weight, bias):
        x[0, 0] += 1
        return y

    fails("argument 0 was modified", forward=broken(change))


def test_write_beside_an_input():
    def change(y, x, weight, bias):
        np.lib.stride_tricks.as_strided(bias, (4,), bias.strides)[3] = 0
        return y

    fails("argument 2 was modified, or memory beside it was written", forward=broken(change))


def test_read_beside_an_input_gives_nan():
    def change(y, x, weight, bias):
        return y + 0 * np.lib.stride_tricks.as_strided(bias, (4,), bias.strides)[3]

    fails("off by inf", forward=broken(change))


def test_modified_gradient_of_the_output():
    def backward(dy, *arrays):
        gradients = linear_backward(dy, *arrays)
        dy *= 2
        return gradients

    fails("dy was modified", backward=backward)


def _nudged(y):
    """Other bits, well inside the accuracy bar."""
    y[0, 0] = np.nextafter(y[0, 0], np.inf)
    return y


def test_result_that_depends_on_threads():
    backend = FakeRuntime()
    forward = broken(lambda y, *_: _nudged(y) if backend.threads_now == 3 else y)
    fails("output 0 has other bits with 3 threads", forward=forward, backend=backend)


def test_gradient_that_depends_on_threads():
    backend = FakeRuntime()

    def backward(*arrays):
        dx, dw, db = linear_backward(*arrays)
        return dx, _nudged(dw) if backend.threads_now == 1 else dw, db

    fails("gradient 1 has other bits with 1 threads", backward=backward, backend=backend)


def test_result_that_depends_on_the_run():
    calls = []

    def change(y, *_):
        calls.append(0)
        return _nudged(y) if len(calls) % 2 else y

    fails("other bits in a second run", forward=broken(change))


def test_result_that_depends_on_alignment():
    forward = broken(lambda y, x, *_: y if x.ctypes.data % 32 != 8 else _nudged(y))
    fails("bytes off alignment", forward=forward)


@pytest.mark.parametrize("layout", ["transposed", "strided", "flipped"])
def test_operator_that_ignores_the_step_between_columns(layout):
    def forward(x, weight, bias):
        step = (x.strides[0], x.itemsize)
        return linear_forward(np.lib.stride_tricks.as_strided(x, x.shape, step), weight, bias)

    fails(layout, "output 0 is off by", forward=forward, layouts=(layout,))


def test_operator_that_ignores_the_distance_between_rows():
    def forward(x, weight, bias):
        step = (7 * x.itemsize, x.itemsize)
        packed = np.lib.stride_tricks.as_strided(x, x.shape, step)
        return linear_forward(packed if x.strides[1] == x.itemsize else x, weight, bias)

    fails("sliced", "output 0 is off by", forward=forward, layouts=("sliced",))


def test_error_in_the_expanded_layout():
    fails("expanded", forward=broken(lambda y, x, *_: y if x.strides[0] else y + 1))


def test_error_at_one_instruction_set_level():
    backend = FakeRuntime()
    forward = broken(lambda y, *_: y + 1 if backend.level == "low" else y)
    fails("isa=low", forward=forward, backend=backend)
    assert backend.level == "high" and backend.threads_now == 2


def test_gradient_that_needs_the_others():
    class Selective(FakeRuntime):
        def run(self, op, arrays, bind, wanted=(), dy=None):
            outputs, gradients = super().run(op, arrays, bind, wanted, dy)
            if wanted == (2,):
                gradients[2] = gradients[2] * 2
            return outputs, gradients

    fails("gradient 2 is off by 1", backend=Selective())


def test_exception_names_the_case():
    def forward(*arrays):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError) as caught:
        check(forward=forward)
    assert "[planted] float32 contiguous" in caught.value.__notes__[0]


def test_error_of_matches_infinities_and_nan():
    want = np.array([1.0, np.inf, -np.inf, np.nan, 0.0])
    assert error_of(want.copy(), want) == (0.0, (0,))
    for i, value in [(0, np.nan), (1, -np.inf), (2, 0.0), (3, 1.0), (4, np.inf)]:
        got = want.copy()
        got[i] = value
        assert error_of(got, want) == (np.inf, (i,))
    assert error_of(np.zeros((0, 3)), np.zeros((0, 3)))[0] == 0


def test_finite_differences_find_a_wrong_gradient():
    check_gradients((linear_forward, linear_backward), CASE, double=False, backend=FakeRuntime())

    def backward(*arrays):
        dx, dw, db = linear_backward(*arrays)
        return dx * 1.001, dw, db

    with pytest.raises(AssertionError, match="gradient along a random direction"):
        check_gradients((linear_forward, backward), CASE, double=False, backend=FakeRuntime())


def _refuse(array, write=False):
    if write:
        array[0] = 1
    raise ValueError("linear: weight must have 2 dimensions, got 3")


def test_check_raises():
    array = np.zeros(3)
    check_raises(lambda: _refuse(array), ValueError, "weight", "got 3", unchanged=[array])
    with pytest.raises(AssertionError, match=r"\['bias'\] not in the text"):
        check_raises(lambda: _refuse(array), ValueError, "weight", "bias")
    with pytest.raises(AssertionError, match="array 0 was changed"):
        check_raises(lambda: _refuse(array, write=True), ValueError, unchanged=[array])
    with pytest.raises(AssertionError, match="expected TypeError, got ValueError"):
        check_raises(lambda: _refuse(array), TypeError)
    with pytest.raises(AssertionError, match="got the result 1"):
        check_raises(lambda: 1, ValueError)


@pytest.mark.parametrize("layout", [*LAYOUTS, "expanded"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 5), (2, 3, 4, 5), (0, 3), (3, 0)])
def test_layouts_hold_the_same_numbers(layout, shape):
    array = np.asarray(np.random.default_rng(0).standard_normal(shape))
    if layout == "expanded" and array.size:
        array = np.broadcast_to(array[:1], shape) if shape else array
    placed = place(array, layout, 12)
    assert np.array_equal(placed.view, array)
    assert placed.view.flags.aligned
    placed.assert_unmodified("array")
    if array.size:
        start = np.lib.array_utils.byte_bounds(placed.view)[0]
        if layout in ("contiguous", "transposed"):
            assert start % 64 == 8  # 12 bytes, in whole elements
