"""A server of the page and of JSON that a test chooses: it restarts, resets and refuses at will."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

from tests.web.page.job_data import Json
from tests.web.page.test_assets import PAGE

__all__ = ["PageServer"]

_CSP = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_TOKEN = "a-token"
_CLOSE = object()
_PERIOD = 0.05  # seconds between two looks at an answer that is streamed


class PageServer:
    """
    A running server.

    Attributes:
        jobs: the list of all jobs.
        snapshots: the first message on each job.
        answers: what other URLs below /api/ are answered with, by path.
        posted: the paths and bodies of POST requests.
        cookie: the value that is let in.
    """

    def __init__(self) -> None:
        self.jobs: list[Json] = []
        self.snapshots: dict[str, Json] = {}
        self.answers: dict[str, Any] = {}
        self.posted: list[tuple[str, Any]] = []
        self.cookie = "1"
        self.port = 0
        self._streams: dict[str, list[asyncio.Queue[Any]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, view: str = "#/jobs") -> str:
        """Return the address of a view."""
        return f"{self.origin}/{view}"

    @property
    def login(self) -> str:
        """The address with the token."""
        return self.url(f"#token={_TOKEN}")

    def __enter__(self) -> "PageServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._open())

    def stop(self) -> None:
        """End all streams and close the port."""
        if self._loop is None:
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def publish(self, path: str, message: Json) -> None:
        """Send a message to all who listen to a stream, such as "jobs" or "jobs/ID"."""

        async def put() -> None:
            for queue in self._streams.get(path, []):
                queue.put_nowait(message)

        self._run(put())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _open(self) -> None:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._index)
        app.router.add_static("/page", PAGE)
        app.router.add_get("/api/{path:.*}", self._get)
        app.router.add_post("/api/{path:.*}", self._post)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        for queues in self._streams.values():
            for queue in queues:
                queue.put_nowait(_CLOSE)
        await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        needs = request.path.startswith("/api/") and request.path != "/api/login"
        if needs and request.cookies.get("aioparcs") != self.cookie:
            return web.json_response({"error": "There is no valid cookie."}, status=401)
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _CSP
        return response

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if path == "jobs":
            return await self._stream(request, path, "jobs", {"jobs": self.jobs})
        if path.removeprefix("jobs/") in self.snapshots:
            return await self._stream(request, path, "job", self.snapshots[path.removeprefix("jobs/")])
        if path in self.answers and "text/event-stream" in request.headers.get("Accept", ""):
            return await self._repeat(request, path)
        if path in self.answers:
            return web.json_response(self.answers[path])
        return web.json_response({"error": f"There is no {path}."}, status=404)

    async def _stream(
        self, request: web.Request, path: str, name: str, first: Json, queue: "asyncio.Queue[Any] | None" = None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        queue = queue or asyncio.Queue()
        self._streams.setdefault(path, []).append(queue)
        try:
            message: Any = first
            while message is not _CLOSE:
                await response.write(f"retry: 100\nevent: {name}\ndata: {json.dumps(message)}\n\n".encode())
                message = await queue.get()
        except ConnectionError:
            pass
        finally:
            self._streams[path].remove(queue)
        return response

    async def _repeat(self, request: web.Request, path: str) -> web.StreamResponse:
        """Stream an answer whenever the test has changed it."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        name, last = "cluster" if path == "cluster" else "worker", json.dumps(self.answers[path])

        async def watch() -> None:
            nonlocal last
            while True:
                await asyncio.sleep(_PERIOD)
                if (text := json.dumps(self.answers[path])) != last:
                    queue.put_nowait(json.loads(text))
                    last = text

        watching = asyncio.create_task(watch())
        try:
            return await self._stream(request, path, name, self.answers[path], queue)
        finally:
            watching.cancel()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        path, body = request.match_info["path"], await request.json()
        if path == "login":
            if body != {"token": _TOKEN}:
                return web.json_response({"error": "This is not the token."}, status=401)
            response = web.json_response({"ok": True})
            response.set_cookie("aioparcs", self.cookie, httponly=True, samesite="Strict")
            return response
        self.posted.append((path, body))
        answer = self.answers.get(path, {"ok": True, "text": f"{path.rsplit('/', 1)[-1]}: done"})
        return web.json_response(answer, status=409 if "error" in answer else 200)
