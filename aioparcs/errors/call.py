"""Texts of calls and of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any

__all__ = ["call_text", "safe_repr"]

# An item as an error shows it: enough to recognize it, whatever its size.
_short = Repr()
_short.maxother = _short.maxstring = 60
_short.maxlevel = 2
_WIDE = 256  # bits
_PLAIN = 1 << 63


def call_text(index: int, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return what errors say of a call: the number of its item, or its function, and its arguments."""
    given = [safe_repr(arg) for arg in args]
    given += [f"{name}={safe_repr(value)}" for name, value in kwargs.items()]
    name = function.rpartition(":")[2]
    what = f"item {index}" if index >= 0 else f"call of {name}" if name else "call"
    return f"{what}: ({', '.join(given)})"


def safe_repr(value: Any) -> str:
    """Return a short text for an argument; its type and size if it has no repr, or a slow one."""
    if type(value) is int and -_PLAIN < value < _PLAIN:  # as most are
        return repr(value)
    try:
        if isinstance(value, int) and value.bit_length() > _WIDE:
            return f"<int of {value.bit_length()} bits>"
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{type(value).__name__} of {len(value)} bytes>"
        return _short.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
