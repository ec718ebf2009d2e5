"""Scalars as the MessagePack packer takes them, and the errors for values that can't be sent."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import msgpack

from aioparcs.codec.types import Ext
from aioparcs.errors import EncodeError

__all__ = ["no_form", "scalar", "scalars"]

# What MessagePack has integers for.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
# Subclasses of these, NamedTuple and pandas.Timestamp among them, would silently lose what they add.
_WOULD_CHANGE = {dict: "dict(value)", list: "list(value)", tuple: "tuple(value)", datetime: "a plain datetime"}


def scalar(value: Any) -> Any:
    """Return None, a number or a text as the packer takes it; raise EncodeError for invalid Unicode."""
    kind = type(value)
    if kind is int and not _SMALLEST <= value <= _LARGEST:
        return msgpack.ExtType(Ext.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if kind is str:
        try:
            value.isascii() or value.encode()
        except UnicodeEncodeError as error:
            raise EncodeError("", f"invalid Unicode text: {error}") from None
    return value


def scalars(values: Sequence[Any]) -> list[Any]:
    """Return what `scalar` does for each; a call for each would take several times as long."""
    if str in map(type, values):
        _check_texts(values)
    smallest, largest = _SMALLEST, _LARGEST
    return [value if type(value) is not int or smallest <= value <= largest else scalar(value) for value in values]


def _check_texts(values: Sequence[Any]) -> None:
    """Raise EncodeError, with its place, for the first text that is invalid Unicode."""
    for i, value in enumerate(values):
        if type(value) is str and not value.isascii():
            try:
                scalar(value)
            except EncodeError as error:
                raise EncodeError(f"[{i}]", error.reason) from None


def no_form(value: Any) -> EncodeError:
    """Return the reason why a value cannot be sent, and what to send instead."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    for base, plain_value in _WOULD_CHANGE.items():
        if isinstance(value, base):
            what = f"{name} would arrive as a plain {base.__name__}"
            return EncodeError("", f"{what}; send {plain_value}, or register its type with aioparcs.register")
    if isinstance(value, Enum):
        advice = "register its class with aioparcs.register in both programs, or send its value"
        return EncodeError("", f"{name}.{value.name} cannot be sent; {advice}")
    advice = (
        "send its name, as text; to have a pool call it: pool.submit(..., function=f)"
        if inspect.isroutine(value)
        else "convert it first, or register its type with aioparcs.register"
    )
    return EncodeError("", f"{name} cannot be sent; {advice}")
