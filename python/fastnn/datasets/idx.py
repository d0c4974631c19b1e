"""The IDX file format of the original MNIST distribution."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_BLOCK = 1 << 24


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an array from an IDX file; a file that starts with the gzip mark is unpacked.

    Returns: an array of the file's shape and element type, in native byte order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the header is not one of an IDX file, the data are shorter or longer than the
            header says, or the gzip stream is damaged.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return _parse(file, path)
        try:
            with gzip.open(file, "rb") as unpacked:
                return _parse(unpacked, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file ({error})") from error


def find_idx(folder: Path, *stems: str) -> list[Path]:
    """Find one file for each stem (such as "train-images-idx3-ubyte"), plain or .gz, in `folder`.

    The other usual spelling ("train-images.idx3-ubyte") and torchvision's sub-folder "raw" count
    as well.

    Raises:
        FileNotFoundError: a file is missing; the text lists what was looked for.
    """
    return [_find(folder, stem) for stem in stems]


def _find(folder: Path, stem: str) -> Path:
    for place in (folder, folder / "raw"):
        for name in (stem, stem.replace("-idx", ".idx")):
            for suffix in ("", ".gz"):
                if (path := place / (name + suffix)).is_file():
                    return path
    raise FileNotFoundError(
        f"no file {stem} or {stem}.gz in {folder} (nor in its sub-folder raw): "
        "give the folder that holds the IDX files"
    )


def _parse(file: IO[bytes] | gzip.GzipFile, path: str | os.PathLike[str]) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _DTYPES:
        raise ValueError(
            f"{path}: not an IDX file: its first four bytes are {head.hex(' ') or 'missing'}, "
            "expected 00 00, an element type and the number of dimensions"
        )
    dtype, ndim = np.dtype(_DTYPES[head[2]]), head[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"{path}: ends inside its header of {ndim} dimensions")
    shape = struct.unpack(f">{ndim}I", sizes)
    expected = math.prod(shape) * dtype.itemsize
    # The header is not trusted with an allocation: blocks are read as far as there are data.
    blocks = []
    size = 0
    while block := file.read(min(_BLOCK, expected + 1 - size)):
        blocks.append(block)
        size += len(block)
    if size != expected:
        amount = "more" if size > expected else f"{size}"
        raise ValueError(
            f"{path}: header says shape {shape} of {dtype.name}, {expected} bytes, "
            f"but the file has {amount}"
        )
    array = np.frombuffer(b"".join(blocks), dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
