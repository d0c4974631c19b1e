"""A progress bar where tqdm is installed and a person is watching, nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def byte_progress(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Give a function to call with each number of bytes done."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda count: None
        return
    with tqdm(total=total, desc=label, unit="B", unit_scale=True, disable=None) as bar:
        yield bar.update
