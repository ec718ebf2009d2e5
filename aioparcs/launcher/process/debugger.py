"""The debugger of a worker, on the terminal of its runner."""

from __future__ import annotations

import asyncio
import inspect
import pdb
from contextlib import suppress
from types import FrameType
from typing import Any

from aioparcs.terminal_lock import TerminalLock

__all__ = ["TerminalDebugger"]

# Modules that it steps over: they call the user's code.
_SKIPPED = ["aioparcs.*", "asyncio.*", "uvloop.*", "threading"]
# Show the cursor, which the runner's display hides, and begin a line.
_BEGIN = "\x1b[?25h\n"


class TerminalDebugger(pdb.Pdb):
    """
    A pdb that has the terminal while it steps; meanwhile other workers, and the runner's display, wait for it.

    It reads whole lines, as the terminal edits them: a worker that is killed leaves the terminal as it was.

    Args:
        path: the terminal's device.
        name: what the worker is called.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: str, name: str) -> None:
        self._lock = TerminalLock(path)
        self._has_lock = False
        self._name = name
        self._outermost: FrameType | None = None  # of the code that is debugged
        reading = open(self._lock.fd, errors="replace", closefd=False)  # noqa: SIM115  # as long as this process
        writing = open(self._lock.fd, "w", errors="replace", closefd=False)  # noqa: SIM115
        super().__init__(stdin=reading, stdout=writing, skip=_SKIPPED, nosigint=True)  # Ctrl-C is the runner's
        self.prompt = f"(Pdb {name}) "

    def set_trace(self, frame: FrameType | None = None, **options: Any) -> None:
        """Stop at the next line of a frame."""
        self._outermost = outermost = _outermost(frame)
        if outermost is not None and _can_pause(outermost):  # it doesn't return when it waits
            self._outermost = None
            with suppress(RuntimeError):
                if task := asyncio.current_task():
                    task.add_done_callback(lambda _: self._release())
        super().set_trace(frame, **options)

    def interaction(self, *arguments: Any, **options: Any) -> None:
        """Wait for the terminal, and read commands from it until the program goes on."""
        if not self._has_lock:
            self._lock.acquire()
            self._has_lock = True
            self.message(f"{_BEGIN}{self._name} has stopped at a breakpoint: c goes on, Ctrl-C ends the whole program")
        super().interaction(*arguments, **options)

    def set_continue(self) -> None:
        """Go on to the next breakpoint, and release the terminal."""
        super().set_continue()
        self._release()

    def set_quit(self) -> None:
        """End the call by an exception, and release the terminal."""
        super().set_quit()
        self._release()

    def dispatch_return(self, frame: FrameType, arg: Any) -> Any:
        """Go on when the code that is debugged has returned."""
        trace = super().dispatch_return(frame, arg)
        if frame is self._outermost:
            self._outermost = None
            self.set_continue()
        return trace

    def _release(self) -> None:
        if self._has_lock:
            self._has_lock = False
            self.stdout.flush()
            self._lock.release()


def _outermost(frame: FrameType | None) -> FrameType | None:
    """Return the first frame, seen from here, that was called by a module that is skipped."""
    while frame is not None and frame.f_back is not None and not _is_skipped(frame.f_back):
        frame = frame.f_back
    return frame


def _is_skipped(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return any(name == skipped.removesuffix(".*") or name.startswith(skipped.rstrip("*")) for skipped in _SKIPPED)


def _can_pause(frame: FrameType) -> bool:
    """Return True for the frame of a coroutine or a generator."""
    return bool(frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR))
