"""The reader of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from aioparcs.events import Event, ProgramStarted
from aioparcs.events.codec import from_json

__all__ = ["Recording", "read_recording"]


class Recording(NamedTuple):
    """
    The events of a program, in their order.

    Attributes:
        started: the first of them.
        events: all others.
        skipped: how many lines hold no event, such as one that was cut off, or those of another version.
    """

    started: ProgramStarted
    events: list[Event]
    skipped: int


def read_recording(path: Path) -> Recording:
    """
    Return what a file has recorded; it may have been cut off anywhere after its first line.

    Raises:
        ValueError: it is no recording.
        OSError: it can't be read.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        started = from_json(file.readline().rstrip("\n"))
        if not isinstance(started, ProgramStarted):
            raise ValueError(f"{path} is not a recording; aioparcs run --record FILE writes one")
        events, skipped = [], 0
        for line in file:
            event = from_json(line.rstrip("\n"))
            if event is None:
                skipped += 1
            else:
                events.append(event)
    return Recording(started, events, skipped)
