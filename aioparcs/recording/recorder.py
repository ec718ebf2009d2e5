"""The recorder: a subscriber that writes all events of a program into a file, a line of JSON for each."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import Any, TextIO

from aioparcs.errors import SettingError
from aioparcs.events import (
    CallSpans,
    CallsRunning,
    ChannelSamples,
    Event,
    EventBus,
    LogLines,
    Notice,
    PeersChanged,
    PoolProgress,
    ProgramEnding,
    ProgramStarted,
    StackSample,
    WorkerProgress,
    WorkerUsage,
)
from aioparcs.events.codec import to_json
from aioparcs.recording.full import FULL, OVER
from aioparcs.settings import VERSION
from aioparcs.transport import os_reason

__all__ = ["Recorder", "begin", "has_something_else", "program_name", "recorded"]

# A recording is complete up to the last second, whatever ends its program; pools publish calls within two at the most.
_PERIOD, _MOST = 0.5, 1 << 16  # seconds; and bytes after which lines are written at once
_RARE = 10.0  # seconds between two states of a pool, and two reports on calls that run, in a recording that is full
_RESERVE = 0.25  # share of its limit that a full recording still takes for all that it has then
_LONGEST = 500  # characters of a text in a recording that is full
_is_reported = False  # that a history can't be written
# Which it has no more.
_DETAILS = CallSpans | LogLines | WorkerProgress | ChannelSamples | WorkerUsage | PeersChanged | StackSample


class Recorder:
    """
    Writes events into a file.

    A file that can no longer be written, as when a disk is full, ends the recording with one line on standard error,
    and nothing else.

    Args:
        file: the file, which `close` closes.
        path: its name, for that line.
        limit: bytes after which it is full: calls and lines are left out then, states of pools are rare, and long
            texts are shortened. A quarter more, and it takes only those states and the end of the program.
        is_history: whether its user has not asked for it, and so is told what it is, once for all runners of a program.
    """

    def __init__(self, file: TextIO, path: Path, limit: float = inf, *, is_history: bool = False) -> None:
        self._file: TextIO | None = file
        self._unwritable: TextIO | None = None  # it stays open: its lock says that the program runs
        self._path = path
        self._is_history = is_history
        self._room = limit
        self._reserve = limit * _RESERVE
        self._states: dict[int, float] = {}  # pool: when a full recording got its last state
        self._running = 0.0  # when it got the last calls that run
        self._lines: list[str] = []
        self._size = 0
        self._written = 0.0  # when lines were last written
        self._is_ended = False
        self._is_due = False  # whether a timer writes what is left

    def __call__(self, event: Event) -> None:
        """Write an event, within half a second."""
        if self._file is None or (self._room <= 0 and not self._is_kept(event)):
            return
        self._add(event if self._room > 0 else _shortened(event))
        is_ending = isinstance(event, ProgramEnding)
        self._is_ended = self._is_ended or is_ending
        if is_ending or self._size >= _MOST or event.time >= self._written + _PERIOD:
            self._write(event.time)
        elif not self._is_due:
            self._schedule()

    def flush(self) -> None:
        """Write what is there."""
        self._write(monotonic())

    def close(self) -> None:
        """Write what is left, and close the file."""
        if not self._is_ended:
            self(ProgramEnding(monotonic(), ""))
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._unwritable is not None:
            _close(self._unwritable)
            self._unwritable = None

    def _add(self, event: Event) -> None:
        line = to_json(event)
        self._lines.append(line)
        size = 1 + (len(line) if line.isascii() else len(line.encode(errors="backslashreplace")))
        self._size += size
        before, self._room = self._room, self._room - size
        if self._room <= 0 < before:
            self._add(Notice(event.time, "history", FULL, True))
        if self._room <= -self._reserve < before:
            self._add_over(event.time)

    def _add_over(self, now: float) -> None:
        """Write that there is no more room, and that no calls run: nothing would say when they end."""
        for pool in (None, *self._states):
            self._add(CallsRunning(now, pool, ()))
        self._add(Notice(now, "history", OVER, True))

    def _is_kept(self, event: Event) -> bool:
        """Return whether a full recording has an event."""
        if isinstance(event, PoolProgress):
            pool, last = event.state.id, self._states.get(event.state.id, 0.0)
            if event.state.is_over:
                self._states.pop(pool, None)
                return True
            if event.time < last + _RARE:
                return False
            self._states[pool] = event.time
            return True
        if self._room <= -self._reserve:
            return isinstance(event, ProgramEnding)
        if isinstance(event, CallsRunning) and event.calls:
            is_due = event.time >= self._running + _RARE
            self._running = event.time if is_due else self._running
            return is_due
        return not isinstance(event, _DETAILS)

    def _schedule(self) -> None:
        """Write what is there within half a second, whether or not there are other events."""
        try:
            asyncio.get_running_loop().call_later(_PERIOD, self._write_due)
            self._is_due = True
        except RuntimeError:  # none runs
            self._write(monotonic())

    def _write_due(self) -> None:
        self._is_due = False
        self._write(monotonic())

    def _write(self, now: float) -> None:
        lines, self._lines, self._size, self._written, self._is_due = self._lines, [], 0, now, False
        if self._file is None or not lines:
            return
        try:
            self._file.write("\n".join((*lines, "")))
            self._file.flush()
        except OSError as error:
            self._unwritable, self._file = self._file, None
            self._report(os_reason(error))

    def _report(self, reason: str) -> None:
        global _is_reported
        if not self._is_history:
            print(f"the recording {self._path} has ended early, the job goes on: {reason}", file=sys.stderr)
        elif not _is_reported:
            _is_reported = True
            what = "aioparcs ui and top show no more of this job, which goes on, as its history can't be written"
            print(f"{what}: {self._path}: {reason}", file=sys.stderr)


@contextmanager
def recorded(events: EventBus, path: str, program: str = "") -> Iterator[None]:
    """
    Record the events of a bus while the block runs.

    Args:
        events: the bus.
        path: the file. An earlier recording is replaced, and nothing else is.
        program: the program's name; by default that of its file.

    Raises:
        SettingError: it can't be written, or has something else.
    """
    if has_something_else(path, '{"'):
        raise SettingError(f"{path} is there and is no recording: remove it, or name another file")
    try:
        file = open(path, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  # the recorder closes it
    except OSError as error:
        raise SettingError(f"{path} can't be written: {os_reason(error)}") from None
    recorder = Recorder(file, Path(path))
    recorder(begin(program or program_name()))
    events.subscribe(recorder, calls=True)
    try:
        yield
    finally:
        recorder.close()


def has_something_else(path: str, beginning: str) -> bool:
    """Return whether there is a file that doesn't begin as one of its kind, and was named by mistake; not if empty."""
    try:
        if not os.path.isfile(path) or not os.path.getsize(path):
            return False
        with open(path, encoding="utf-8", errors="replace") as file:
            return not file.read(len(beginning)).startswith(beginning)
    except OSError:
        return False  # the error of writing to it says more


def program_name() -> str:
    """Return the name of this program: its file, and the folder of a ``main.py``; that of a notebook, if it is one."""
    file = Path(sys.argv[0]).absolute()
    if file.name == "ipykernel_launcher.py":
        return Path(os.environ.get("JPY_SESSION_NAME") or "notebook").name  # Jupyter's server sets it
    return f"{file.parent.name}/{file.name}" if file.name == "main.py" else file.name


def begin(program: str, about: Mapping[str, str] | None = None, *, calls: bool = True) -> ProgramStarted:
    """Return the first event of a program, with what else it is to say, and whether its calls will be recorded."""
    system = os.uname()
    versions = {
        "aioparcs": VERSION,
        "Python": sys.version.split()[0],
        "system": f"{system.sysname} {system.release} {system.machine}",
        "CPUs": str(os.cpu_count() or 1),
        **(about or {}),
    }
    return ProgramStarted(monotonic(), time(), program, versions, calls)


def _shortened(event: Event) -> Event:
    """Return an event whose long texts are cut off."""
    values = event._asdict()
    long: dict[str, Any] = {
        name: f"{text[:_LONGEST]}…" for name, text in values.items() if isinstance(text, str) and len(text) > _LONGEST
    }
    return event._replace(**long) if long else event


def _close(file: TextIO) -> None:
    with suppress(OSError):  # it writes again what it could not
        file.close()
