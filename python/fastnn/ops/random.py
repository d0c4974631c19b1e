"""Random tensors.

Draws depend on the generator's seed and offset alone: same bits for every thread count and layout.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from .. import _core, dtypes
from .. import random as _random
from .._errors import ShapeError
from ..autograd.node import wants_grad
from . import inplace, transfer
from ._util import cast, require_tensor, sizes, wide, wrap

# ---- In place ------------------------------------------------------------------------------------


def _fill(x: Any, op: str, fill: Any, *args: Any, generator: Any = None) -> Any:
    """Overwrites x (whose history ends there) with draws of `fill`."""
    require_tensor(x, op)
    inplace.guard(x, op)
    fill(x._data, *args, generator=generator)
    inplace.bump(x)
    if wants_grad(x):
        inplace.rebase(x, inplace._constant(x, x))
    return x


def _require_float(x: Any, op: str) -> None:
    if require_tensor(x, op)._data.dtype.kind in "iub":
        raise RuntimeError(f"\"{op}\" not implemented for '{dtypes.of_array(x._data).name}'")


def uniform_(
    self: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **kw: Any
) -> Any:
    """Fills with numbers from [from, to).

    Raises RuntimeError for from > to, and for dtypes that are not floating-point.
    """
    low, high = kw.pop("from", from_), to
    if kw:
        raise TypeError(f"uniform_() got an unexpected keyword argument '{next(iter(kw))}'")
    _require_float(self, "uniform_")
    if not low <= high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    return _fill(
        self, "uniform_", _random.fill_uniform, float(low), float(high), generator=generator
    )


def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fills with normal numbers.

    Raises RuntimeError for a negative std, and for dtypes that are not floating-point.
    """
    _require_float(self, "normal_")
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _fill(self, "normal_", _random.fill_normal, float(mean), float(std), generator=generator)


def random_(
    self: Any, from_: Any = None, to: Any = None, *, generator: Any = None, **kw: Any
) -> Any:
    """Fills with whole numbers from [from, to); ``random_(to)`` starts at 0, ``random_()`` takes
    the dtype's range."""
    from_ = kw.pop("from", from_)
    if kw:
        raise TypeError(f"random_() got an unexpected keyword argument '{next(iter(kw))}'")
    if to is None and from_ is not None:
        from_, to = 0, from_
    d = dtypes.of_array(require_tensor(self, "random_")._data)
    if to is None:
        digits = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8, "bool": 1}
        to = (
            (1 << digits[d.name]) + d.is_floating_point
            if d.name in digits
            else dtypes.iinfo(d).max + 1
        )
    low, high = operator.index(from_ or 0), operator.index(to)
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return _fill(self, "random_", _random.fill_integers, low, high, generator=generator)


def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fills with 1 (with probability p, a number or a tensor) and 0.

    Raises RuntimeError for p outside of [0, 1].
    """
    if hasattr(p, "_data"):
        probabilities = np.broadcast_to(p._data, require_tensor(self, "bernoulli_")._data.shape)
        return _fill(
            self, "bernoulli_", _random.fill_bernoulli_of, probabilities, generator=generator
        )
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _fill(self, "bernoulli_", _random.fill_bernoulli, float(p), generator=generator)


def _transformed(op: str, transform: Any) -> Any:
    """A fill that turns uniform (0, 1] float64 draws into something else."""

    def fill(a: np.ndarray, *args: Any, generator: Any = None) -> None:
        u = 1.0 - _random.fill_uniform(np.empty(a.shape), generator=generator)
        a[...] = cast(np.asarray(transform(u, *args)), a.dtype)

    return fill


_exponential = _transformed("exponential_", lambda u, rate: -np.log(u) / rate)
_cauchy = _transformed("cauchy_", lambda u, m, s: m + s * np.tan(np.pi * (u - 0.5)))
_geometric = _transformed(
    "geometric_", lambda u, p: np.maximum(np.ceil(np.log(u) / math.log1p(-p)), 1)
)


def _log_normal(a: np.ndarray, mean: float, std: float, generator: Any = None) -> None:
    a[...] = cast(np.exp(_random.fill_normal(np.empty(a.shape), mean, std, generator)), a.dtype)


def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Fills with draws of density ``lambd * exp(-lambd x)``."""
    _require_float(self, "exponential_")
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _fill(self, "exponential_", _exponential, float(lambd), generator=generator)


def cauchy_(self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """Fills with Cauchy numbers."""
    _require_float(self, "cauchy_")
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _fill(self, "cauchy_", _cauchy, float(median), float(sigma), generator=generator)


def log_normal_(self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """Fills with numbers whose logarithm is normal with this mean and std."""
    _require_float(self, "log_normal_")
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _fill(self, "log_normal_", _log_normal, float(mean), float(std), generator=generator)


def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """Fills with the number of trials up to the first success of probability p."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _fill(
        require_tensor(self, "geometric_"), "geometric_", _geometric, p, generator=generator
    )


# ---- New tensors ---------------------------------------------------------------------------------


def _new(size: Any, dtype: Any, device: Any, op: str, default: Any = None) -> np.ndarray:
    d = dtypes.as_dtype(dtype) if dtype is not None else default or dtypes.get_default_dtype()
    flat = size[0] if len(size) == 1 and not hasattr(size[0], "__index__") else size
    a = _core.empty(sizes(tuple(flat), op), d.numpy)
    return a if device is None else transfer.move_array(a, transfer.parse(device))


def _finish(a: np.ndarray, requires_grad: bool) -> Any:
    t = wrap(a)
    if requires_grad:
        t.requires_grad = True
    return t


def _float_array(a: np.ndarray, op: str) -> np.ndarray:
    if a.dtype.kind in "iub":
        raise RuntimeError(f"\"{op}\" not implemented for '{dtypes.of_array(a).name}'")
    return a


def rand(
    *size: Any, generator: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, **_: Any,
) -> Any:  # fmt: skip
    """Uniform numbers from [0, 1)."""
    a = _float_array(_new(size, dtype, device, "rand"), "rand")
    return _finish(_random.fill_uniform(a, generator=generator), requires_grad)


def randn(
    *size: Any, generator: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, **_: Any,
) -> Any:  # fmt: skip
    """Normal numbers with mean 0 and variance 1."""
    a = _float_array(_new(size, dtype, device, "randn"), "randn")
    return _finish(_random.fill_normal(a, generator=generator), requires_grad)


def randint(
    low: Any, high: Any = None, size: Any = None, *, generator: Any = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False, **_: Any,
) -> Any:  # fmt: skip
    """Whole numbers from [low, high): ``randint(high, size)`` or ``randint(low, high, size)``;
    int64 by default."""
    if size is None:
        low, high, size = 0, low, high
    if high is None or size is None:
        raise TypeError(
            "randint(): needs high and size: randint(high, size) or randint(low, high, size)"
        )
    a = _new(
        (size,) if isinstance(size, (tuple, list)) else size, dtype, device, "randint", dtypes.int64
    )
    return _finish(_integers(a, low, high, "randint", generator), requires_grad)


def _integers(a: np.ndarray, low: Any, high: Any, op: str, generator: Any) -> np.ndarray:
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(
            f"{op} expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if a.dtype.kind in "iu":
        info = np.iinfo(a.dtype)
        if low < info.min or high - 1 > info.max:
            raise RuntimeError(f"{op}: [{low}, {high}) is out of bounds for {dtypes.of_array(a)}")
    return _random.fill_integers(a, low, high, generator)


def randperm(
    n: int, *, generator: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, **_: Any,
) -> Any:  # fmt: skip
    """The numbers 0 to n - 1 in random order, int64 by default.

    Raises ValueError for a negative n.
    """
    a = _random.randperm(operator.index(n), generator)
    if device is not None:
        a = transfer.move_array(a, transfer.parse(device))
    return _finish(a if dtype is None else cast(a, dtypes.as_dtype(dtype).numpy), requires_grad)


def _like(input: Any, dtype: Any, op: str) -> np.ndarray:
    d = None if dtype is None else dtypes.as_dtype(dtype).numpy
    return np.empty_like(require_tensor(input, op)._data, dtype=d)


def rand_like(
    input: Any, *, dtype: Any = None, generator: Any = None, requires_grad: bool = False, **_: Any
) -> Any:
    """rand() with the shape and dtype of `input`."""
    a = _float_array(_like(input, dtype, "rand_like"), "rand_like")
    return _finish(_random.fill_uniform(a, generator=generator), requires_grad)


def randn_like(
    input: Any, *, dtype: Any = None, generator: Any = None, requires_grad: bool = False, **_: Any
) -> Any:
    """randn() with the shape and dtype of `input`."""
    a = _float_array(_like(input, dtype, "randn_like"), "randn_like")
    return _finish(_random.fill_normal(a, generator=generator), requires_grad)


def randint_like(
    input: Any, low: Any, high: Any = None, *, dtype: Any = None, generator: Any = None,
    requires_grad: bool = False, **_: Any,
) -> Any:  # fmt: skip
    """randint() with the shape and dtype of `input`."""
    if high is None:
        low, high = 0, low
    a = _like(input, dtype, "randint_like")
    return _finish(_integers(a, low, high, "randint_like", generator), requires_grad)


def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None
) -> Any:
    """Normal numbers; mean and std are numbers (then with a size) or tensors that broadcast."""
    if size is not None:
        a = _float_array(_new((size,), dtype, None, "normal"), "normal")
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
        return wrap(_random.fill_normal(a, float(mean), float(std), generator))
    like = mean if hasattr(mean, "_data") else std
    require_tensor(like, "normal", "mean")
    arrays = [wide(x._data) if hasattr(x, "_data") else np.asarray(x) for x in (mean, std)]
    if (arrays[1] < 0).any():
        raise RuntimeError("normal expects all elements of std >= 0.0")
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    z = _random.fill_normal(
        np.empty(shape, _float_array(like._data, "normal").dtype), generator=generator
    )
    return wrap(cast(np.asarray(wide(z) * arrays[1] + arrays[0], wide(z).dtype), z.dtype))


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None) -> Any:
    """1 with the probabilities in `input` (or with probability p), else 0.

    Raises for probabilities outside of [0, 1].
    """
    a = _float_array(_like(input, None, "bernoulli"), "bernoulli")
    if p is not None:
        return bernoulli_(wrap(a), p, generator=generator)
    return wrap(_random.fill_bernoulli_of(a, input._data, generator))


def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Any:
    """Indices drawn with the weights in the rows of `input`.

    (n,) gives (num_samples,), (m, n) gives (m, num_samples). Without replacement an index comes at
    most once. Raises RuntimeError for negative, infinite or all-zero weights, and when there are
    fewer than num_samples non-zero weights to draw from without replacement.
    """
    weights = cast(
        _float_array(require_tensor(input, "multinomial")._data, "multinomial"), np.dtype("f8")
    )
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: prob_dist must be 1 or 2 dim, got {weights.ndim}")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError(
            "multinomial: probability tensor contains either `inf`, `nan` or element < 0"
        )
    if not (weights.sum(-1) > 0).all():
        raise RuntimeError(
            "multinomial: invalid multinomial distribution (sum of probabilities <= 0)"
        )
    if replacement:
        total = np.cumsum(weights, -1)
        u = _random.fill_uniform(np.empty((*weights.shape[:-1], num_samples)), generator=generator)
        rows = zip(np.atleast_2d(total), np.atleast_2d(u), strict=True)
        drawn = [np.searchsorted(t, v * t[-1], side="right") for t, v in rows]
        return wrap(np.stack(drawn).reshape(u.shape).astype(np.int64))
    if num_samples > np.count_nonzero(weights, -1).min():
        raise RuntimeError(
            "multinomial: cannot sample n_sample > the number of non-zero weights without "
            "replacement"
        )
    # The smallest of exponential variables with rates w is i with probability w_i / sum w; then
    # again without it.
    u = 1.0 - _random.fill_uniform(np.empty(weights.shape), generator=generator)
    with np.errstate(divide="ignore"):
        waits = -np.log(u) / weights
    return wrap(np.argsort(waits, -1, kind="stable")[..., :num_samples].astype(np.int64))


METHODS = [
    "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_",
    "geometric_", "bernoulli", "multinomial",
]  # fmt: skip
