"""The sources of what screens show: histories, read in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from aioparcs.monitor import FollowedJob, Jobs, JobStream
from aioparcs.monitor.records import Calls, Message
from aioparcs.monitor.worker_details import worker_details

__all__ = ["JobSource", "Update", "find_job", "watch"]

T = TypeVar("T")

_LONGEST_PAUSE = 1.0  # seconds
_PIECES = 1  # megabytes of a history that are read before the screen is drawn again
_CALLS = 200  # of a worker that are listed


class Update(NamedTuple):
    """
    What is new of a job.

    Attributes:
        message: what has changed, None for nothing.
        now: seconds since the job began.
        calls: the last spans of the worker that is watched.
        is_behind: whether there is more to read already.
    """

    message: Message | None
    now: float
    calls: Calls
    is_behind: bool


class JobSource:
    """
    A job's history.

    Args:
        path: its file.

    Attributes:
        worker: the worker whose calls are wanted, None for none.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.worker: int | None = None
        self._path = path
        self._followed = FollowedJob(path)
        self._stream = JobStream(self._followed.job)

    @property
    def socket(self) -> Path:
        """The path of the socket on which the program answers requests."""
        return self._followed.socket

    @property
    def name(self) -> str:
        """The job's name."""
        return self._followed.job.id

    def details(self, worker: int) -> dict[str, Calls]:
        """Return what the end of the history has of a worker, see `worker_details`; takes a moment."""
        return worker_details(self._path, worker, self._followed.job.started.time)

    def poll(self) -> Update:
        """Read what is new, at most some megabytes at once."""
        is_behind = self._followed.poll(_PIECES)
        job, worker = self._followed.job, self.worker
        calls = [] if worker is None else job.calls.spans_of(worker, _CALLS)
        return Update(self._stream.next(), job.now, calls, is_behind)

    def close(self) -> None:
        """Close the history."""
        self._followed.close()


async def watch(poll: Callable[[], T], show: Callable[[T], bool], pause: float) -> None:
    """
    Poll in a thread and show each result, until this is cancelled.

    Args:
        poll: is called in a thread.
        show: is called with what it returns; returns whether to poll again at once.
        pause: seconds between two polls; more, but at most a second, where a poll takes long.
    """
    loop = asyncio.get_running_loop()
    while True:
        begin = loop.time()
        result = await asyncio.to_thread(poll)
        took = loop.time() - begin
        if not show(result):
            await asyncio.sleep(max(pause, min(2 * took, _LONGEST_PAUSE)))


def find_job(name: str, jobs: Jobs) -> tuple[Path | None, list[str]]:
    """
    Return the history of a job, None if the name is not that of one job; and the names of jobs that it may mean.

    Args:
        name: the job's name, or its first characters. The newest job that runs is meant where several begin so and no
            other of these runs.
        jobs: the list of jobs.
    """
    path = jobs.path(name)
    if path is not None:
        return path, [name]
    rows = [row for row in jobs.rows() if row["id"].startswith(name)]
    running = [row for row in rows if row["state"] == "running"]
    meant = rows if len(rows) == 1 else running
    found = jobs.path(meant[0]["id"]) if len(meant) == 1 else None
    return found, [row["id"] for row in rows]
