"""bfloat16 and float16: every operator, forward and backward, held to its bar (tests/harness.py)."""

import functools

import ml_dtypes
import numpy as np
import pytest

import fastnn
from tests.cases import special
from tests.catalog import OPERATORS
from tests.harness import check_op, check_raises, eps_of, error_of
from tests.ops.test_functional import BY_NAME, CALLS, GENERATED, SPECIAL, function_of
from tests.tensor.test_gradients import OPS, UNARY

HALVES = ("bfloat16", "float16")
# The derivative y (1 - y) of a rounded y is off by up to eps / 2, beside its maximum of 1/4.
HALF_EPS = {"sigmoid": 2.0}

pytestmark = pytest.mark.parametrize("dtype", HALVES)


def hold(op, case, dtype):
    check_op(
        function_of(op), op.forward, op.backward, case, ceilings=op.ceilings, dtypes=(dtype,),
        half_eps=HALF_EPS.get(op.name, 1.0),
    )  # fmt: skip


@pytest.mark.parametrize("op, case", CALLS)
def test_values_and_gradients(op, case, dtype):
    hold(op, case, dtype)


@pytest.mark.parametrize("name", GENERATED)
def test_random_shapes(name, dtype):
    for case in GENERATED[name](count=25):
        hold(BY_NAME[name], case, dtype)


@pytest.mark.parametrize("name, id", SPECIAL)
def test_nan_and_infinities(name, id, dtype):
    op = BY_NAME[name]
    hold(op, special(next(c for c in op.cases if c.id == id)), dtype)


# ---- Tensor operations: against themselves in float64, which finite differences hold --------------

TENSOR_OPS = {name: (function, shapes) for name, (function, shapes) in OPS.items()}
TENSOR_OPS |= {name: (getattr(fastnn, name), [(7,)]) for name in UNARY}


def narrow_inputs(shapes, numpy_type, positive):
    for i, shape in enumerate(shapes):
        a = np.random.default_rng([i, *shape]).standard_normal(shape)
        yield np.asarray(np.abs(a) + 0.2 if positive else a).astype(numpy_type)


def outcome(function, arrays, dtype):
    """The value and the gradients, as tensors of `dtype`."""
    inputs = [fastnn.from_numpy(a).to(dtype).requires_grad_() for a in arrays]
    y = function(*inputs)
    dy = np.asarray(np.random.default_rng(5).standard_normal(y.shape)).astype(ml_dtypes.bfloat16)
    y.backward(fastnn.from_numpy(dy).to(dtype))
    return [y.detach(), *(x.grad for x in inputs)]


@pytest.mark.parametrize("name", TENSOR_OPS)
def test_tensor_operations(name, dtype):
    function, shapes = TENSOR_OPS[name]
    kind = getattr(fastnn, dtype)
    arrays = list(narrow_inputs(shapes, kind.numpy, positive=name in UNARY))
    got, want = outcome(function, arrays, kind), outcome(function, arrays, fastnn.float64)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.dtype is kind
        # Chains of up to three ops, each of which rounds by eps / 2 and passes on what it got.
        assert error_of(a.double().numpy(), b.numpy())[0] <= 2 * eps_of(kind.numpy), (name, i)


EXACT = {
    "sort": lambda x: x.sort(),
    "argmax": lambda x: x.argmax(),
    "unique": lambda x: x.unique(),
    "median": lambda x: x.median(),
    "cummax": lambda x: x.cummax(0),
    "isnan": lambda x: x.isnan(),
    "sign": lambda x: x.sign(),
    "floor": lambda x: x.floor(),
    "round": lambda x: x.round(),
    "compare": lambda x: x > 0.5,
    "histc": lambda x: x.histc(5, -2.0, 2.0),
    "to int": lambda x: x.to(fastnn.int64),
    "clone": lambda x: x.clone(),
    "zeros_like": lambda x: fastnn.zeros_like(x),
    "full_like": lambda x: fastnn.full_like(x, 0.1),
    "item": lambda x: x[3].item(),
    "tolist": lambda x: x.tolist(),
    "in place": lambda x: x.clone().mul_(2.0).neg_(),
    "set": lambda x: x.clone().index_fill_(0, fastnn.tensor([1]), 3.0),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_operations(name, dtype):
    kind = getattr(fastnn, dtype)
    (array,) = narrow_inputs([(19,)], kind.numpy, positive=False)
    for a, b in zip(
        *(as_results(EXACT[name](fastnn.from_numpy(array).to(d))) for d in (kind, fastnn.float32)),
        strict=True,
    ):
        if isinstance(a, fastnn.Tensor):
            assert a.dtype is (kind if b.dtype is fastnn.float32 else b.dtype)
            a, b = a.float().tolist(), b.to(a.dtype).float().tolist()
        assert a == b


def as_results(value):
    return tuple(value) if isinstance(value, tuple) else (value,)


# ---- Refusals -------------------------------------------------------------------------------------

DENSE = ("matmul", "linear", "bilinear", "conv1d", "conv2d", "conv3d",
         "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_mixed_dtypes_are_refused(name, dtype):
    """As in PyTorch: products do not promote."""
    case, kind = BY_NAME[name].cases[0], getattr(fastnn, dtype)
    arrays = [a for a in case.inputs() if a is not None]
    for i in range(2):
        tensors = [fastnn.from_numpy(a).float() for a in arrays]
        tensors[i] = tensors[i].to(kind)
        call = functools.partial(function_of(BY_NAME[name]), *tensors, **case.kwargs)
        check_raises(call, fastnn.DTypeError, dtype, "float32")


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_mixed_dtypes_promote_or_are_refused(op, dtype):
    """One operand of 16 bits beside float32: a float result, or an error that names dtypes."""
    case, kind = op.cases[0], getattr(fastnn, dtype)
    arrays = case.inputs()
    floats = [i for i, a in enumerate(arrays) if a is not None and a.dtype == np.float64]
    tensors = [None if a is None else fastnn.from_numpy(a) for a in arrays]
    for i in floats:
        tensors[i] = tensors[i].to(kind if i == floats[-1] else fastnn.float32)
    split = len(arrays) - len(case.names)
    named = dict(zip(case.names, tensors[split:], strict=True))
    try:
        y = function_of(op)(*tensors[:split], **named, **case.kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        assert dtype in str(error) and "float32" in str(error)
    else:
        assert (y[0] if isinstance(y, tuple) else y).dtype in (fastnn.float32, kind)


def test_cross_entropy_of_probabilities_promotes(dtype):
    logits = fastnn.randn(4, 3).to(getattr(fastnn, dtype)).requires_grad_()
    target = fastnn.rand(4, 3)
    loss = fastnn.nn.functional.cross_entropy(logits, target)
    want = fastnn.nn.functional.cross_entropy(logits.detach().float(), target)
    assert loss.dtype is fastnn.float32 and loss.item() == want.item()
    loss.backward()
    assert logits.grad.dtype is logits.dtype
