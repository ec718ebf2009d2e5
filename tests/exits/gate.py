"""The gate to a leader: it numbers the requests of a runner, and one of them meets a fault."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
from aiohttp import web

__all__ = ["WAYS", "Answer", "Gate", "Runner", "forward", "serve"]

Answer = Callable[[web.Request, bytes], Awaitable[web.Response]]

WAYS = {
    "kill before": "the runner is killed, and Docker never gets the request",
    "kill after": "the runner is killed, and Docker has done what was requested",
    "stop": "the runner gets Ctrl-C, and Docker does what was requested a while later",
    "cut before": "the connection is lost, and Docker never gets the request",
    "cut after": "the connection is lost, and Docker has done what was requested",
    "lose": "the leader is lost from then on, until the runner has ended",
}
_LATE = 0.4  # seconds by which Docker takes longer than the runner that gives up


class Runner(Protocol):
    """The process of a runner."""

    @property
    def returncode(self) -> int | None: ...

    def send_signal(self, number: int, /) -> None: ...


class Gate:
    """
    Passes requests on, and has a fault happen at one of them.

    Args:
        answer: answers a request as the leader does.
        way: one of `WAYS`, "" for no fault.
        step: the request that meets it, as in `steps`.

    Attributes:
        steps: the requests so far: what each asks for, and the how many-th of its kind it is.
        process: to be set to the runner.
        met: whether the request came.
    """

    def __init__(self, answer: Answer, way: str = "", step: str = "") -> None:
        self.steps: list[str] = []
        self.process: Runner | None = None
        self.met = False
        self._answer = answer
        self._way = way
        self._step = step
        self._counts: Counter[str] = Counter()
        self._late: asyncio.Future[web.Response] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        body = await request.read()
        kind = kind_of(request)
        self._counts[kind] += 1
        self.steps.append(f"{kind} {self._counts[kind]}")
        is_lost = self.met and self._way == "lose" and self.process and self.process.returncode is None
        if (self.steps[-1] != self._step or self.met) and not is_lost:
            return await self._answer(request, body)
        self.met = True
        fault, _, moment = self._way.partition(" ")
        if fault == "stop":
            self._signal(signal.SIGINT)
            self._late = asyncio.ensure_future(self._answer_late(request, body))
            return await asyncio.shield(self._late)
        if moment == "after":
            await self._answer(request, body)
        if fault == "kill":
            self._signal(signal.SIGKILL)
        if request.transport:
            request.transport.abort()
        return web.Response(status=500)

    async def settle(self) -> None:
        """Wait until the leader has done what it takes its time for."""
        if self._late:
            await asyncio.wait([self._late])

    async def _answer_late(self, request: web.Request, body: bytes) -> web.Response:
        await asyncio.sleep(_LATE)
        return await self._answer(request, body)

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            self.process.send_signal(number)


def kind_of(request: web.Request) -> str:
    """Return what a request asks for, without the names of what it is about."""
    path = re.sub(r"^/v[\d.]+", "", request.path)
    first, *rest = path.strip("/").split("/")
    about = [one if one in ("create", "json", "logs") else "*" for one in rest]
    return f"{request.method} /{'/'.join([first, *about])}"


@asynccontextmanager
async def serve(gate: Gate) -> AsyncIterator[str]:
    """Serve a gate; gives its address, for ``LEADER_URL``."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", gate.handle)
    server = web.AppRunner(application, shutdown_timeout=5.0)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        yield f"tcp://127.0.0.1:{server.addresses[0][1]}"
    finally:
        await server.cleanup()


@asynccontextmanager
async def forward(leader_url: str) -> AsyncIterator[Answer]:
    """Open a client of a real leader; gives what passes requests on to it."""
    async with aiohttp.ClientSession(leader_url.replace("tcp:", "http:")) as client:

        async def answer(request: web.Request, body: bytes) -> web.Response:
            passed = {name: value for name, value in request.headers.items() if name.startswith(("X-", "Content-Type"))}
            async with client.request(request.method, request.path_qs, data=body, headers=passed) as response:
                data = await response.read()
                kind = response.headers.get("Content-Type", "application/json")
                return web.Response(body=data, status=response.status, headers={"Content-Type": kind})

        yield answer
