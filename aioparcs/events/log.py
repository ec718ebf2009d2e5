"""
The lines of events in a program's log.

A log of text may have events between its lines: each is a line of its own that begins with the control character RS
(as in RFC 7464), a word that only this log's events have, and the event's number. A program that prints text
that looks like an event can't know the word. Snapshots come less and less often, so the log stays short.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from aioparcs.events.codec import from_json, to_json
from aioparcs.events.event import Event
from aioparcs.events.packing import Packer, packed_size
from aioparcs.events.records import Snapshot, StatusLine
from aioparcs.events.samples import Packed

__all__ = ["EventLog", "EventLogReader"]

_START = "\x1e"
_STDERR = 2
_FASTEST, _SLOWEST = 0.25, 5.0  # seconds between two snapshots, at the beginning and after a quarter of an hour
_SHARE = 200  # a snapshot is due after this part of the time that the program has run
_HEARTBEAT = 15.0  # seconds after which a snapshot that says nothing new is due anyway
_BYTES = 2000  # that snapshots may take in a second
_LONGEST = 12_000  # bytes of a line: Docker cuts those of 16 KiB
_MODULES = 20  # that a snapshot lists when all of them are too many
_NAME = 100  # characters of a name that it keeps then
_RATE = 8 << 10  # bytes that all lines of events may take in a second, and that packed ones may take at once
_AROUND = 120  # characters of a line of packed events besides these
_DIGITS = 15  # of an event's number, at the most


class EventLog:
    """
    Writes events into this process's standard error.

    Args:
        word: the word that marks their lines.
    """

    def __init__(self, word: str) -> None:
        self._word = word
        self._number = 0
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._next = 0.0  # when the next snapshot is due
        self._room, self._since = float(_RATE), 0.0  # bytes that were left at a time

    def write_status(self, time: float, text: str) -> None:
        """Write a line that readers show unless they have a display that draws."""
        self._write(to_json(StatusLine(time, text)))

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Write a snapshot, if one is due and it says something new; the program's last one in any case."""
        last, now = self._last, snapshot.time
        is_due = now >= self._next and (last is None or _is_news(snapshot, last) or now - last.time >= _HEARTBEAT)
        if is_due or snapshot.is_over:
            text = to_json(snapshot)
            if len(text.encode(errors="replace")) > _LONGEST:
                text = to_json(_shortened(snapshot))
            size = self._write(text)
            self._last = snapshot
            self._next = now + max(_FASTEST, min(now / _SHARE, _SLOWEST), size / _BYTES)

    @property
    def most(self) -> int:
        """The most bytes that `room` ever returns."""
        return _RATE

    def room(self, time: float) -> int:
        """Return how many bytes a line of packed events may have at a time: what other lines have left of the rate."""
        with self._lock:
            self._room = min(float(_RATE), self._room + max(0.0, time - self._since) * _RATE)
            self._since = time
        return max(0, int(self._room))

    def packer(self, room: int) -> Packer:
        """Return what packs events for a line of so many bytes."""
        return Packer(packed_size(room - _AROUND))

    def write_packed(self, packed: Packed) -> None:
        """Write many events in one line."""
        self._write(to_json(packed))

    def _write(self, text: str) -> int:
        """Write one line in one piece; return its size. A reader that is gone is ignored."""
        with self._lock:
            self._number += 1
            # Lone surrogates become escape sequences, which JSON has too.
            line = f"{_START}{self._word} {self._number} {text}\n".encode(errors="backslashreplace")
            rest = line
            with suppress(OSError):
                while rest:  # a signal may end a write early
                    rest = rest[os.write(_STDERR, rest) :]
            self._room -= len(line)
        return len(line)


class EventLogReader:
    """
    Separates a log's events from its text.

    Args:
        word: the word that marks their lines, "" for a log without any.
    """

    def __init__(self, word: str) -> None:
        self._start = f"{_START}{word} " if word else ""
        self._number = 0
        self._begun = {False: "", True: ""}  # the texts before events that came within a line, by stream

    def read(self, line: str, *, error: bool) -> str | Event | None:
        """
        Return the text of a line, or its event; None if it is an event that can't be read, or was read before.

        Args:
            line: the line, without its end.
            error: whether it is one of standard error.
        """
        if not self._start or self._start not in line:
            text, self._begun[error] = self._begun[error] + line, ""
            return text
        text, _, rest = line.partition(self._start)
        self._begun[error] += text  # the rest of that line comes later
        number, _, event = rest.partition(" ")
        if not (number.isdecimal() and len(number) <= _DIGITS and int(number) > self._number):
            return None
        self._number = int(number)
        return from_json(event)

    def rest(self) -> list[tuple[str, bool]]:
        """Return the texts of lines that were begun and never ended, each with its stream."""
        begun, self._begun = self._begun, {False: "", True: ""}
        return [(text, error) for error, text in begun.items() if text]


def _is_news(snapshot: Snapshot, last: Snapshot) -> bool:
    return (snapshot.modules, snapshot.pools, snapshot.earlier) != (last.modules, last.pools, last.earlier)


def _shortened(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without the names of nodes, with a few modules only, and with short names."""
    modules = tuple(one._replace(module=one.module[:_NAME], nodes={}) for one in snapshot.modules[:_MODULES])
    pools = tuple(one._replace(state=one.state._replace(name=one.state.name[:_NAME])) for one in snapshot.pools)
    return Snapshot(snapshot.time, modules, pools, snapshot.earlier, snapshot.is_over)
