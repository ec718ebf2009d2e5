"""Exceptions as maps on the wire, {type, message, traceback, cause, builtin}, and back."""

from __future__ import annotations

import traceback
from typing import Any

from aioparcs.errors import RemoteError

__all__ = ["error_map", "error_of"]

# Characters of a traceback that travel; the end is the part that says what happened.
_LONGEST = 64 << 10


def error_map(error: BaseException, *, is_cause: bool = False) -> dict[str, Any]:
    """Describe an exception to the peer."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    # A traceback tells its causes already.
    text = "" if is_cause else "".join(traceback.format_exception(error))[-_LONGEST:]
    return {
        "type": error.type if isinstance(error, RemoteError) else name,
        "message": error.message if isinstance(error, RemoteError) else str(error)[-_LONGEST:],
        "traceback": text,
        "cause": error_map(error.__cause__, is_cause=True) if error.__cause__ else None,
        "builtin": next(cls.__name__ for cls in kind.__mro__ if cls.__module__ == "builtins"),
    }


def error_of(values: Any) -> RemoteError:
    """Make the `RemoteError` of an error map."""
    cause = values.get("cause")
    return RemoteError.make(
        str(values["type"]),
        str(values["message"]),
        str(values.get("traceback") or ""),
        error_of(cause) if cause else None,
        builtin=str(values.get("builtin") or ""),
    )
