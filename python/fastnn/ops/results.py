"""Tuples with names, as PyTorch's ``torch.return_types``."""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any


@functools.cache
def named_result(op: str, *fields: str) -> Any:
    """A named tuple class that is made from one sequence and prints as fastnn.return_types.<op>(...)."""
    base = namedtuple(op, fields)  # type: ignore[misc]

    class Result(base):
        __slots__ = ()

        def __new__(cls, values: Any) -> Any:
            return base.__new__(cls, *values)

        def __repr__(self) -> str:
            body = ",\n".join(f"{f}={getattr(self, f)!r}" for f in fields)
            return f"fastnn.return_types.{op}(\n{body})"

        def __reduce__(self) -> Any:
            return named_result(op, *fields), (tuple(self),)

    Result.__name__ = Result.__qualname__ = op
    return Result
