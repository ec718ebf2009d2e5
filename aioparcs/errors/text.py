"""Texts of exceptions and other values whose own code may raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["describe", "repr_of", "text_of"]

# Characters of a representation that are shown.
_LONGEST = 1000


def text_of(value: Any) -> str:
    """Return ``str(value)``, or what it raised; a plain text in either case, not one of a class that extends it."""
    return _result(str, value)


def repr_of(value: Any) -> str:
    """Return ``repr(value)``, or what it raised, shortened if it is long."""
    text = _result(repr, value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def describe(error: BaseException) -> str:
    """Return an exception's class and text, as in the last line of its traceback."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _result(function: Callable[[Any], str], value: Any) -> str:
    try:
        return str.__str__(function(value))
    except BaseException as failure:
        return f"{function.__name__}() of it raised {type(failure).__name__}"
