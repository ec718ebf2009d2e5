"""Tracebacks of a service's errors as its author reads them."""

from __future__ import annotations

import asyncio
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from aioparcs.entry import pass_to_hook
from aioparcs.errors import ConnectionLost, ParcsError, own

__all__ = ["print_cancelled", "print_exit", "strip_internal_frames"]

_PACKAGE = str(Path(__file__).parents[1]) + "/"
_LOOPS = (str(Path(asyncio.__file__).parent) + "/", "uvloop/")
_Error = TypeVar("_Error", bound=BaseException)


def strip_internal_frames(error: _Error) -> _Error:
    """
    Remove the frames in which aioparcs called the author's code, and those that raised one of its own errors.

    A lost connection is shown without the system's own error: what its peer's end has caused is not the cause.

    None of the exception's own code is run: it may raise.

    Returns:
        The same exception.
    """
    first = own(error, "__traceback__")
    while first is not None and _is_internal(first):
        first = first.tb_next
    frame = last = first
    while frame is not None:
        last, frame = frame if not _is_internal(frame) else last, frame.tb_next
    if last is not None and issubclass(type(error), ParcsError):
        last.tb_next = None
    _cut_chains(error)
    BaseException.with_traceback(error, first)
    return error


def print_exit(error: BaseException) -> int:
    """Print what ended a program as Python would, by its hook if it has one; returns the exit code of Python."""
    if not isinstance(error, SystemExit):
        if not pass_to_hook(strip_internal_frames(error)):
            traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def print_cancelled(error: asyncio.CancelledError) -> int:
    """Print that a program has cancelled itself, and where; returns its exit code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_PACKAGE, *_LOOPS))
    ]
    print(
        "Traceback (most recent call last):", *map(str.rstrip, traceback.format_list(frames)), sep="\n", file=sys.stderr
    )
    print(
        "error: the service was cancelled by its own code, as by asyncio.current_task().cancel(), not by its runner; "
        "to end it, return from run()",
        file=sys.stderr,
    )
    return 1


def _cut_chains(error: BaseException) -> None:
    """Remove what led to lost connections, wherever in a chain or a group they are."""
    seen, left = set[int](), [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if issubclass(type(one), ConnectionLost):
            one.__cause__ = None  # which also has the context not printed
            continue
        left += [other for name in ("__cause__", "__context__") if (other := own(one, name)) is not None]
        left += own(one, "exceptions") if issubclass(type(one), BaseExceptionGroup) else ()


def _is_internal(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)
