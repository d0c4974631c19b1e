"""The generator and its kernels, below the Tensor functions."""

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core
from tests.backends import isa, num_threads
from tests.harness import check_raises
from tests.layouts import LAYOUTS, place
from tests.reference.philox import normals, pairs, philox, words

SEED, OFFSET = 0x123456789ABCDEF0, 0xFFFFFFF0  # the counter's low word wraps within the first block


def test_reference_gives_the_published_vectors():
    ones = 0xFFFFFFFF
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([ones] * 4, [ones] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi_counter = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    pi_key = [0xA4093822, 0x299F31D0]
    assert philox(pi_counter, pi_key) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize("level", _core.isa_levels())
def test_words_become_numbers_as_stated(level):
    w, w64 = words(SEED, OFFSET, 160), pairs(SEED, OFFSET, 160)
    with isa(level):
        for dtype, bits in (("f4", 24), ("f2", 11), (ml_dtypes.bfloat16, 8)):
            got = np.empty(159, dtype)
            _core.random_uniform_(got, SEED, OFFSET, 0.0, 1.0)
            want = np.array([x >> (32 - bits) for x in w[:159]]) * 2.0**-bits
            np.testing.assert_array_equal(got.astype(np.float64), want)
        got = np.empty(157)
        _core.random_uniform_(got, SEED, OFFSET, 0.0, 1.0)
        np.testing.assert_array_equal(got, np.array([x >> 11 for x in w64[:157]]) * 2.0**-53)
        got = np.empty(157, np.int64)
        _core.random_integers_(got, SEED, OFFSET, -5, 1000)
        assert got.tolist() == [-5 + (1000 * x >> 64) for x in w64[:157]]
        got = np.empty(159, bool)
        _core.random_bernoulli_(got, SEED, OFFSET, 0.3)
        assert got.tolist() == [x < 0.3 * 2**32 for x in w[:159]]
        got = np.empty(157, np.float32)
        _core.random_normal_(got, SEED, OFFSET, 0.0, 1.0)
        # The radius comes from u rounded to float32.
        np.testing.assert_allclose(got, normals(w, 32)[:157], rtol=3e-6, atol=1e-7)
        got = np.empty(157)
        _core.random_normal_(got, SEED, OFFSET, 2.0, 3.0)
        want = normals([x >> 11 for x in w64], 53)[:157]
        np.testing.assert_allclose(got, 2 + 3 * want, rtol=1e-13, atol=1e-14)


def draw(kind, out):
    {
        "uniform": lambda: _core.random_uniform_(out, 3, 5, -1.0, 2.0),
        "normal": lambda: _core.random_normal_(out, 3, 5, 0.5, 2.0),
        "integers": lambda: _core.random_integers_(out, 3, 5, 10, 100),
        "bernoulli": lambda: _core.random_bernoulli_(out, 3, 5, 0.4),
    }[kind]()
    return np.ascontiguousarray(out).tobytes()


@pytest.mark.parametrize("kind", ["uniform", "normal", "integers", "bernoulli"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bits_depend_on_nothing_but_seed_offset_and_number(kind, dtype):
    shape = (37, 3, 401)
    want = draw(kind, np.empty(shape, dtype))
    for layout in LAYOUTS:
        view = place(np.zeros(shape, dtype), layout, 0).view
        if view.flags.writeable:
            assert draw(kind, view) == want, layout
    for count in (1, 2, 3):
        with num_threads(count):
            assert draw(kind, np.empty(shape, dtype)) == want
    part = draw(kind, np.empty(1001, dtype))
    assert want.startswith(part)


@pytest.mark.parametrize("kind", ["uniform", "normal", "integers", "bernoulli"])
def test_bits_are_the_same_at_every_instruction_set_level(kind):
    results = set()
    for level in _core.isa_levels():
        with isa(level):
            results.add(draw(kind, np.empty(5001, np.float32)))
    assert len(results) == 1


def test_distributions():
    n = 1_000_000
    u, z = np.empty(n, np.float32), np.empty(n, np.float32)
    _core.random_uniform_(u, 11, 0, 0.0, 1.0)
    _core.random_normal_(z, 12, 0, 0.0, 1.0)
    # Five standard errors each.
    assert abs(u.mean(dtype=np.float64) - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert u.min() >= 0 and u.max() < 1
    counts = np.histogram(u, 256, (0, 1))[0]
    assert ((counts - n / 256) ** 2 / (n / 256)).sum() < 255 + 5 * np.sqrt(2 * 255)
    assert abs(z.mean(dtype=np.float64)) < 5 / np.sqrt(n)
    assert abs(z.var(dtype=np.float64) - 1) < 5 * np.sqrt(2 / n)
    assert abs((z.astype(np.float64) ** 4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 5 / np.sqrt(n / 2)
    dice = np.empty(n, np.int64)
    _core.random_integers_(dice, 13, 0, 0, 6)
    faces = np.bincount(dice, minlength=6)
    assert ((faces - n / 6) ** 2 / (n / 6)).sum() < 5 + 5 * np.sqrt(10)


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 70_000])
def test_permutation(n):
    p = _core.random_permutation(n, 3, 5)
    np.testing.assert_array_equal(np.sort(p), np.arange(n))
    keys = np.array([k >> 20 for k in pairs(3, 5, n)]) if n <= 1000 else None
    if keys is not None:
        np.testing.assert_array_equal(p, np.argsort(keys, kind="stable"))
    assert n < 1000 or (p != _core.random_permutation(n, 4, 5)).any()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ml_dtypes.bfloat16])
def test_dropout(dtype):
    x = np.random.default_rng(0).standard_normal((30, 7, 401)).astype(dtype)
    wide = x.astype(np.float64)
    kept = np.array(words(7, 9, x.size)).reshape(x.shape) < 0.7 * 2**32
    y = _core.dropout(x, 0.3, 7, 9)
    scale = np.float64(1 / 0.7) if dtype == "f8" else np.float64(np.float32(1 / 0.7))
    bar = {"f8": 1e-15, "f4": 1e-7, "f2": 1e-3}.get(dtype, 8e-3)
    np.testing.assert_allclose(y.astype(np.float64), np.where(kept, wide * scale, 0), rtol=bar)
    last = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    z = _core.dropout(last, 0.3, 7, 9)
    assert z.strides == last.strides
    np.testing.assert_array_equal(z, y)


def test_dropout_of_nothing_and_of_everything():
    x = np.array([1.0, -2.0, np.inf, np.nan])
    np.testing.assert_array_equal(_core.dropout(x, 0.0, 1, 2), x)
    np.testing.assert_array_equal(_core.dropout(x, 1.0, 1, 2), [0, 0, np.nan, np.nan])


def test_bernoulli_takes_probabilities():
    p = np.array([0.0, 1.0, 0.5, 1e-9] * 50)
    out = np.empty(200, np.float32)
    _core.random_bernoulli_of_(out, 3, 4, p)
    want = [(w >> 8) * 2.0**-24 < q for w, q in zip(words(3, 4, 200), p, strict=True)]
    np.testing.assert_array_equal(out, want)
    assert not out[0::4].any() and out[1::4].all()


def test_bad_arguments():
    x = np.zeros(4)
    check_raises(
        lambda: _core.dropout(x, 1.5, 0, 0), ValueError, "dropout", "between 0 and 1", "1.5"
    )
    check_raises(lambda: _core.dropout(x, np.nan, 0, 0), ValueError, "between 0 and 1")
    check_raises(lambda: _core.dropout(x > 0, 0.5, 0, 0), TypeError, "bool")
    check_raises(
        lambda: _core.random_bernoulli_of_(x, 0, 0, np.array([0, 1, 2.0, 0])), ValueError,
        "2", "flat index 2", unchanged=(x,),
    )  # fmt: skip
    check_raises(lambda: _core.random_bernoulli_(x, 0, 0, -0.1), ValueError, "-0.1", unchanged=(x,))
    check_raises(lambda: _core.random_normal_(x.astype(int), 0, 0, 0.0, 1.0), TypeError, "int64")
    check_raises(lambda: _core.random_permutation(-1, 0, 0), ValueError, "non-negative", "-1")
