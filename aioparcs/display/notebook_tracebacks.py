"""Tracebacks of a notebook's cells without the frames of this package and of the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from aioparcs.launcher.process.stacks import is_own_file

__all__ = ["hide_internal_frames"]


def hide_internal_frames(shell: Any) -> None:
    """
    Show the exceptions of a notebook's cells without internal frames, unless its user has a handler of their own.

    The exceptions keep these frames, so ``%debug`` finds them.

    Args:
        shell: IPython's shell.
    """
    if not shell.custom_exceptions:
        shell.set_custom_exc((Exception,), _show)


def _show(shell: Any, _kind: type[BaseException], error: BaseException, *_: object, **__: object) -> None:
    """Show the exception that IPython is handling, as it does by itself."""
    with _without_internal_frames(error):
        shell.showtraceback(running_compiled_code=True)


@contextmanager
def _without_internal_frames(error: BaseException) -> Iterator[None]:
    """Remove internal frames from an exception, and from those that led to it, while the block runs."""
    whole = [(one, one.__traceback__, list(_frames(one.__traceback__))) for one in _chain(error)]
    try:
        for one, _, frames in whole:
            one.__traceback__ = _linked(
                [frame for frame in frames if not is_own_file(frame.tb_frame.f_code.co_filename)]
            )
        yield
    finally:
        for one, first, frames in whole:
            _linked(frames)
            one.__traceback__ = first


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception, its causes and contexts, and the members of groups."""
    found: dict[int, BaseException] = {}
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            left += [one.__cause__, one.__context__]
            left += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return list(found.values())


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _linked(frames: list[TracebackType]) -> TracebackType | None:
    """Link frames one after the other, and return the first one."""
    for frame, following in zip(frames, [*frames[1:], None], strict=True):
        frame.tb_next = following
    return frames[0] if frames else None
