"""The messages that every measured program sends, and the answers of their receivers."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT = "a small message"
REAL = 0.1
BULK = 64 << 20  # bytes of one large message
LARGEST = 256 << 20  # bytes of the one message whose receiver's memory is measured
_FIRST, _LAST = 1.25, -2.5  # the ends of every large message

Array = NDArray[np.float64]


def small(number: int) -> list[Any]:
    """Return a small message."""
    return [number, TEXT, REAL]


def small_answer(count: int, check: bool) -> Any:
    """Return the answer to ``count`` small messages: the sum of their numbers, or all of them to check."""
    return [small(number) for number in range(count)] if check else sum(range(count))


def large(size: int) -> Array:
    """Return a large message of ``size`` bytes, random but always the same."""
    array = np.random.default_rng(2026).random(size // 8)
    array[0], array[-1] = _FIRST, _LAST
    return array


def large_answer(message: bytes | Array, check: bool) -> str:
    """Sum up one large message: its size and its ends, or the hash of all its bytes to check."""
    array = message if isinstance(message, np.ndarray) else np.frombuffer(message)
    if check:
        return hashlib.blake2b(array.data).hexdigest()
    return f"{array.size} {array[0]} {array[-1]}"
