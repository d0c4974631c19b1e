"""Generators of random numbers, and the functions that fill arrays from them.

A generator is a seed and an offset into its stream. Every draw is a function of seed, offset and
element number (Philox4x32-10): it has the same bits for any thread count and memory layout. A
generator hands out parts of its stream; threads that share one never get the same part.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from . import _core

_MASK = (1 << 64) - 1
_FIRST_SEED = 67280421310721  # PyTorch's default seed


def _as_seed(seed: Any) -> int:
    """A whole number of 64 bits; negative ones count from the top, as in PyTorch."""
    try:
        value = int(seed)
    except (TypeError, ValueError):
        raise TypeError(f"manual_seed expected a whole number, got {seed!r}") from None
    if not -(1 << 63) <= value <= _MASK:
        raise RuntimeError(
            f"manual_seed: Overflow when unpacking long: {value} is not in [-2^63, 2^64 - 1]"
        )
    return value & _MASK


class Generator:
    """A stream of random numbers: ``Generator().manual_seed(0)``."""

    def __init__(self, device: Any = "cpu") -> None:
        if str(device) not in ("cpu", "cpu:0"):
            raise RuntimeError(f"Generator: device '{device}' is not available; use device='cpu'")
        self._lock = threading.Lock()
        self._seed = _FIRST_SEED
        self._offset = 0

    @property
    def device(self) -> Any:
        from ._device import device

        return device("cpu")

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed` from its beginning; returns the generator."""
        value = _as_seed(seed)
        with self._lock:
            self._seed, self._offset = value, 0
        return self

    def seed(self) -> int:
        """Seeds from the system's entropy; returns the seed."""
        value = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(value)
        return value

    def initial_seed(self) -> int:
        """The seed in use."""
        return self._seed

    def get_state(self) -> Any:
        """Seed and offset as a uint8 tensor of 16 elements."""
        with self._lock:
            pair = (self._seed, self._offset)
        return _core.wrap(np.array(pair, "<u8").view(np.uint8))

    def set_state(self, new_state: Any) -> None:
        """Goes back to where get_state() was called.

        Raises TypeError or RuntimeError for anything else.
        """
        data = getattr(new_state, "_data", None)
        if data is None or data.dtype != np.uint8:
            raise TypeError("set_state: expected a uint8 Tensor made by get_state()")
        if data.shape != (16,):
            raise RuntimeError(
                f"set_state: RNG state is wrong size: expected 16 bytes, got {list(data.shape)}"
            )
        seed, offset = np.ascontiguousarray(data).view("<u8")
        with self._lock:
            self._seed, self._offset = int(seed), int(offset)

    def clone_state(self) -> Generator:
        """Another generator at the same place of the same stream."""
        other = Generator()
        other.set_state(self.get_state())
        return other

    def reserve(self, blocks: int) -> tuple[int, int]:
        """(seed, offset) of a part of the stream that nobody else gets."""
        with self._lock:
            offset = self._offset
            self._offset = (offset + blocks) & _MASK
            return self._seed, offset

    def __reduce__(self) -> tuple:
        return _restore, (self._seed, self._offset)

    def __repr__(self) -> str:
        return f"<fastnn.Generator seed={self._seed} offset={self._offset}>"


def _restore(seed: int, offset: int) -> Generator:
    g = Generator()
    g._seed, g._offset = seed, offset
    return g


default_generator = Generator()


def _renew_lock() -> None:
    default_generator._lock = threading.Lock()


# Another thread may have held the lock when the process was forked.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator, from which all functions draw that are not given another one."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the system's entropy; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The default generator's state, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Puts the default generator back into a state from get_rng_state()."""
    default_generator.set_state(new_state)


class fork_rng:
    """Context manager: draws within it leave the default generator as it was."""

    def __init__(self, devices: Any = None, enabled: bool = True, **_: Any) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        self._state = get_rng_state() if self._enabled else None

    def __exit__(self, *exc: object) -> None:
        if self._state is not None:
            set_rng_state(self._state)


def reserve(kind: str, array: np.ndarray, generator: Any = None) -> tuple[int, int]:
    """(seed, offset) for filling `array` with draws of a kind ('uniform', 'normal', 'integers',
    'bernoulli')."""
    if generator is None:
        generator = default_generator
    elif not isinstance(generator, Generator):
        raise TypeError(f"generator must be a fastnn.Generator, got {type(generator).__name__}")
    return generator.reserve(_core.random_blocks(kind, array))


# ---- Arrays --------------------------------------------------------------------------------------


def fill_uniform(
    a: np.ndarray, low: float = 0.0, high: float = 1.0, generator: Any = None
) -> np.ndarray:
    """Numbers in [low, high), in place."""
    return _core.random_uniform_(a, *reserve("uniform", a, generator), low, high)


def fill_normal(
    a: np.ndarray, mean: float = 0.0, std: float = 1.0, generator: Any = None
) -> np.ndarray:
    """Normal numbers, in place."""
    return _core.random_normal_(a, *reserve("normal", a, generator), mean, std)


def fill_integers(a: np.ndarray, low: int, high: int, generator: Any = None) -> np.ndarray:
    """Whole numbers in [low, high), in place."""
    return _core.random_integers_(a, *reserve("integers", a, generator), low, (high - low) & _MASK)


def fill_bernoulli(a: np.ndarray, p: float, generator: Any = None) -> np.ndarray:
    """1 with probability `p`, else 0, in place."""
    return _core.random_bernoulli_(a, *reserve("bernoulli", a, generator), p)


def fill_bernoulli_of(a: np.ndarray, p: np.ndarray, generator: Any = None) -> np.ndarray:
    """1 with the probability that `p` has at the same place, else 0, in place."""
    return _core.random_bernoulli_of_(a, *reserve("bernoulli", a, generator), p)


def randperm(n: int, generator: Any = None) -> np.ndarray:
    """The int64 numbers 0 to n - 1 in random order."""
    if generator is None:
        generator = default_generator
    elif not isinstance(generator, Generator):
        raise TypeError(f"generator must be a fastnn.Generator, got {type(generator).__name__}")
    return _core.random_permutation(n, *generator.reserve((max(n, 0) + 1) // 2))
