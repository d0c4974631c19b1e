"""Putting samples together into a batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import fastnn
from fastnn._errors import ShapeError


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack the samples of a batch along a new first axis, as PyTorch's function of this name does.

    Tensors, arrays and NumPy scalars become one tensor; floats a float64 tensor, ints an int64
    tensor, bools a bool tensor; strings and bytes stay as they are. Mappings, named tuples, tuples
    and other sequences are collated entry by entry; a tuple becomes a list.

    Raises:
        ShapeError: arrays of one entry have different shapes.
        RuntimeError: sequences of one entry have different lengths, or mappings different keys.
        TypeError: samples of a type that is none of these.
        OverflowError: an int does not fit in int64.
        ValueError: the batch is empty.
    """
    if len(batch) == 0:
        raise ValueError("default_collate: the batch is empty")
    return _collate(batch, "sample")


def default_convert(data: Any) -> Any:
    """Turn NumPy arrays and scalars inside `data` into tensors, leaving all else as it is (but a
    tuple becomes a list, as in PyTorch)."""
    if isinstance(data, np.ndarray | np.generic):
        return data if data.dtype.kind in "SUO" else fastnn.from_numpy(np.asarray(data))
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [default_convert(value) for value in data])
    return data


def _collate(batch: Sequence[Any], where: str) -> Any:
    first = batch[0]
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(f"default_collate: {where} has dtype {first.dtype}: no tensor of it")
        _check_types(batch, np.ndarray, where)
        return _stack(batch, where)
    if isinstance(first, fastnn.Tensor):
        _check_types(batch, fastnn.Tensor, where)
        if any(tensor.requires_grad for tensor in batch):
            return fastnn.stack(batch)
        return _stack([tensor._data for tensor in batch], where)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, bool | int | float | np.generic):
        return fastnn.from_numpy(_numbers(batch, where))
    if isinstance(first, Mapping):
        return _collate_mappings(batch, where)
    if isinstance(first, Sequence):
        return _collate_sequences(batch, where)
    raise TypeError(
        f"default_collate: {where} must hold tensors, arrays, numbers, strings, mappings or "
        f"sequences, got {type(first).__name__}; pass collate_fn to handle it"
    )


def _check_types(batch: Sequence[Any], kind: type, where: str) -> None:
    if all(issubclass(each, kind) for each in set(map(type, batch))):
        return
    position = next(i for i, item in enumerate(batch) if not isinstance(item, kind))
    raise TypeError(
        f"default_collate: {where} must have one type in a batch, got {kind.__name__} at position "
        f"0 and {type(batch[position]).__name__} at position {position}"
    )


def _stack(arrays: Sequence[np.ndarray], where: str) -> Any:
    shape, dtype = arrays[0].shape, arrays[0].dtype
    if len({array.shape for array in arrays}) > 1:
        position = next(i for i, array in enumerate(arrays) if array.shape != shape)
        raise ShapeError(
            f"default_collate: {where} must have one shape in a batch, got {shape} at position 0 "
            f"and {arrays[position].shape} at position {position}; pad or crop the samples, or "
            "pass collate_fn"
        )
    if any(array.dtype != dtype for array in arrays):  # tensors have promotion rules of their own
        return fastnn.stack([fastnn.from_numpy(array) for array in arrays])
    # Three times as fast as numpy.stack, which makes a view of each array first.
    joined = np.concatenate(arrays) if shape else np.array(arrays)
    return fastnn.from_numpy(joined.reshape(len(arrays), *shape))


def _numbers(batch: Sequence[Any], where: str) -> np.ndarray:
    kinds = set(map(type, batch))
    if all(issubclass(kind, int) and kind is not bool for kind in kinds):
        return np.array(batch, np.int64)  # raises OverflowError
    array = np.array(batch)
    if array.ndim != 1 or array.dtype.kind not in "biufc":
        names = sorted(kind.__name__ for kind in kinds)
        raise TypeError(f"default_collate: {where} mixes numbers with other types: {names}")
    if isinstance(batch[0], np.generic):
        return array
    if isinstance(batch[0], float):
        return array.astype(np.float64)
    if array.dtype.kind == "f":  # ints first, then floats: the default type, as in PyTorch
        return array.astype(np.float32)
    return array


def _collate_mappings(batch: Sequence[Mapping], where: str) -> Any:
    keys = batch[0].keys()
    for position, item in enumerate(batch):
        if not isinstance(item, Mapping) or not keys <= item.keys():
            got = list(item) if isinstance(item, Mapping) else type(item).__name__
            raise RuntimeError(
                f"default_collate: {where} must have the keys {list(keys)} throughout a batch, got "
                f"{got} at position {position}"
            )
    columns = {key: _collate([item[key] for item in batch], f"{where}[{key!r}]") for key in keys}
    return _like_mapping(batch[0], columns)


def _collate_sequences(batch: Sequence[Sequence], where: str) -> Any:
    first = batch[0]
    for position, item in enumerate(batch):
        if not isinstance(item, Sequence) or len(item) != len(first):
            got = f"{len(item)}" if isinstance(item, Sequence) else type(item).__name__
            raise RuntimeError(
                f"default_collate: {where} must have one length in a batch, got {len(first)} at "
                f"position 0 and {got} at position {position}"
            )
    columns = [
        _collate(column, f"{where}[{entry}]")
        for entry, column in enumerate(zip(*batch, strict=True))
    ]
    if isinstance(first, tuple):
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    return _like_sequence(first, columns)


def _like_mapping(model: Mapping, entries: dict) -> Any:
    """`entries` as a mapping of the kind of `model`, or a dict if that kind cannot be made."""
    try:
        if isinstance(model, MutableMapping):
            result = copy.copy(model)  # keeps what a constructor would not, such as a default
            result.update(entries)
            return result
        return type(model)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _like_sequence(model: Sequence, entries: list) -> Any:
    try:
        if isinstance(model, MutableSequence):
            result = copy.copy(model)
            for position, entry in enumerate(entries):
                result[position] = entry
            return result
        return type(model)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries
