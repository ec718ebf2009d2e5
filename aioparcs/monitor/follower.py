"""The followers of histories: files that other programs write."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from time import monotonic

from aioparcs.events import Event
from aioparcs.events.codec import from_json
from aioparcs.monitor.live import LiveJob
from aioparcs.recording.store import SUFFIX, is_locked, open_regular, socket_of

__all__ = ["CALLS", "DETAILS", "FollowedJob", "Follower"]

_PIECE = 1 << 20  # bytes that are read at once
_LONGEST = 4 << 20  # bytes of a line, beyond which it is skipped
_START = '{"v":1,"kind":"'  # of each line

CALLS = ("CallSpans", "LogLines")
"""The kinds of events that make up most of a history."""

DETAILS = (*CALLS, "ChannelSamples", "WorkerUsage")
"""The kinds of events that a list of jobs does without."""


class Follower:
    """
    Reads events from a file that grows.

    Args:
        path: the file.
        skip: the kinds of events that are not read.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path, *, skip: Iterable[str] = ()) -> None:
        self.path = path
        self._skipped = tuple(f'{_START}{kind}"'.encode() for kind in skip)
        self._file = open_regular(path)
        self._begun = b""  # a line whose end was not there yet

    def read(self) -> list[Event] | None:
        """Return the next events, maybe none of those that are wanted; None at the end of what is there."""
        data = self._file.read(_PIECE)
        if not data:
            return None
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _LONGEST:
            self._begun = b""  # what follows of it is no event
        events = (
            from_json(line.decode(errors="replace")) for line in lines if line and not line.startswith(self._skipped)
        )
        return [event for event in events if event is not None]

    @property
    def has_more(self) -> bool:
        """Whether there is more in the file than was read."""
        return os.fstat(self._file.fileno()).st_size > self._file.seek(0, os.SEEK_CUR)

    @property
    def is_running(self) -> bool:
        """True while the program that writes the file runs, also if the file was removed."""
        return is_locked(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FollowedJob:
    """
    A job of this machine, as its history has it.

    Args:
        path: the history.
        skip: the kinds of events that are not read.

    Attributes:
        job: what is known of it.

    Raises:
        OSError: the history can't be opened.
    """

    def __init__(self, path: Path, *, skip: Iterable[str] = ()) -> None:
        self.job = LiveJob(path.name.removesuffix(SUFFIX))
        self._follower = Follower(path, skip=skip)

    @property
    def socket(self) -> Path:
        """The path of the socket on which the job's program answers requests, if it does."""
        return socket_of(self._follower.path)

    def poll(self, pieces: int | None = None) -> bool:
        """
        Read what is new, and return whether there is more; a large file takes a while, so call it in a thread.

        Args:
            pieces: the most megabytes that are read; None for all that is there.
        """
        job = self.job
        job.is_running = self._follower.is_running  # first: what it has written until then is read below
        while (events := self._follower.read()) is not None:
            for event in events:
                job.apply(event)
            if pieces is not None:
                pieces -= 1
                if pieces <= 0 and self._follower.has_more:
                    return True
        if job.is_running and job.started.date:
            job.advance(monotonic() - job.started.time)
        elif not job.is_running:
            job.lose()
        return False

    def close(self) -> None:
        """Close the history."""
        self._follower.close()
