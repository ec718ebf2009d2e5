"""The requests that aiodocker has no public method for, or whose streams it leaves open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any

import aiohttp
from aiodocker import Docker, DockerError

from aioparcs.swarm.docker.endpoint import STREAM

__all__ = ["Messages", "inspect_image", "published_digest", "stream"]

Messages = AsyncIterator[dict[str, Any]]


async def inspect_image(docker: Docker, image: str) -> dict[str, Any] | None:
    """Return the leader's description of an image that it has, None if it has none of that name."""
    try:
        return await docker.images.inspect(image)
    except DockerError as error:
        if error.status == 404:
            return None
        raise


async def published_digest(docker: Docker, image: str, headers: Mapping[str, str]) -> str | None:
    """Return an image's digest, which the leader asks its registry for; None if there is none, or no answer."""
    try:
        found = await docker._query_json(f"distribution/{image}/json", headers=headers)
    except DockerError as error:
        if error.status == 900:
            raise
        return None  # not there, or not known: pushing will report why
    except TimeoutError:
        return None  # the leader waits for the registry
    return str(found["Descriptor"]["digest"])


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
