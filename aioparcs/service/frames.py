"""Tracebacks as the author of a service reads them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TypeVar

from aioparcs.errors import ParcsError

__all__ = ["own"]

_PACKAGE = str(Path(__file__).parents[1]) + "/"
_Error = TypeVar("_Error", bound=BaseException)


def own(error: _Error) -> _Error:
    """
    Take off the frames through which aioparcs called the author's code, and those that raised one of its own errors.

    Returns:
        The same exception.
    """
    first = error.__traceback__
    while first is not None and _is_internal(first):
        first = first.tb_next
    frame = last = first
    while frame is not None:
        last, frame = frame if not _is_internal(frame) else last, frame.tb_next
    if last is not None and isinstance(error, ParcsError):
        last.tb_next = None
    return error.with_traceback(first)


def _is_internal(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)
