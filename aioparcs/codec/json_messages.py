"""Messages of version 1: what JSON can hold."""

from __future__ import annotations

from types import NoneType
from typing import Any

from aioparcs.codec.types import MAX_DEPTH
from aioparcs.errors import DecodeError, EncodeError, describe, repr_of

__all__ = ["decode_json", "encode_json"]


def encode_json(value: Any) -> bytes:
    """
    Return the body of a JSON frame.

    Raises:
        EncodeError: JSON can't hold the value; it names the place.
    """
    import json  # only the original PARCS speaks it

    try:
        return json.dumps(value).encode()
    except Exception as error:  # also one of a value's own code
        place, what = _place_of_no_json(value, error)
        raise EncodeError(place, f"{what} cannot be sent as JSON, and this channel speaks version 1") from error


def decode_json(body: Any) -> Any:
    """
    Return the value of a JSON frame.

    Raises:
        DecodeError: the body is not JSON.
    """
    import json

    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"a message that is not JSON: {error}") from error


def _place_of_no_json(value: Any, error: Exception) -> tuple[str, str]:
    try:
        return _find_no_json(value, "$", 0)
    except Exception:
        return "$", f"a value that raises {describe(error)}"


def _find_no_json(value: Any, place: str, depth: int) -> tuple[str, str]:
    """Return the first place that JSON can't hold, and what is there; "" if there is none."""
    if depth > MAX_DEPTH:
        return place, "a value nested this deep"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str | int | float | NoneType):
                return place, f"the key {repr_of(key)}"
            place_inner, what = _find_no_json(inner, f"{place}.{key}", depth + 1)
            if what:
                return place_inner, what
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            place_inner, what = _find_no_json(inner, f"{place}[{i}]", depth + 1)
            if what:
                return place_inner, what
    elif not isinstance(value, str | int | float | NoneType):
        return place, type(value).__qualname__
    return (place, "") if depth else ("$", type(value).__qualname__)
