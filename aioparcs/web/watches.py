"""The jobs that pages look at: each is followed once, however many pages there are, and only while there are any."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import thread_time

from aioparcs.monitor import FollowedJob, Jobs, JobStream
from aioparcs.monitor.records import Calls, JobRow
from aioparcs.monitor.worker_details import WorkerDetails
from aioparcs.recording.store import socket_of

__all__ = ["JobWatch", "TooManyJobs", "Watches"]

_PERIOD, _LIST_PERIOD = 0.25, 1.0  # seconds between two looks at a history, at the least, and at all of them
_SLOWEST = 2.0  # seconds between two looks at one that takes long
_FACTOR = 200  # times the processor time of a look that is between two of them, however many pages are open
_LINGER = 20.0  # seconds for which a job is known after the last request about it
_MOST = 16  # jobs that are known at once
_MOST_WORKERS = 8  # of a job whose lines and samples are kept


class TooManyJobs(Exception):
    """Pages look at so many jobs that no other one can be followed."""

    def __init__(self) -> None:
        super().__init__(f"pages of {_MOST} jobs are open already; close some")


class JobWatch:
    """
    A job that is followed.

    Args:
        path: its history.
        has_control: whether actions are allowed.

    Attributes:
        period: seconds between two looks at it: more where a look takes long, so that the programs of the job have the
            processor.

    Raises:
        OSError: the history can't be opened.
    """

    def __init__(self, path: Path, *, has_control: bool) -> None:
        self.path = path
        self.lock = asyncio.Lock()  # the view is not to be read while a thread changes it
        self.followed = FollowedJob(path)
        self.users = 0
        self._has_control = has_control
        self.period = _PERIOD
        self._polled = -_SLOWEST
        self._polls = 0
        self._cost = 0.0  # processor seconds of the last look, and of its messages
        self._seen: dict[JobStream, int] = {}  # by stream of a page: the look that its last message is from
        self._messages: dict[int | None, tuple[JobStream, bytes | None]] = {}  # by that: the next one, and who has it
        self._details: dict[int, WorkerDetails] = {}  # the one that was asked for last is the last one
        self._details_lock = asyncio.Lock()

    async def poll(self) -> None:
        """Read what is new, unless that was just done."""
        async with self.lock:
            now = asyncio.get_running_loop().time()
            self.period = min(max(_PERIOD, self._cost * _FACTOR), _SLOWEST)
            if now < self._polled + self.period:
                return
            self._cost = await asyncio.to_thread(self._poll)
            job = self.followed.job
            job.has_control = self._has_control and job.state == "running" and socket_of(self.path).exists()
            self._polled = now
            self._polls += 1
            self._messages.clear()

    @contextmanager
    def open_stream(self) -> Iterator[JobStream]:
        """Provide the stream of a page while the block runs."""
        stream = JobStream(self.followed.job)
        try:
            yield stream
        finally:
            self._seen.pop(stream, None)

    async def message(self, stream: JobStream) -> bytes | None:
        """Return the JSON of a page's next message, made once for all that know as much; None if nothing is new."""
        async with self.lock:
            seen = self._seen.get(stream)
            if seen == self._polls:
                return None
            begun = thread_time()
            if seen not in self._messages:
                message = stream.next()
                data = None if message is None else json.dumps(message, separators=(",", ":")).encode()
                self._messages[seen] = stream, data
            other, data = self._messages[seen]
            stream.position = other.position
            self._seen[stream] = self._polls
            self._cost += thread_time() - begun
            return data

    async def details(self, worker: int) -> dict[str, Calls]:
        """Return the last lines and samples of a worker; what was read before is kept for some workers."""
        async with self._details_lock:
            details = self._details.pop(worker, None) or WorkerDetails(
                self.path, worker, self.followed.job.started.time
            )
            self._details[worker] = details
            if len(self._details) > _MOST_WORKERS:
                del self._details[next(iter(self._details))]
            return await asyncio.to_thread(details.read)

    async def close(self) -> None:
        """Close the history, when no thread reads it."""
        async with self.lock:
            self.followed.close()

    def _poll(self) -> float:
        """Read what is new, and return the processor seconds that this took."""
        begun = thread_time()
        self.followed.poll()
        return thread_time() - begun


class Watches:
    """
    All jobs that are followed, and the list of jobs.

    Args:
        has_control: whether actions are allowed.
    """

    def __init__(self, *, has_control: bool) -> None:
        self._has_control = has_control
        self._watches: dict[str, JobWatch] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._jobs = Jobs()
        self._list_lock = asyncio.Lock()
        self._rows: list[JobRow] = []
        self._listed = -_LIST_PERIOD

    async def rows(self, *, is_new: bool = False) -> list[JobRow]:
        """Return the rows of all jobs, at most a second old, or read now."""
        async with self._list_lock:
            now = asyncio.get_running_loop().time()
            if is_new or now >= self._listed + _LIST_PERIOD:
                rows = await asyncio.to_thread(self._jobs.rows)
                self._rows = [{**row, "control": self._is_controlled(row)} for row in rows]
                self._listed = asyncio.get_running_loop().time()
            return self._rows

    @asynccontextmanager
    async def watch(self, name: str) -> AsyncIterator[JobWatch | None]:
        """
        Provide a job, which is followed while the block runs and a while longer; None if there is none.

        Raises:
            TooManyJobs: it is one too many.
        """
        watch = self._watches.get(name) or self._open(name)
        if watch is None:
            yield None
            return
        watch.users += 1
        if timer := self._timers.pop(name, None):
            timer.cancel()
        try:
            yield watch
        finally:
            watch.users -= 1
            if not watch.users:
                self._timers[name] = asyncio.get_running_loop().call_later(_LINGER, self._forget, name)

    async def close(self) -> None:
        """Stop following."""
        for name in list(self._watches):
            self._forget(name)
        while self._closing:
            await asyncio.wait(self._closing)
        async with self._list_lock:
            self._jobs.close()

    def path(self, name: str) -> Path | None:
        """Return the history of a job, None if there is none of that name."""
        return self._jobs.path(name)

    def _open(self, name: str) -> JobWatch | None:
        path = self._jobs.path(name)
        if path is None:
            return None
        unused = [one for one, watch in self._watches.items() if not watch.users]
        if len(self._watches) >= _MOST:
            if not unused:
                raise TooManyJobs
            self._forget(unused[0])
        try:
            watch = self._watches[name] = JobWatch(path, has_control=self._has_control)
        except OSError:
            return None
        return watch

    def _forget(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
        task = asyncio.get_running_loop().create_task(self._watches.pop(name).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _is_controlled(self, row: JobRow) -> bool:
        path = self._jobs.path(row["id"]) if self._has_control and row["state"] == "running" else None
        return path is not None and socket_of(path).exists()
