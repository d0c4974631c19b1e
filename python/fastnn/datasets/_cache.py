"""The cache of parsed datasets: one uncompressed .npz file per dataset."""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def cache_dir() -> Path:
    """The folder for cached data: ``$FASTNN_HOME``, else ``$XDG_CACHE_HOME/fastnn``, else
    ``~/.cache/fastnn``. It is not created here.

    Raises:
        RuntimeError: none of these is known.
    """
    if home := os.environ.get("FASTNN_HOME"):
        return Path(home).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fastnn"
    try:
        return Path("~/.cache/fastnn").expanduser()
    except RuntimeError as error:
        raise RuntimeError("no home directory for cached data: set FASTNN_HOME") from error


def cached_arrays(name: str, keys: Sequence[str], build: Callable[[], Arrays]) -> Arrays:
    """Return the arrays `keys` of the cached dataset `name`, calling `build` when it is not there.

    A damaged file (the zip format carries checksums) counts as not there. When the folder cannot be
    written, the data are used all the same and a warning says why the next call will be slow.
    """
    path = cache_dir() / "datasets" / f"{name}.npz"
    arrays = _load(path, keys)
    if arrays is not None:
        return arrays
    built = build()
    try:
        _save(path, built)
    except OSError as error:
        warnings.warn(
            f"cannot cache dataset {name} in {path.parent} ({error.strerror or error}): it will be "
            "fetched again next time; set FASTNN_HOME to a folder that can be written",
            stacklevel=4,
        )
    return {key: built[key] for key in keys}


def _load(path: Path, keys: Sequence[str]) -> Arrays | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in keys}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _save(path: Path, arrays: Arrays) -> None:
    """Write beside the target, then rename: a reader or a second writer never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
