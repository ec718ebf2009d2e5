"""The server of the page."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from aioparcs.web.assets import asset, index
from aioparcs.web.cluster import Cluster
from aioparcs.web.http.access import Access, Handler, problem
from aioparcs.web.http.connections import FIRST_REQUEST, Connections
from aioparcs.web.http.listening import Listening
from aioparcs.web.job_requests import JobRequests
from aioparcs.web.metrics import Metrics
from aioparcs.web.streams import Streams
from aioparcs.web.watches import Watches

__all__ = ["open_server"]

_BODY = 1 << 14  # bytes that a request may have
_ENDING = 2.0  # seconds that answers may take when the server ends
_KEPT, _LINGER = 30.0, 2.0  # seconds that a connection stays without a request, and for the rest of a refused one
# Loggers, which access_log=None leaves as they are: what is wrong with a request is no matter of this server's.
_SILENT = ("aiohttp.server", "aiohttp.web")
_WORKER = r"/api/jobs/{job}/workers/{worker:\d{1,9}}"
_POOL = r"/api/jobs/{job}/pools/{pool:\d{1,9}}"


@asynccontextmanager
async def open_server(
    listening: Listening,
    token: str,
    *,
    has_control: bool,
    metrics_token: str | None = None,
    log: Callable[[str], None] | None = None,
    is_beside: bool = False,
    is_kept: bool = True,
) -> AsyncIterator[None]:
    """
    Serve the page while the block runs.

    Args:
        listening: the socket, which is closed at the end.
        token: what logins need.
        has_control: whether pages may change jobs.
        metrics_token: another token, which is good for metrics alone.
        log: gets a line on each action, and the traceback of an error of the server's own; by default they are printed.
        is_beside: whether the server ends with a program, whose last state its pages are sent.
        is_kept: whether that program's history is still there afterwards.
    """
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # no request is to fill a terminal or a disk
    access = Access(listening, token, metrics_token)
    watches = Watches(has_control=has_control)
    metrics = Metrics()
    log = log or _print
    requests = JobRequests(watches, has_control=has_control, log=log)
    cluster = Cluster()
    streams = Streams(watches, cluster, is_beside=is_beside, is_kept=is_kept)
    app = _application(access, streams, cluster, requests, metrics)
    connections = Connections(access.is_known)
    app.middlewares.insert(0, connections.middleware)
    app.middlewares.insert(0, _Faults(log).middleware)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_ENDING,
        keepalive_timeout=_KEPT,
        lingering_time=_LINGER,
    )
    await runner.setup()
    try:
        assert runner.server
        server = await asyncio.get_running_loop().create_server(
            connections.protocols(runner.server),
            sock=listening.socket,
            ssl=listening.tls,
            ssl_handshake_timeout=FIRST_REQUEST if listening.tls else None,
        )
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()
        await watches.close()
        await metrics.close()


class _Faults:
    """
    Answers that the server has made an error, and reports that once for each place.

    Args:
        report: gets the traceback.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._known: set[tuple[str, int | None]] = set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, whatever comes of it."""
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = frame.filename, frame.lineno
            if place not in self._known:
                self._known.add(place)
                self._report("".join(traceback.format_exception(error)).rstrip())
            if request.writer.output_size:  # a stream has begun
                raise
            return problem(500, "this is an error of the server itself, which has printed it")


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _application(
    access: Access, streams: Streams, cluster: Cluster, requests: JobRequests, metrics: Metrics
) -> web.Application:
    app = web.Application(middlewares=[access.middleware], client_max_size=_BODY)
    app.on_response_prepare.append(access.add_headers)
    app.on_shutdown.append(streams.end)
    app.add_routes(
        [
            web.get("/", index),
            web.get("/page/{path:.+}", asset),
            web.post("/api/login", access.login),
            web.get("/api/jobs", streams.jobs, allow_head=False),
            web.get("/api/jobs/{job}", streams.job, allow_head=False),
            web.get("/api/cluster", _either(streams.cluster, cluster.answer), allow_head=False),
            web.get("/metrics", metrics.answer),
            web.get(_WORKER, _either(streams.worker, requests.worker), allow_head=False),
            web.get(f"{_WORKER}/stack", requests.stack),
            web.get("/api/jobs/{job}/where", requests.where),
            web.post("/api/jobs/{job}/{action:stop}", requests.act),
            web.post(f"{_WORKER}/{{action:kill|restart}}", requests.act),
            web.post(f"{_POOL}/{{action:resize|cancel}}", requests.act),
        ]
    )
    return app


def _either(stream: Handler, answer: Handler) -> Handler:
    """Return a handler that streams to pages, which ask for that, and answers once to others."""

    async def handler(request: web.Request) -> web.StreamResponse:
        is_page = "text/event-stream" in request.headers.get(hdrs.ACCEPT, "")
        return await (stream if is_page else answer)(request)

    return handler
