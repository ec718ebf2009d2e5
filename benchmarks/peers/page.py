"""
A page that is open: ``MODULE ADDRESS``, the address that ``aioparcs ui`` has printed.

It follows the job that runs, as a browser does, and prints ``ready`` when it has seen it. Then each line on its input
is answered by the number of the job's calls that it knows of. The end of its input ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

_LONGEST = 1 << 24  # bytes of a message: the first one about many workers has all of them


class _Page:
    """What the page knows."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._url = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Authorization": f"Bearer {parse_qs(parts.fragment)['token'][0]}"}
        self.calls = 0
        self.is_ready = asyncio.Event()

    async def follow(self) -> None:
        """Follow the job that runs until this is cancelled."""
        async with aiohttp.ClientSession(self._url, headers=self._headers, read_bufsize=_LONGEST) as client:
            job = await self._running(client)
            async for message in _messages(client, f"/api/jobs/{job}"):
                self.calls = message.get("overview", {}).get("calls", self.calls)
                self.is_ready.set()

    async def _running(self, client: aiohttp.ClientSession) -> str:
        async for message in _messages(client, "/api/jobs"):
            for row in message["jobs"]:
                if row["state"] == "running":
                    return str(row["id"])
        raise SystemExit("the server has ended")


async def _messages(client: aiohttp.ClientSession, path: str) -> AsyncIterator[dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with client.get(path, timeout=timeout) as answer:
        answer.raise_for_status()
        while data := await answer.content.readuntil(b"\n\n"):
            if data.startswith(b"event:"):
                yield json.loads(data.partition(b"\ndata: ")[2])


async def _main(address: str) -> None:
    page = _Page(address)
    following = asyncio.create_task(page.follow())
    ready = asyncio.create_task(page.is_ready.wait())
    await asyncio.wait([ready, following], return_when=asyncio.FIRST_COMPLETED)
    print("ready" if ready.done() else "failed", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        if following.done():
            await following  # it has failed
        print(page.calls, flush=True)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
