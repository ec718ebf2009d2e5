"""The terminal of a live display: lines that scroll away and, beneath them, a few that are redrawn."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from aioparcs.display.text import sanitize
from aioparcs.events import guarded
from aioparcs.terminal_lock import TerminalLock

__all__ = ["Terminal"]

PERIOD = 0.1  # seconds between two drawings
MAX_WAITING = 10_000  # lines; on a slow terminal more lines of workers are left out, and their number is shown


class Terminal:
    """
    Draws something at the foot of a terminal, ten times a second, while lines are printed above it.

    Nothing is drawn before `draw`; what is printed until then is written at once. Afterwards lines are
    collected and written with the next drawing, so that thousands a second cost no more than a few. Nothing is written
    while a debugger has the terminal.

    Args:
        console: where to draw; its file must be the terminal itself.
        foot: the renderable to draw, rendered again each time.
    """

    def __init__(self, console: Console, foot: RenderableType) -> None:
        self._console = console
        self._streams: list[_RedirectedStream] = []
        self._foot = _Foot(foot, self._streams)
        self._live = self._new_live()
        self._turn = _lock(console.file)
        self._is_interrupted = False  # a debugger has written below the foot
        self._waiting: list[str] = []
        self._left_out = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="aioparcs-display", daemon=True)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Redirect this process's prints to the same terminal through here, and undo that at the end of the block."""
        with ExitStack() as stack:
            # Not redirected, a stream would write in the middle of the drawing; one that is a file or
            # another terminal is left alone.
            if _same_terminal(sys.stdout, self._console.file):
                stack.enter_context(redirect_stdout(self._redirected(sys.stdout)))
            if _same_terminal(sys.stderr, self._console.file):
                stack.enter_context(redirect_stderr(self._redirected(sys.stderr)))
            try:
                yield
            finally:
                self.close()

    def draw(self) -> None:
        """Start drawing; from now on `print` and this process's own prints appear above the foot."""
        if not self.drawing:
            for stream in self._streams:
                stream.break_line()
            self._live.start()
            self._thread.start()

    @property
    def drawing(self) -> bool:
        """True while the foot is on the terminal."""
        return self._thread.ident is not None and not self._ended.is_set()

    def print(self, line: str) -> None:
        """Print a line above the foot with the next drawing; if too many wait already, only count it."""
        if not self.drawing:
            print(line, file=self._console.file, flush=True)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(f"{line}\n")
        else:
            self._left_out += 1

    def write(self, lines: str) -> None:
        """Print whole lines of this process's own above the foot; none is ever left out."""
        self._waiting.append(lines)
        if len(self._waiting) > MAX_WAITING:
            self._show()

    def close(self) -> None:
        """Print what waits, draw the foot for the last time, and leave the cursor beneath it."""
        if self.drawing:
            try:
                for stream in self._streams:
                    stream.break_line()
                self._ended.set()
                self._thread.join()
                guarded(self._show)
            finally:
                guarded(self._live.stop)  # a second Ctrl-C, here, must not leave the cursor hidden
        if self._turn:
            self._turn.close()
            self._turn = None

    def _keep_drawing(self) -> None:
        while not self._ended.wait(PERIOD):
            guarded(self._show)

    def _show(self) -> None:
        """Draw, unless a debugger has the terminal; the last drawing comes when there are no workers left."""
        with self._lock:
            has_turn = not self._turn or self._turn.try_acquire()
            if not (has_turn or self._ended.is_set()):
                self._is_interrupted = True
                return
            try:
                if self._is_interrupted:
                    self._begin_below()
                self._write()
            finally:
                if self._turn and has_turn:
                    self._turn.release()

    def _write(self) -> None:
        """Write the lines that wait, and the foot beneath them."""
        count = len(self._waiting)  # more may be appended meanwhile
        text = "".join(self._waiting[:count])
        del self._waiting[:count]
        if self._left_out:
            text += f"(lines left out because the terminal is too slow: {self._left_out})\n"
            self._left_out = 0
        if not text:
            self._live.refresh()
            return
        try:
            self._console.print(_Raw(text), crop=False, end="")  # draws the foot beneath it too
        except Exception:  # of the foot: nothing was written
            self._console.file.write(text)
            raise

    def _new_live(self) -> Live:
        return Live(self._foot, console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def _begin_below(self) -> None:
        """Leave the foot where it is, and begin another one where the cursor is, in place of a prompt."""
        self._is_interrupted = False
        self._console.pop_render_hook()
        self._console.clear_live()
        self._console.file.write("\r\x1b[K")
        self._live = self._new_live()
        self._live.start()

    def _redirected(self, stream: TextIO) -> TextIO:
        redirected = _RedirectedStream(stream, self)
        self._streams.append(redirected)
        return cast(TextIO, redirected)


class _RedirectedStream:
    """A stream of this process; while the terminal draws, its whole lines go there, the rest is drawn with the foot."""

    def __init__(self, stream: TextIO, terminal: Terminal) -> None:
        self._stream = stream
        self._terminal = terminal
        self.rest = ""  # what was written since the last end of line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        lines, end, rest = text.rpartition("\n")
        if not self._terminal.drawing:
            self._stream.write(text)
        elif end:
            self._terminal.write(f"{self.rest}{lines}\n")
        self.rest = rest if end else self.rest + rest
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def break_line(self) -> None:
        """End a line that was begun: the drawing needs one of its own."""
        if self.rest:
            self.write("\n")
        if not self._terminal.drawing:
            self._stream.flush()


class _Foot:
    """The drawing, under the line that this process has begun and not ended."""

    def __init__(self, foot: RenderableType, streams: list[_RedirectedStream]) -> None:
        self._foot = foot
        self._streams = streams

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        begun = [stream.rest for stream in self._streams if stream.rest]
        lines = [Text(sanitize(text, color=False), no_wrap=True, overflow="ellipsis") for text in begun]
        yield Group(*lines, self._foot)


class _Raw:
    """Text that goes to the terminal as it is: no markup, no wrapping, no highlighting."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self._text)


def _lock(file: Any) -> TerminalLock | None:
    """Return the lock of a terminal; None for a file that is no terminal, or has no name here."""
    try:
        return TerminalLock(os.ttyname(file.fileno()))
    except (OSError, ValueError):
        return None


def _same_terminal(one: Any, other: Any) -> bool:
    try:
        first, second = os.fstat(one.fileno()), os.fstat(other.fileno())
        return bool(one.isatty()) and first.st_rdev == second.st_rdev
    except (AttributeError, OSError, ValueError):  # None, closed, or nothing with a descriptor: pytest, IDLE
        return False
