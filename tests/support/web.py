"""The server of the page in the test's own process, with jobs written by hand, and requests to it."""

import asyncio
import fcntl
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from aioparcs.recording.store import store_folder
from aioparcs.web.http.listening import Listening, listen
from aioparcs.web.server import open_server
from tests.support.live_client import LiveClient
from tests.support.recordings import recording, write_recording

__all__ = [
    "TOKEN",
    "Page",
    "control_socket",
    "follow",
    "history",
    "open_page",
    "read_stream",
    "running",
    "write_history",
]

_NAMES = {2: "jobs", 3: "job", 5: "worker"}  # of the events of a stream, by the parts of its path
TOKEN = "the-token-of-the-tests"


class Page(NamedTuple):
    """
    A server, and a client that has logged in.

    Attributes:
        url: its address, without an end.
        client: the client.
        lines: what the server has logged.
    """

    url: str
    client: aiohttp.ClientSession
    lines: list[str]

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status of an answer, and its JSON."""
        async with self.client.get(self.url + path, **options) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status of an answer to a request as the page makes it, and its JSON."""
        own = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"} | headers
        async with self.client.post(self.url + path, json={} if body is None else body, headers=own) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def open_page(
    *, control: bool = False, listening: Listening | None = None, metrics_token: str | None = None
) -> AsyncIterator[Page]:
    """Serve the page on a free port, and log in."""
    listening = listening or listen(port=0)
    url, lines = listening.url.removesuffix("/"), list[str]()
    async with open_server(listening, TOKEN, has_control=control, metrics_token=metrics_token, log=lines.append):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), read_bufsize=1 << 24) as client:
            page = Page(url, client, lines)
            assert await page.post("/api/login", {"token": TOKEN}) == (200, {"ok": True})
            yield page


async def read_stream(page: Page, path: str) -> AsyncGenerator[Any, None]:
    """Yield the JSON of the events of a stream, None for a comment, until it ends."""
    async with page.client.get(page.url + path, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        while not answer.content.at_eof():
            text = (await answer.content.readuntil(b"\n\n")).decode().removesuffix("\n\n")
            if not text:
                return
            if text.startswith(":"):
                yield None
            else:
                name, data = text.split("\n")
                assert name == f"event: {_NAMES[path.count('/')] if 'cluster' not in path else 'cluster'}"
                yield json.loads(data.removeprefix("data: "))


async def follow(page: Page, path: str, client: LiveClient) -> None:
    """Apply the messages about a job until the task is cancelled."""
    async for message in read_stream(page, path):
        client.apply(message)


def history(name: str) -> Path:
    """Return the path of a history in the user's folder."""
    folder = store_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{name}.jsonl"


def write_history(name: str, *, workers: int = 4, spans: int = 20, **options: Any) -> Path:
    """Write the history of a program that has ended."""
    return write_recording(history(name), recording(workers, spans, **options))


@contextmanager
def running(path: Path) -> Iterator[None]:
    """Lock a history as its program does."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def control_socket(path: Path, answer: Any) -> AsyncIterator[list[Any]]:
    """Answer requests beside a history as its program does, always alike; provide the list of requests."""
    requests: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(json.loads(await reader.readline()))
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    socket = path.with_suffix(".sock")
    async with await asyncio.start_unix_server(serve, socket):
        yield requests
    socket.unlink(missing_ok=True)
