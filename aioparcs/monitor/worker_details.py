"""The last lines and samples of one worker, from the end of its job's history."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from aioparcs.events import ChannelSamples, Event, LogLines, WorkerUsage
from aioparcs.events.codec import from_json
from aioparcs.monitor.live import OUTPUT
from aioparcs.monitor.records import Calls, rounded

__all__ = ["WorkerDetails", "worker_details"]

_TAIL = 8 << 20  # bytes of a history that are read
_LINES, _SAMPLES = 500, 300  # that are kept


def worker_details(path: Path, number: int, start: float) -> dict[str, Calls]:
    """Return what `WorkerDetails.read` does, at once."""
    return WorkerDetails(path, number, start).read()


class WorkerDetails:
    """
    The last lines and samples of a worker.

    Args:
        path: the history of its job.
        number: its number.
        start: when its job began, on the program's clock.
    """

    def __init__(self, path: Path, number: int, start: float) -> None:
        self._path = path
        self._number = number
        self._start = start
        self._offset = 0  # of the first line that was not read
        self._log: deque[list[Any]] = deque(maxlen=_LINES)
        self._usage: deque[list[Any]] = deque(maxlen=_SAMPLES)
        self._totals: deque[list[Any]] = deque(maxlen=_SAMPLES + 1)

    def read(self) -> dict[str, Calls]:
        """Read what is new, and return ``log``, ``usageSeries`` and ``channelSeries``; takes a moment."""
        for place, event in self._events():
            self._add(place, event)
        return {"log": list(self._log), "usageSeries": list(self._usage), "channelSeries": _rates(list(self._totals))}

    def _add(self, place: int, event: Event | None) -> None:
        number = self._number
        match event:
            case LogLines():
                lines = [(at, text) for at, (worker, text) in enumerate(event.lines) if worker == number]
                time = rounded(event.time - self._start)
                self._log.extend([place + at, time, event.module, number, text, OUTPUT] for at, text in lines)
            case WorkerUsage():
                time = rounded(event.time - self._start)
                self._usage.extend([time, use.cpu, use.memory] for use in event.usages if use.worker == number)
            case ChannelSamples():
                time = rounded(event.time - self._start)
                self._totals.extend(
                    [time, one.sent + one.received, one.bytes_sent + one.bytes_received]
                    for one in event.samples
                    if one.worker == number
                )

    def _events(self) -> Iterator[tuple[int, Event | None]]:
        """Yield the new events that are about lines and samples of the worker, each with its place in the file."""
        place, data = self._new()
        # Parsing takes long: only lines that name the worker, and no more of each kind than are kept.
        kinds = [(kind, _START % kind, deque[tuple[int, bytes]](maxlen=most)) for kind, most in _KINDS]
        for line in data.split(b"\n"):
            for kind, begin, found in kinds:
                if line.startswith(begin) and _names(kind, line, self._number):
                    found.append((place, line))
            place += len(line) + 1
        for _, _, found in kinds:
            for at, line in found:
                yield at, from_json(line.decode(errors="replace"))

    def _new(self) -> tuple[int, bytes]:
        """Return the new lines, and where they begin."""
        try:
            with self._path.open("rb") as file:
                begin = file.seek(max(self._offset, file.seek(0, 2) - _TAIL))
                data = file.read(_TAIL)
        except OSError:  # it was removed
            return 0, b""
        data = data[: data.rfind(b"\n") + 1]  # the end of another line is to come
        self._offset = begin + len(data)
        return begin, data


_KINDS = ((b"LogLines", _LINES), (b"WorkerUsage", _SAMPLES), (b"ChannelSamples", _SAMPLES + 1))
_START = b'{"v":1,"kind":"%s"'


def _names(kind: bytes, line: bytes, number: int) -> bool:
    """Return whether a line of a kind is about a worker, by what no text can have in it."""
    if kind == b"LogLines":
        return b'[%d,"' % number in line
    column = line.partition(b'"worker":[')[2].partition(b"]")[0]
    return b",%d," % number in b",%s," % column or b'"worker":%d,' % number in line


def _rates(totals: Calls) -> Calls:
    """Return messages and bytes a second, from totals."""
    return [
        [time, round((messages - before[1]) / (time - before[0]), 1), round((size - before[2]) / (time - before[0]), 1)]
        for before, (time, messages, size) in pairwise(totals)
        if time > before[0]
    ]
