"""Conversions between every pair of dtypes, and copies between layouts."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from fastnn import _core

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(d) for d in ("f4", "f8", BF16, "f2", "?", "u1", "i1", "i2", "i4", "i8")]


@pytest.fixture(params=[v for v in _core.isa_levels() if v in ("baseline", "avx2", "avx512")])
def level(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def reference(a, dtype):
    """NumPy's cast; float64 reaches the 16-bit floats by way of float32, as in PyTorch."""
    if a.dtype == np.float64 and dtype in (BF16, np.float16):
        a = a.astype(np.float32)
    if dtype == BF16 and a.dtype.kind in "iub":
        a = a.astype(np.float32)
    if dtype == np.float16 and a.dtype.kind in "iub":
        a = a.astype(np.float32)
    if dtype.kind in "iu" and a.dtype not in (np.float32, np.float64) and a.dtype.kind not in "iub":
        a = a.astype(np.float32)
    if dtype.kind in "iu" and a.dtype.kind == "f":
        a = a.astype(np.int64)
    return a.astype(dtype)


@pytest.mark.parametrize(("source", "target"), [(s, t) for s in DTYPES for t in DTYPES], ids=str)
def test_every_pair(source, target, level):
    values = np.random.default_rng(5).standard_normal(2011) * 60
    values[:4] = 0.0, 1.0, -1.0, 100.5
    a = reference(values, source)
    with np.errstate(all="ignore"):
        expected = reference(a, target)
        for x in (a, np.repeat(a, 2)[::2], a[::-1][::-1]):
            got = _core.cast(x, target)
            assert got.dtype == target
            assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("target", [BF16, np.dtype("f2")])
def test_16_bit_floats_round_to_even_and_keep_what_is_special(target, level):
    bits = (np.arange(0, 1 << 32, 9973, dtype=np.uint64)).astype(np.uint32)
    a = bits.view(np.float32)
    with np.errstate(all="ignore"):
        expected = a.astype(target)
    got = _core.cast(a, target)
    nan = np.isnan(a)
    assert np.array_equal(got.view(np.uint16)[~nan], expected.view(np.uint16)[~nan])
    assert np.isnan(got[nan].astype(np.float32)).all()
    every = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(target)
    back = _core.cast(every, np.dtype("f4"))
    exact = every.astype(np.float32)
    nan = np.isnan(exact)
    assert np.array_equal(back.view(np.uint32)[~nan], exact.view(np.uint32)[~nan])
    assert np.isnan(back[nan]).all()


def test_floats_outside_the_integers(level):
    a = np.array([np.nan, np.inf, -np.inf, 1e30, 300.0, -1.0], np.float32)
    assert _core.cast(a, np.dtype("i8")).tolist() == [-(2**63)] * 4 + [300, -1]
    assert _core.cast(a, np.dtype("u1"))[4:].tolist() == [44, 255]
    assert _core.cast(a, np.dtype("?")).tolist() == [True] * 6


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 5), (64, 64), (70, 131), (5, 40, 30), (1, 300), (0, 4)])
def test_copies_between_layouts(dtype, shape, level):
    raw = np.random.default_rng(1).integers(0, 2, (*shape, dtype.itemsize), np.uint8)
    a = raw.view(dtype)[..., 0]
    for axes in itertools.permutations(range(len(shape))):
        view = a.transpose(axes)
        assert _core.contiguous(view).tobytes() == np.ascontiguousarray(view).tobytes()
        assert _core.copy(view).tobytes() == view.tobytes()
        back = np.zeros(shape, dtype)
        _core.copy_to(back.transpose(axes), np.ascontiguousarray(view))
        assert back.tobytes() == a.tobytes()
        reversed_view = view[::-1]
        assert _core.contiguous(reversed_view).tobytes() == reversed_view.tobytes()


def test_contiguous_is_no_copy_when_it_need_not_be():
    a = np.ones((3, 4), np.float32)
    assert _core.contiguous(a) is a
    assert _core.contiguous(a.T) is not a.T


def test_copy_to_converts_and_broadcasts(level):
    out = np.zeros((3, 70), BF16)
    _core.copy_to(out, np.arange(70.0))
    assert (out == np.arange(70).astype(BF16)).all()
    _core.copy_to(out[:, ::2], 2.5)
    assert (out[:, ::2] == 2.5).all() and out[0, 1] == 1
