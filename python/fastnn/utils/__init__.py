"""Utilities around training: see :mod:`fastnn.utils.data`."""

from fastnn.utils import data

__all__ = ["data"]
