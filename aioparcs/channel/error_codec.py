"""Exceptions as maps on the wire, {type, message, traceback, cause, builtin}, and back."""

from __future__ import annotations

import traceback
from typing import Any

from aioparcs.errors import RemoteError

__all__ = ["decode_error", "decode_error_or_default", "encode_error"]

# Characters of a traceback that travel; the end is the part that says what happened.
_LONGEST = 64 << 10
# Causes of causes that travel; a cycle of them ends here too.
_CAUSES = 16


def encode_error(error: BaseException, *, causes: int = _CAUSES) -> dict[str, Any]:
    """Return the map that describes an exception to the peer; it can be encoded whatever the exception's class does."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    # A traceback shows its causes already.
    text = "" if causes < _CAUSES else "".join(traceback.format_exception(error))
    return {
        "type": _clean(error.type if isinstance(error, RemoteError) else name),
        "message": _clean(error.message if isinstance(error, RemoteError) else _text(error)),
        "traceback": _clean(text),
        "cause": encode_error(error.__cause__, causes=causes - 1) if error.__cause__ and causes else None,
        "builtin": next(cls.__name__ for cls in kind.__mro__ if cls.__module__ == "builtins"),
    }


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:
        return f"str() of it raised {type(failure).__name__}"


def _clean(text: str) -> str:
    """Shorten a text, and replace invalid Unicode, such as odd bytes of a file's name."""
    return text[-_LONGEST:].encode(errors="backslashreplace").decode()


def decode_error(values: Any) -> RemoteError:
    """Return the `RemoteError` of what should be an error map."""
    try:
        return decode_error_or_default(values)
    except Exception:  # the peer may have sent any value, and text can't be made of each
        return RemoteError.make("Exception", "the peer's program failed, and its error can't be read")


def decode_error_or_default(values: Any) -> RemoteError:
    """Return the `RemoteError` of an error map."""
    cause = values.get("cause")
    return RemoteError.make(
        str(values["type"]),
        str(values["message"]),
        str(values.get("traceback") or ""),
        decode_error_or_default(cause) if cause else None,
        builtin=str(values.get("builtin") or ""),
    )
