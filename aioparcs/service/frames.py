"""Errors of a service as its author reads them."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from aioparcs.errors import ParcsError

__all__ = ["own", "report"]

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


def report(error: BaseException) -> int:
    """Print what ended a program as Python would; returns the exit code that Python would give it."""
    if not isinstance(error, SystemExit):
        traceback.print_exception(own(error))
        return 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _is_internal(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)
