"""The sources of what screens show: histories, read in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from aioparcs.monitor import FollowedJob, JobStream
from aioparcs.monitor.explain import explained_worker
from aioparcs.monitor.records import Calls, Explanation, Message
from aioparcs.monitor.stacks import read_stack
from aioparcs.monitor.worker_details import worker_details

__all__ = ["JobSource", "Update", "watch"]

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
        reasons: what that worker does or waits for.
        is_behind: whether there is more to read already.
    """

    message: Message | None
    now: float
    calls: Calls
    reasons: list[Explanation]
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

    def stack(self, worker: int) -> str:
        """
        Return where a worker is, see `read_stack`; takes a moment.

        Raises:
            ControlError: that can't be had.
        """
        return read_stack(self._followed, worker)

    def poll(self) -> Update:
        """Read what is new, at most some megabytes at once."""
        is_behind = self._followed.poll(_PIECES)
        job, worker = self._followed.job, self.worker
        calls: Calls = []
        reasons: list[Explanation] = []
        if worker is not None and job.workers.find(worker):
            calls, reasons = job.calls.spans_of(worker, _CALLS), explained_worker(job, worker)
        return Update(self._stream.next(), job.now, calls, reasons, is_behind)

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
