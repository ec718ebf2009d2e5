"""The streams of server-sent events: the list of jobs, one job, one worker, and the cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import web

from aioparcs.monitor import JobStream
from aioparcs.web.cluster import Cluster
from aioparcs.web.http.access import problem
from aioparcs.web.job_requests import known_worker
from aioparcs.web.watches import JobWatch, TooManyJobs, Watches

__all__ = ["Streams"]

_MOST = 32  # that are open at once
_LIST_PERIOD, _WORKER_PERIOD, _CLUSTER_PERIOD = 1.0, 1.0, 5.0  # seconds between two messages, at the least
_SPEED = 500_000  # bytes a second beyond which messages become rarer
_PING = 15.0  # seconds of silence after which a comment is sent
_LAST = 1.0  # seconds for which a job whose program ends may still be locked
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Streams:
    """
    The streams of a server, a bounded number of them.

    Args:
        watches: the jobs.
        cluster: the cluster.
        is_beside: whether the server ends with a program: its streams say so by ``beside`` behind the first message,
            and end with the last state and ``bye``.
        is_kept: whether that program's history is still there afterwards.
    """

    def __init__(self, watches: Watches, cluster: Cluster, *, is_beside: bool = False, is_kept: bool = True) -> None:
        self._watches = watches
        self._cluster = cluster
        self._is_beside = is_beside
        self._about = _json({"kept": is_kept})
        self._open: set[web.RequestHandler] = set()
        self._ended = asyncio.Event()

    async def end(self, _: web.Application) -> None:
        """End all streams."""
        self._ended.set()

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """Stream the list of all jobs."""
        last = partial(self._list, is_new=True)
        return await self._send(request, "jobs", self._answers(self._list, _LIST_PERIOD, last))

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

    async def worker(self, request: web.Request) -> web.StreamResponse:
        """Stream all that is known of a worker."""
        name, number = request.match_info["job"], int(request.match_info["worker"])
        try:
            async with self._watches.watch(name) as watch:
                if watch is None or await known_worker(watch, number) is None:
                    return problem(404, f"there is no worker {number} of a job {name}")
                ask, last = partial(known_worker, watch, number), partial(_last_of_worker, watch, number)
                return await self._send(request, "worker", self._answers(ask, _WORKER_PERIOD, last))
        except TooManyJobs as error:
            return problem(503, str(error))

    async def cluster(self, request: web.Request) -> web.StreamResponse:
        """Stream the cluster."""
        return await self._send(request, "cluster", self._answers(self._known_cluster, _CLUSTER_PERIOD, _nothing))

    async def _known_cluster(self) -> Any:
        """Return what is known of the cluster; None if the server ends before Docker has answered."""
        known, ended = asyncio.ensure_future(self._cluster.known()), asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((known, ended), return_when=asyncio.FIRST_COMPLETED)
            return known.result() if known.done() else None
        finally:
            known.cancel()
            ended.cancel()

    async def _list(self, *, is_new: bool = False) -> Any:
        return {"jobs": await self._watches.rows(is_new=is_new)}

    async def _answers(
        self, ask: Callable[[], Awaitable[Any]], period: float, ask_last: Callable[[], Awaitable[Any]]
    ) -> AsyncIterator[bytes | None]:
        """Yield what is answered now and then, None where nothing has changed; and what is when the program ends."""
        last = None
        while not self._ended.is_set():
            answer = await ask()
            yield _json(answer) if answer is not None and answer != last else None
            last = answer
            await self._pause(period)
        if self._is_beside and (answer := await ask_last()) is not None:
            yield _json(answer)

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
        if len(self._open) - sum(map(_is_gone, self._open)) >= _MOST:
            return problem(503, f"{_MOST} pages are open already; close some")
        self._open.add(request.protocol)
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            with suppress(ConnectionError):
                await self._write_all(request, response, name, messages)
            return response
        finally:
            self._open.discard(request.protocol)

    async def _write_all(
        self, request: web.Request, response: web.StreamResponse, name: str, messages: AsyncIterator[bytes | None]
    ) -> None:
        clock = asyncio.get_running_loop().time
        written = clock()
        about = b"event: beside\ndata: %s\n\n" % self._about if self._is_beside else b""
        async for message in messages:
            if _is_gone(request.protocol):  # else only the next write would show it
                return
            if message is not None:
                data = b"event: %s\ndata: %s\n\n" % (name.encode(), message)
                await response.write(data + about)
                about, written = b"", clock()
                await self._pause(len(data) / _SPEED)
            elif clock() >= written + _PING:
                await response.write(b": ping\n\n")
                written = clock()
        if self._is_beside:
            await response.write(b"event: bye\ndata: %s\n\n" % self._about)

    async def _pause(self, seconds: float) -> None:
        """Wait some seconds, or until the server ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()


def _is_gone(connection: web.RequestHandler) -> bool:
    """Return whether a page has closed its connection."""
    return connection.transport is None or connection.transport.is_closing()


async def _poll_last(watch: JobWatch) -> None:
    """Read a job until its program has closed the history, or for a second if that is still open."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _LAST
    await asyncio.sleep(watch.period)  # what was just read is not read again
    await watch.poll()
    while watch.followed.job.is_running and clock() < deadline:
        await asyncio.sleep(watch.period)
        await watch.poll()


async def _last_of_worker(watch: JobWatch, number: int) -> Any:
    await _poll_last(watch)
    return await known_worker(watch, number)


async def _nothing() -> None:
    """Return that there is nothing new."""


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
