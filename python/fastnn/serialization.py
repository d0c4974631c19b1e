"""save and load: safetensors for arrays, JSON for the rest; atomic; no file can run code.

A file is a plain safetensors file: any reader of that format sees its arrays. What is around them (nested dicts, lists,
numbers, strings) stands as JSON in the file's metadata, and so do CRC-32 sums of all that, checked by load.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from . import dtypes
from .ops._util import TensorBase, wrap

_KEY = "fastnn"
_SUMS = (
    "fastnn.crc32"  # {"": of the text under _KEY, name of a tensor: of its dtype, shape and bytes}
)
_FORMAT = 1
_BY_CODE = {
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "BOOL": dtypes.bool_,
    "U8": dtypes.uint8,
    "I8": dtypes.int8,
    "I16": dtypes.int16,
    "I32": dtypes.int32,
    "I64": dtypes.int64,
}
_CODES = {d.numpy: code for code, d in _BY_CODE.items()}


def _encode(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON for `value`; arrays go to `arrays` under their dotted path."""
    if isinstance(value, (TensorBase, np.ndarray)):
        a = value.detach().cpu()._data if isinstance(value, TensorBase) else value
        name = path or "tensor"
        while name in arrays:
            name += "_"
        arrays[name] = a
        return {"t": name} if isinstance(value, TensorBase) else {"a": name}
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, Mapping):
        items = []
        for k, v in value.items():
            if not isinstance(k, (str, int, float, bool)) and k is not None:
                raise TypeError(
                    f"save: a dict key at '{path or 'the top'}' is a {type(k).__name__}"
                )
            items.append([k, _encode(v, f"{path}.{k}" if path else str(k), arrays)])
        return {"d": items}
    if isinstance(value, (list, tuple)):
        kind = "l" if isinstance(value, list) else "u"
        return {
            kind: [
                _encode(v, f"{path}.{i}" if path else str(i), arrays) for i, v in enumerate(value)
            ]
        }
    if isinstance(value, dtypes.dtype):
        return {"dtype": value.name}
    raise TypeError(
        f"save: cannot store a {type(value).__name__} at '{path or 'the top'}'; expected tensors, arrays, "
        "numbers, strings, None, and dicts, lists and tuples of them (save module.state_dict(), not the "
        "module)"
    )


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, body),) = value.items()
    if kind == "t":
        return wrap(arrays[body])
    if kind == "a":
        return arrays[body]
    if kind == "d":
        return OrderedDict((k, _decode(v, arrays)) for k, v in body)
    if kind == "l":
        return [_decode(v, arrays) for v in body]
    if kind == "u":
        return tuple(_decode(v, arrays) for v in body)
    if kind == "dtype":
        return dtypes.as_dtype(body)
    raise ValueError(f"unknown entry '{kind}'")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Any:
    """A temporary path in the folder of `path`; on success it is synced and takes the place of `path`, else removed."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sum(dtype: str, shape: Any, data: Any) -> int:
    return zlib.crc32(data, zlib.crc32(f"{dtype} {list(shape)}".encode()))


def _sums(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    sums = {"": zlib.crc32(text.encode())}
    for name, a in arrays.items():
        sums[name] = _sum(_CODES[a.dtype], a.shape, a.reshape(-1).view(np.uint8))
    return json.dumps(sums)


def _check_sums(metadata: Mapping[str, str], entries: Any, path: str) -> None:
    """ValueError where the file is not what was saved. Files of older versions and others' have no sums."""
    if _SUMS not in metadata:
        return
    found = {"": zlib.crc32(metadata.get(_KEY, "").encode())}
    found |= {name: _sum(e["dtype"], e["shape"], e["data"]) for name, e in entries}
    try:
        saved = dict(json.loads(metadata[_SUMS]))
    except (ValueError, TypeError):
        saved = {}
    for name in [*found, *saved]:
        if found.get(name) != saved.get(name):
            what = f"tensor '{name}'" if name else "its structure"
            raise ValueError(f"load: {path} is damaged: {what} does not match its checksum")


def _in_order(blob: bytes) -> tuple[bytes, memoryview]:
    """The file in two parts, its metadata sorted: safetensors writes them in another order each time."""
    end = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the data stay aligned
    return len(text).to_bytes(8, "little") + text, memoryview(blob)[end:]


def save(obj: Any, f: str | os.PathLike) -> None:
    """Writes tensors, arrays, numbers, strings, and dicts, lists and tuples of them to a file.

    The file is complete or not there: a failed or interrupted save leaves an older file as it was. Raises TypeError for
    anything else, OSError when the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = _encode(obj, "", arrays)
    text = json.dumps({"format": _FORMAT, "data": structure})
    dense = {name: np.asarray(a, dtypes.of_array(a).numpy, order="C") for name, a in arrays.items()}
    # Written by us rather than by safetensors: after a kill its temporary files would pile up under random names.
    blob = safetensors.numpy.save(dense, {_KEY: text, _SUMS: _sums(text, dense)})
    with atomic_path(f) as temporary, open(temporary, "wb") as file:
        file.writelines(_in_order(blob))


def load(f: str | os.PathLike, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Reads what save() wrote; any other safetensors file as a dict of tensors.

    Raises FileNotFoundError, and ValueError for a file that is no (complete) safetensors file or was damaged.
    `weights_only` is always true: no file can run code.
    """
    from .ops import transfer

    place = transfer.parse(map_location)
    if not weights_only:
        raise ValueError("load: weights_only=False is not supported: fastnn's files hold no code")
    path = os.fspath(f)
    data = Path(path).read_bytes()
    try:
        entries = safetensors.deserialize(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as e:
        raise ValueError(f"load: {path} is not a complete safetensors file: {e}") from None
    metadata = header.get("__metadata__", {})
    _check_sums(metadata, entries, path)
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _BY_CODE:
            raise ValueError(
                f"load: {path}: tensor '{name}' has the unsupported dtype {entry['dtype']}"
            )
        d = _BY_CODE[entry["dtype"]].numpy
        array = np.frombuffer(bytearray(entry["data"]), d).reshape(entry["shape"])
        arrays[name] = transfer.move_array(array, place)
    text = metadata.get(_KEY)
    if text is None:
        return OrderedDict((name, wrap(a)) for name, a in arrays.items())
    try:
        return _decode(json.loads(text)["data"], arrays)
    except (KeyError, ValueError, TypeError) as e:
        raise ValueError(f"load: {path}: its structure is damaged: {e}") from None
