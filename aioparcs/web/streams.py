"""The streams of server-sent events: the list of jobs, and one job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from aioparcs.monitor import JobStream
from aioparcs.monitor.records import JobRow
from aioparcs.web.access import problem
from aioparcs.web.watches import JobWatch, TooManyJobs, Watches

__all__ = ["Streams"]

_MOST = 32  # that are open at once
_LIST_PERIOD = 1.0  # seconds between two lists, at the least
_SPEED = 500_000  # bytes a second beyond which messages become rarer
_PING = 15.0  # seconds of silence after which a comment is sent
_LAST = 1.0  # seconds for which a job whose program ends may still be locked
_BYE = b"event: bye\ndata: {}\n\n"
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Streams:
    """
    The streams of a server, a bounded number of them.

    Args:
        watches: the jobs.
        is_beside: whether the server ends with a program: its streams end with the last state, and say so by ``bye``.
    """

    def __init__(self, watches: Watches, *, is_beside: bool = False) -> None:
        self._watches = watches
        self._is_beside = is_beside
        self._open = 0
        self._ended = asyncio.Event()

    async def end(self, _: web.Application) -> None:
        """End all streams."""
        self._ended.set()

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """Stream the list of all jobs."""
        return await self._send(request, "jobs", self._lists())

    async def job(self, request: web.Request) -> web.StreamResponse:
        """Stream a job."""
        try:
            async with self._watches.watch(request.match_info["job"]) as watch:
                if watch is None:
                    return problem(404, f"there is no job {request.match_info['job']}")
                with watch.open_stream() as stream:
                    return await self._send(request, "job", self._messages(watch, stream))
        except TooManyJobs as error:
            return problem(503, str(error))

    async def _lists(self) -> AsyncIterator[bytes | None]:
        last = None
        while not self._ended.is_set():
            rows = await self._watches.rows()
            yield _list_of(rows) if rows != last else None
            last = rows
            await self._pause(_LIST_PERIOD)
        if self._is_beside:
            yield _list_of(await self._watches.rows(is_new=True))

    async def _messages(self, watch: JobWatch, stream: JobStream) -> AsyncIterator[bytes | None]:
        while not self._ended.is_set():
            await watch.poll()
            yield await watch.message(stream)
            await self._pause(watch.period)
        if self._is_beside:
            await _poll_last(watch)
            yield await watch.message(stream)

    async def _send(self, request: web.Request, name: str, messages: AsyncIterator[bytes | None]) -> web.StreamResponse:
        """Answer by a stream of messages, of which those that are None are left out, until the page is gone."""
        if self._open >= _MOST:
            return problem(503, f"{_MOST} pages are open already; close some")
        self._open += 1
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            with suppress(ConnectionError):
                await self._write_all(response, name, messages)
            return response
        finally:
            self._open -= 1

    async def _write_all(self, response: web.StreamResponse, name: str, messages: AsyncIterator[bytes | None]) -> None:
        clock = asyncio.get_running_loop().time
        written = clock()
        async for message in messages:
            if message is not None:
                data = b"event: %s\ndata: %s\n\n" % (name.encode(), message)
                await response.write(data)
                written = clock()
                await self._pause(len(data) / _SPEED)
            elif clock() >= written + _PING:
                await response.write(b": ping\n\n")
                written = clock()
        if self._is_beside:
            await response.write(_BYE)

    async def _pause(self, seconds: float) -> None:
        """Wait some seconds, or until the server ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()


async def _poll_last(watch: JobWatch) -> None:
    """Read a job until its program has closed the history, or for a second if that is still open."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _LAST
    await asyncio.sleep(watch.period)  # what was just read is not read again
    await watch.poll()
    while watch.followed.job.is_running and clock() < deadline:
        await asyncio.sleep(watch.period)
        await watch.poll()


def _list_of(rows: list[JobRow]) -> bytes:
    return json.dumps({"jobs": rows}, separators=(",", ":")).encode()
