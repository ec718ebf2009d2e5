"""The choice of a display: a live one on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aioparcs.display.console import is_progress_wanted
from aioparcs.display.events import Detail
from aioparcs.display.guard import guarded
from aioparcs.display.plain import PlainDisplay
from aioparcs.engine import Observer, observer

__all__ = ["auto_display", "flush", "open_display"]


@contextmanager
def open_display(detail: Detail) -> Iterator[Observer]:
    """Provide the display that fits stderr, and close it however the block ends."""
    if detail is not Detail.QUIET and _is_terminal():
        # rich takes longer to load than all the rest: it is loaded only for a terminal.
        from aioparcs.display.live import live_display

        with live_display(detail) as display:
            if display:
                yield display
                return
    plain = PlainDisplay(detail)
    try:
        yield plain
    finally:
        guarded(plain.close)


def flush() -> None:
    """Print at once the lines that a plain display would print in a moment."""
    display = observer.get()
    if isinstance(display, PlainDisplay):
        guarded(display.flush)


@contextmanager
def auto_display() -> Iterator[None]:
    """
    Show the jobs of the block live on a terminal, unless the program has an observer already.

    Elsewhere a runner prints its few lines itself, see `Console`.

    Raises:
        SettingError: ``PARCS_PROGRESS`` has an impossible value.
    """
    if observer.get() or not is_progress_wanted() or not _is_terminal():
        yield
        return
    from aioparcs.display.live import live_display

    with live_display(Detail.NORMAL) as display:
        token = observer.set(display)
        try:
            yield
        finally:
            observer.reset(token)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False
