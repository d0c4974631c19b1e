"""default_collate and default_convert."""

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

from fastnn._errors import ShapeError
from fastnn.utils.data import default_collate, default_convert

Point = namedtuple("Point", ["x", "y"])


def dtype_of(value):
    return np.asarray(value).dtype


@pytest.mark.parametrize(
    ("batch", "dtype"),
    [
        ([1, 2], np.int64),
        ([True, False], np.bool_),
        ([True, 2], np.int64),
        ([1.0, 2.0], np.float64),
        ([1.0, 2], np.float64),
        ([1, 2.5], np.float32),
        ([np.float32(1), np.float32(2)], np.float32),
        ([np.int8(1), np.int8(2)], np.int8),
        ([np.zeros(2, np.float16), np.ones(2, np.float16)], np.float16),
        ([np.uint8(3)], np.uint8),
    ],
)
def test_numbers_and_arrays(batch, dtype):
    result = default_collate(batch)
    assert dtype_of(result) == dtype
    np.testing.assert_array_equal(np.asarray(result), np.array([np.asarray(x) for x in batch]))


def test_containers():
    x = np.arange(3)
    nested = [({"a": x, "b": [1, 2.0]}, "s", b"t"), ({"a": x + 1, "b": [3, 4.0]}, "u", b"v")]
    pair, strings, raw = default_collate(nested)
    assert np.asarray(pair["a"]).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert [np.asarray(column).tolist() for column in pair["b"]] == [[1, 3], [2.0, 4.0]]
    assert list(strings) == ["s", "u"]
    assert list(raw) == [b"t", b"v"]
    assert isinstance(default_collate([(1, 2), (3, 4)]), list)
    point = default_collate([Point(1, x), Point(2, x)])
    assert isinstance(point, Point)
    assert np.asarray(point.x).tolist() == [1, 2]
    assert default_collate([np.str_("a"), np.str_("b")]) == ["a", "b"]


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, MappingProxyType])
def test_mappings_keep_their_kind(kind):
    result = default_collate([kind({"k": 1}), kind({"k": 2})])
    assert type(result) is kind
    assert np.asarray(result["k"]).tolist() == [1, 2]


def test_a_defaultdict_keeps_its_default():
    result = default_collate([defaultdict(list, k=1)] * 2)
    assert result.default_factory is list


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([], ValueError, "batch is empty"),
        ([object()], TypeError, "got object"),
        ([None], TypeError, "got NoneType"),
        ([{"a": (1, {2})}], TypeError, r"sample\['a'\]\[1\] must hold .* got set"),
        ([[1], [1, 2]], RuntimeError, "one length in a batch, got 1 at position 0 and 2"),
        ([[1], 1], RuntimeError, "got 1 at position 0 and int at position 1"),
        ([{"a": 1}, {"b": 1}], RuntimeError, r"keys \['a'\].*got \['b'\] at position 1"),
        ([{"a": 1}, 3], RuntimeError, "got int at position 1"),
        ([1, "a"], TypeError, "mixes numbers with other types"),
        ([1, None], TypeError, r"mixes numbers with other types: \['NoneType', 'int'\]"),
        ([1, 2**63], OverflowError, "too large"),
        ([np.array(["a"])], TypeError, "has dtype <U1"),
        ([np.array([None])], TypeError, "has dtype object"),
    ],
)
def test_errors(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


def test_ragged_arrays_are_named():
    batch = [{"x": np.zeros((2, 3))}, {"x": np.zeros((2, 3))}, {"x": np.zeros((2, 4))}]
    message = r"sample\['x'\].*\(2, 3\) at position 0 and \(2, 4\) at position 2; pad"
    with pytest.raises(ShapeError, match=message):
        default_collate(batch)
    with pytest.raises(TypeError, match="ndarray at position 0 and int at position 1"):
        default_collate([np.zeros(2), 3])


def test_convert():
    array = np.arange(3)
    result = default_convert({"a": array, "b": (array, "s"), "c": [np.float32(2), 5]})
    assert np.asarray(result["a"]).tolist() == [0, 1, 2]
    assert isinstance(result["b"], list)
    assert result["b"][1] == "s"
    assert dtype_of(result["c"][0]) == np.float32
    assert result["c"][1] == 5
    assert isinstance(default_convert(Point(array, 1)), Point)
    strings = np.array(["a"])
    assert default_convert(strings) is strings
    assert default_convert(7) == 7
