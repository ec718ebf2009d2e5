"""The stacks of a program itself, for those who see it only through its log."""

from __future__ import annotations

import asyncio
import threading

from aioparcs.events import StackSample

__all__ = ["ProgramPlace"]

# Seconds from the first event to the first read, between two reads, and until an unchanged stack is reported again.
_FIRST, _PERIOD, _RARE = 2.0, 5.0, 60.0


class ProgramPlace:
    """Reads where the main thread and the tasks of its loop are, in another thread: also while they keep it busy."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._text = ""
        self._due: float | None = None
        self._reported = 0.0

    def note_loop(self) -> None:
        """Note the loop that runs in the thread that calls this."""
        self._loop = asyncio._get_running_loop() or self._loop

    def read(self, now: float) -> StackSample | None:
        """Return where the program is, if that is due and says something new; the time is the program's."""
        if self._due is None:
            self._due = now + _FIRST
        if self._loop is None or now < self._due:
            return None
        self._due = now + _PERIOD
        from aioparcs.launcher.process.stacks import describe_stacks  # few programs need it

        text = describe_stacks(None, threading.main_thread().ident, self._loop)
        if text == self._text and now < self._reported + _RARE:
            return None
        self._text, self._reported = text, now
        return StackSample(now, None, text)
