"""The last lines and samples of one worker, from the end of its job's history."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Any

from aioparcs.events import ChannelSamples, Event, LogLines, WorkerUsage
from aioparcs.events.codec import from_json
from aioparcs.monitor.output import OUTPUT
from aioparcs.monitor.records import Calls, rounded

__all__ = ["worker_details"]

_TAIL = 8 << 20  # bytes of a history that are read
_LINES, _SAMPLES = 500, 300  # that are kept
_KINDS = tuple(b'{"v":1,"kind":"%s"' % kind for kind in (b"LogLines", b"ChannelSamples", b"WorkerUsage"))


def worker_details(path: Path, number: int, start: float) -> dict[str, Calls]:
    """
    Return the last lines of a worker (``log``), and its ``usageSeries`` and ``channelSeries``.

    Args:
        path: the history of its job.
        number: its number.
        start: when its job began, on the program's clock.
    """
    log: deque[list[Any]] = deque(maxlen=_LINES)
    usage: deque[list[Any]] = deque(maxlen=_SAMPLES)
    totals: deque[list[Any]] = deque(maxlen=_SAMPLES + 1)
    for place, event in _events(path):
        time = rounded(event.time - start)
        match event:
            case LogLines():
                lines = [(at, text) for at, (worker, text) in enumerate(event.lines) if worker == number]
                log.extend([place + at, time, event.module, number, text, OUTPUT] for at, text in lines)
            case WorkerUsage():
                usage.extend([time, use.cpu, use.memory] for use in event.usages if use.worker == number)
            case ChannelSamples():
                totals.extend(
                    [time, one.sent + one.received, one.bytes_sent + one.bytes_received]
                    for one in event.samples
                    if one.worker == number
                )
    return {"log": list(log), "usageSeries": list(usage), "channelSeries": _rates(list(totals))}


def _events(path: Path) -> list[tuple[int, Event]]:
    """Return the events at the end of a history that are about lines and samples, each with its place in the file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            begin = file.seek(max(0, size - _TAIL))
            data = file.read(_TAIL)
    except OSError:  # it was removed
        return []
    found = []
    for line in data.split(b"\n"):
        if line.startswith(_KINDS) and (event := from_json(line.decode(errors="replace"))) is not None:
            found.append((begin, event))
        begin += len(line) + 1
    return found


def _rates(totals: Calls) -> Calls:
    """Return messages and bytes a second, from totals."""
    return [
        [time, round((messages - before[1]) / (time - before[0]), 1), round((size - before[2]) / (time - before[0]), 1)]
        for before, (time, messages, size) in pairwise(totals)
        if time > before[0]
    ]
