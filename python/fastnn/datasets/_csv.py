"""Reading comma-separated small numbers fast."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import IO

import numpy as np


def read_uint8_csv(
    file: IO[bytes] | gzip.GzipFile,
    columns: int,
    *,
    header: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Read a table of whole numbers 0 … 255, separated by commas and line ends.

    Whole blocks of text are turned into numbers at once, about 20 times faster than
    ``numpy.loadtxt``. `progress` is called with the bytes read since the last call.

    Returns: uint8 array (rows, `columns`).

    Raises:
        ValueError: the number of values is not a multiple of `columns`.
    """
    if header:
        progress(len(file.readline()))
    parts = []
    rest = b""
    while block := file.read(1 << 20):
        progress(len(block))
        text, newline, tail = block.rpartition(b"\n")
        if newline:
            parts.append(_numbers(rest + text))
            rest = tail
        else:
            rest += tail
    parts.append(_numbers(rest))
    values = np.concatenate(parts)
    if values.size % columns:
        raise ValueError(f"table has {values.size} values, expected a multiple of {columns}")
    return values.reshape(-1, columns)


def _numbers(text: bytes) -> np.ndarray:
    """The decimal numbers of `text`, each of at most three digits and at most 255."""
    # Two separators in front, so that every digit has two characters before it; one at the end.
    digit = np.frombuffer(b",," + text + b",", np.uint8) - np.uint8(ord("0"))
    is_digit = digit < 10
    digit *= is_digit
    hundreds = digit[:-3] * is_digit[1:-2]
    value = digit[2:-1] + np.uint8(10) * digit[1:-2] + np.uint8(100) * hundreds
    is_last = is_digit[2:-1] & ~is_digit[3:]
    return value[is_last]
