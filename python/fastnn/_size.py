"""Shapes as PyTorch has them."""

from __future__ import annotations


class Size(tuple):
    """A shape: a tuple of ints that prints as PyTorch's."""

    __slots__ = ()

    def numel(self) -> int:
        """The product of the sizes."""
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"fastnn.Size({list(self)})"
