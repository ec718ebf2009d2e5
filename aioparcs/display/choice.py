"""The choice of a display: a live one on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from aioparcs.display.console import Console
from aioparcs.display.detail import Clock, Detail
from aioparcs.display.history import history, is_history_kept, is_page_wanted
from aioparcs.errors import SettingError
from aioparcs.events import EventBus, Subscriber, guarded, program_events

if TYPE_CHECKING:
    from aioparcs.display.live import LiveDisplay
    from aioparcs.events.log import EventLog

__all__ = ["auto_display", "default_display", "keep", "live_on_terminal", "open_display"]


@contextmanager
def open_display(
    detail: Detail, log: EventLog | None = None, record: str = "", program: str = ""
) -> Iterator[EventBus]:
    """
    Show the runs of the block by the display that fits stderr: provide its bus, which is the program's there.

    Args:
        detail: how much is shown.
        log: gets the progress, for a display elsewhere, which keeps the history too.
        record: the file that all events are recorded in, "" for none.
        program: what recordings call the program; "" if no program runs in the block.

    Raises:
        SettingError: that file can't be written, or a variable has an impossible value.
    """
    has_history = bool(program) and log is None
    events = EventBus()
    with keep(events, program) if has_history else nullcontext(), _displayed(events, detail, log):
        with _recorded(events, record, program), _shown(events):
            yield events


@contextmanager
def auto_display() -> Iterator[None]:
    """
    Show the jobs of the block live on a terminal, and record them, unless the program has a display already.

    Elsewhere they have the few lines of `default_display`.

    Raises:
        SettingError: a variable has an impossible value, or the file of ``PARCS_RECORD`` can't be written.
    """
    if program_events.get():
        yield
        return
    detail = Detail.NORMAL if _is_progress_wanted() else Detail.QUIET
    record = os.environ.pop("PARCS_RECORD", "")  # not for child processes, which would write the same file
    events = EventBus()
    with keep(events), live_on_terminal(detail) as display:
        events.subscribe(display or default_display())
        with _recorded(events, record), _shown(events):
            yield


@contextmanager
def live_on_terminal(detail: Detail, clock: Clock | None = None) -> Iterator[LiveDisplay | None]:
    """Provide a live display if stderr is a terminal that can draw one, unless little is to be shown; else None."""
    if detail is Detail.QUIET or not _is_terminal():
        yield None
        return
    # rich takes longer to load than all the rest: it is loaded only for a terminal.
    from aioparcs.display.live import live_display

    with live_display(detail, clock) as display:
        yield display


def default_display() -> Subscriber:
    """
    Return the display of a runner that has no other: a table in a notebook, lines elsewhere.

    Raises:
        SettingError: ``PARCS_PROGRESS`` has an impossible value.
    """
    if not _is_progress_wanted():
        return Console(progress=False)
    if "IPython" in sys.modules:
        from aioparcs.display.notebook import notebook_display

        if display := notebook_display():
            return display
    return Console(progress=True)


@contextmanager
def _displayed(events: EventBus, detail: Detail, log: EventLog | None) -> Iterator[None]:
    """Show events by the display that fits stderr."""
    with live_on_terminal(Detail.QUIET if log else detail) as display:
        if display:
            events.subscribe(display)
            yield
            return
    from aioparcs.display.plain import PlainDisplay  # for the command line: a program by itself has a console

    plain = PlainDisplay(detail, log=log)
    events.subscribe(plain)
    if plain.timeline:
        events.subscribe(plain.timeline, calls=True, stacks=True)
    try:
        yield
    finally:
        guarded(plain.close)


@contextmanager
def keep(events: EventBus, program: str = "", about: Mapping[str, str] | None = None) -> Iterator[None]:
    """
    Keep the history of a program while the block runs, and show it on a page if ``PARCS_UI`` says so.

    Args:
        events: the bus of the program.
        program: its name; by default that of its file.
        about: what else the history's beginning says, by name; by default the engine that the environment names.

    Raises:
        SettingError: a variable has an impossible value, or the history that a page needs can't be written.
    """
    has_page = is_page_wanted()
    with ExitStack() as page, history(events, program, about, calls=has_page):  # a page shows the history's end, too
        if has_page:
            from aioparcs.display.page import open_page  # few programs have one

            assert events.history
            page.enter_context(open_page(events.history, is_kept=is_history_kept()))
        yield


def _recorded(events: EventBus, path: str, program: str = "") -> AbstractContextManager[None]:
    """Return a context manager that records events in a file, or does nothing if its name is ""."""
    if not path:
        return nullcontext()
    from aioparcs.recording import recorded  # it loads JSON, which other programs don't need

    return recorded(events, path, program)


@contextmanager
def _shown(events: EventBus | None) -> Iterator[None]:
    token = program_events.set(events)
    try:
        yield
    finally:
        program_events.reset(token)


def _is_progress_wanted() -> bool:
    """Return whether a program shows its progress by default, from ``PARCS_PROGRESS``."""
    value = os.environ.get("PARCS_PROGRESS") or "on"
    if value not in ("on", "off"):
        raise SettingError(f"PARCS_PROGRESS={value!r} is neither 'on' nor 'off'")
    return value == "on"


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False
