"""The requests that take a while, with Docker's messages about them: aiodocker leaves their streams open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any

import aiohttp
from aiodocker import Docker

from aioparcs.swarm.docker.endpoint import STREAM

__all__ = ["Messages", "stream"]

Messages = AsyncIterator[dict[str, Any]]


@asynccontextmanager
async def stream(
    docker: Docker,
    path: str,
    *,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    data: IO[bytes] | None = None,
) -> AsyncIterator[Messages]:
    """
    Start a request that takes a while, and provide an iterator over Docker's messages about it.

    Leaving the block before the end, by an error or by cancellation, ends it at Docker's side too.
    """
    async with docker._query(path, "POST", params=params, headers=headers, data=data, timeout=STREAM) as response:
        try:
            yield _messages(response)
        finally:
            response.close()


async def _messages(response: aiohttp.ClientResponse) -> Messages:
    """Yield the messages, one a line: aiohttp's own readline refuses long ones."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
    if rest.strip():
        yield json.loads(rest)
