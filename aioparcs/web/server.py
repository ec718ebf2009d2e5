"""The server of the page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from aioparcs.web.access import Access
from aioparcs.web.assets import asset, index
from aioparcs.web.cluster import Cluster
from aioparcs.web.connections import FIRST_REQUEST, Connections
from aioparcs.web.job_requests import JobRequests
from aioparcs.web.listening import Listening
from aioparcs.web.metrics import Metrics
from aioparcs.web.streams import Streams
from aioparcs.web.watches import Watches

__all__ = ["open_server"]

_BODY = 1 << 14  # bytes that a request may have
_ENDING = 2.0  # seconds that answers may take when the server ends
_KEPT, _LINGER = 30.0, 2.0  # seconds that a connection stays without a request, and for the rest of a refused one
_SILENT = ("aiohttp.server", "aiohttp.web")  # loggers, which access_log=None leaves as they are
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
) -> AsyncIterator[None]:
    """
    Serve the page while the block runs.

    Args:
        listening: the socket, which is closed at the end.
        token: what logins need.
        has_control: whether pages may change jobs.
        metrics_token: another token, which is good for metrics alone.
        log: gets a line on each action; by default it is printed.
        is_beside: whether the server ends with a program, whose last state its pages are sent.
    """
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # no request is to fill a terminal or a disk
    access = Access(listening, token, metrics_token)
    watches = Watches(has_control=has_control)
    metrics = Metrics()
    requests = JobRequests(watches, has_control=has_control, log=log)
    app = _application(access, Streams(watches, is_beside=is_beside), requests, metrics)
    connections = Connections(access.is_known)
    app.middlewares.insert(0, connections.middleware)
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


def _application(access: Access, streams: Streams, requests: JobRequests, metrics: Metrics) -> web.Application:
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
            web.get("/api/cluster", Cluster().answer),
            web.get("/metrics", metrics.answer),
            web.get(_WORKER, requests.worker),
            web.get(f"{_WORKER}/stack", requests.stack),
            web.get("/api/jobs/{job}/where", requests.where),
            web.post("/api/jobs/{job}/{action:stop}", requests.act),
            web.post(f"{_WORKER}/{{action:kill|restart}}", requests.act),
            web.post(f"{_POOL}/{{action:resize|cancel}}", requests.act),
        ]
    )
    return app
