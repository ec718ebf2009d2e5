"""The streams of server-sent events: the list of jobs, and one job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from aioparcs.monitor import JobStream
from aioparcs.web.access import problem
from aioparcs.web.watches import JobWatch, Watches

__all__ = ["Streams"]

_MOST = 32  # that are open at once
_PERIOD, _LIST_PERIOD = 0.25, 1.0  # seconds between two messages about a job, and two lists, at the least
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
        async with self._watches.watch(request.match_info["job"]) as watch:
            if watch is None:
                return problem(404, f"there is no job {request.match_info['job']}")
            return await self._send(request, "job", self._messages(watch))

    async def _lists(self) -> AsyncIterator[Any]:
        last = None
        while not self._ended.is_set():
            rows = await self._watches.rows()
            yield {"jobs": rows} if rows != last else None
            last = rows
            await self._pause(_LIST_PERIOD)
        if self._is_beside:
            yield {"jobs": await self._watches.rows(is_new=True)}

    async def _messages(self, watch: JobWatch) -> AsyncIterator[Any]:
        stream = JobStream(watch.followed.job)
        while not self._ended.is_set():
            await watch.poll()
            async with watch.lock:
                message = stream.next()
            yield message
            await self._pause(_PERIOD)
        if self._is_beside:
            await _poll_last(watch)
            async with watch.lock:
                message = stream.next()
            yield message

    async def _send(self, request: web.Request, name: str, messages: AsyncIterator[Any]) -> web.StreamResponse:
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

    async def _write_all(self, response: web.StreamResponse, name: str, messages: AsyncIterator[Any]) -> None:
        clock = asyncio.get_running_loop().time
        written = clock()
        async for message in messages:
            if message is not None:
                data = f"event: {name}\ndata: {json.dumps(message, separators=(',', ':'))}\n\n".encode()
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
    await asyncio.sleep(_PERIOD)  # what was just read is not read again
    await watch.poll()
    while watch.followed.job.is_running and clock() < deadline:
        await asyncio.sleep(_PERIOD)
        await watch.poll()
