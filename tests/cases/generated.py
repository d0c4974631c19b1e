"""Random shapes and parameters: ``count`` cases of a family, the same on every run.

Sizes come from a list of awkward ones: 1, primes, and one off powers of two.
"""

import numpy as np

from tests.cases import Case, normal_with_weight
from tests.cases.conv import conv_case, conv_transpose_case
from tests.cases.norm import batch_case, trailing_case
from tests.cases.pool import distinct

SIZES = (1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 61, 64, 65, 97, 127, 129)


def _draws(name, count):
    """One generator per case, and its id."""
    for i in range(count):
        yield np.random.default_rng([i, *name.encode()]), f"{name}-{i}"


def _size(rng, largest=129):
    return int(rng.choice([s for s in SIZES if s <= largest]))


def _each(rng, n, low, high):
    """n numbers from low to high, or one number for all axes."""
    values = tuple(int(v) for v in rng.integers(low, high + 1, n))
    return values[0] if rng.random() < 0.3 else values


def _tuple(value, n):
    return value if isinstance(value, tuple) else (value,) * n


def matmul(count=100):
    for rng, id in _draws("matmul", count):
        m, k, n = (_size(rng) for _ in range(3))
        batch = (int(rng.integers(1, 5)),) if rng.random() < 0.3 else ()
        yield Case(id, ((*batch, m, k), (*batch, k, n)))


def linear(count=100):
    for rng, id in _draws("linear", count):
        rows, k, out = (_size(rng) for _ in range(3))
        bias = (out,) if rng.random() < 0.7 else None
        yield Case(id, ((rows, k), (out, k), bias), make=normal_with_weight)


def _conv_parameters(rng, n):
    groups, per_in, per_out = (int(v) for v in rng.integers(1, [4, 6, 6]))
    kernel = tuple(int(v) for v in rng.integers(1, 5, n))
    options = {
        "stride": _each(rng, n, 1, 3),
        "padding": _each(rng, n, 0, 3),
        "dilation": _each(rng, n, 1, 3),
        "groups": groups,
    }
    return groups, per_in, per_out, kernel, options


def conv(n, count=100):
    """Convolutions in n dimensions, with an output of at least one pixel."""
    for rng, id in _draws(f"conv{n}d", count):
        groups, per_in, per_out, kernel, options = _conv_parameters(rng, n)
        padding, dilation = _tuple(options["padding"], n), _tuple(options["dilation"], n)
        spatial = tuple(
            max(1, d * (k - 1) + 1 - 2 * p) + int(rng.integers(0, 12 // n))
            for k, d, p in zip(kernel, dilation, padding, strict=True)
        )
        x = (int(rng.integers(1, 4)), groups * per_in, *spatial)
        weight = (groups * per_out, per_in, *kernel)
        yield conv_case(id, x, weight, bias=rng.random() < 0.7, **options)


def conv_transpose(n, count=100):
    for rng, id in _draws(f"conv_transpose{n}d", count):
        groups, per_in, per_out, kernel, options = _conv_parameters(rng, n)
        stride, dilation = _tuple(options["stride"], n), _tuple(options["dilation"], n)
        extra = tuple(
            int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True)
        )
        reach = (d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        padding = tuple(
            min(p, (r + e - 1) // 2)  # an output of at least one pixel
            for p, r, e in zip(_tuple(options["padding"], n), reach, extra, strict=True)
        )
        options |= {"output_padding": extra, "padding": padding}
        spatial = tuple(int(v) for v in rng.integers(1, 3 + 6 // n, n))
        x = (int(rng.integers(1, 4)), groups * per_in, *spatial)
        weight = (groups * per_in, per_out, *kernel)
        yield conv_transpose_case(id, x, weight, bias=rng.random() < 0.7, **options)


def _pool_parameters(rng, n, dilated):
    kernel = tuple(int(v) for v in rng.integers(1, 5, n))
    dilation = _tuple(_each(rng, n, 1, 3), n) if dilated else (1,) * n
    options = {
        "kernel_size": kernel,
        "stride": _each(rng, n, 1, 4),
        "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
        "ceil_mode": bool(rng.random() < 0.4),
    }
    spatial = tuple(
        d * (k - 1) + 1 + int(rng.integers(0, 12 // n))
        for k, d in zip(kernel, dilation, strict=True)
    )
    return options, dilation, (*(int(v) for v in rng.integers(1, 5, 2)), *spatial)


def max_pool(n, count=100):
    for rng, id in _draws(f"max_pool{n}d", count):
        options, dilation, x = _pool_parameters(rng, n, dilated=True)
        yield Case(id, (x,), options | {"dilation": dilation}, make=distinct)


def avg_pool(n, count=100):
    for rng, id in _draws(f"avg_pool{n}d", count):
        options, _, x = _pool_parameters(rng, n, dilated=False)
        options["count_include_pad"] = bool(rng.random() < 0.5)
        yield Case(id, (x,), options)


def softmax(count=100):
    for rng, id in _draws("softmax", count):
        shape = tuple(_size(rng, 33) for _ in range(int(rng.integers(1, 4))))
        yield Case(id, (shape,), {"dim": int(rng.integers(-len(shape), len(shape)))})


def layer_norm(count=100):
    for rng, id in _draws("layer_norm", count):
        shape = tuple(int(v) for v in (*rng.integers(1, 6, 2), *rng.integers(3, 40, 2)))
        last = int(rng.integers(1, 4))
        # The variance of a few values that happen to be close magnifies every rounding before it.
        few = np.prod(shape[-last:]) < 8
        yield trailing_case(
            id, shape, shape[-last:], affine=bool(rng.random() < 0.7), cancels=bool(few)
        )


def batch_norm(count=100):
    for rng, id in _draws("batch_norm", count):
        spatial = tuple(_size(rng, 9) for _ in range(int(rng.integers(0, 4))))
        shape = (int(rng.integers(3, 7)), _size(rng, 33), *spatial)
        training = bool(rng.random() < 0.6)
        # With few channels the largest gradient of a weight may itself be a sum that cancels.
        yield batch_case(
            id, shape, statistics=not training, training=training, cancels=shape[1] < 4
        )
