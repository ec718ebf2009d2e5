"""The numbers that users give: whole ones, sizes of memory, and time limits."""

from __future__ import annotations

import math
import operator
from typing import Any

from aioparcs.errors import SettingError
from aioparcs.settings import parse_size

__all__ = ["memory_size", "optional_time_limit", "time_limit", "whole_number"]

# More than any machine has, and less than what the kernel's and Docker's numbers can hold.
_MOST_MEMORY = 2**63 - 1


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """
    Return a user's number as an int; NumPy's integers are accepted too.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is too small, or too large.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: it must be a whole number, at least {least}") from None
    if number < least:
        raise ValueError(f"{name}={value!r}: it must be a whole number, at least {least}")
    if most is not None and number > most:
        raise ValueError(f"{name}={value!r}: it must be at most {most}")
    return number


def memory_size(name: str, value: Any) -> int:
    """
    Return a size of memory in bytes, which the user has given as a number or as text.

    Raises:
        SettingError: it is none.
    """
    try:
        size = parse_size(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError, OverflowError):
        size = 0
    if not 0 < size <= _MOST_MEMORY:
        raise SettingError(f"{name}={value!r} is not a size in bytes, such as 536870912 or '512m'")
    return size


def time_limit(timeout: Any) -> float:
    """
    Return a call's time limit in seconds.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not above 0, or infinite.
    """
    no_number = TypeError(f"timeout={timeout!r}: it must be a number of seconds")
    if isinstance(timeout, str | bytes):  # which float() would read
        raise no_number
    try:
        limit = float(timeout)
    except (TypeError, ValueError):
        raise no_number from None
    if not 0 < limit < math.inf:
        raise ValueError(f"timeout={timeout!r}: it must be a number of seconds above 0")
    return limit


def optional_time_limit(timeout: Any) -> float | None:
    """Return a time limit, None for none; see `time_limit`."""
    return None if timeout is None else time_limit(timeout)
