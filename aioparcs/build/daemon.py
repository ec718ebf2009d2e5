"""The few requests that aiodocker has no method for, or whose streams it leaves open: all that is private of it."""

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
    """Tell what the leader knows of an image that it has, None if it has none of that name."""
    try:
        return await docker.images.inspect(image)
    except DockerError as error:
        if error.status == 404:
            return None
        raise


async def published_digest(docker: Docker, image: str, headers: Mapping[str, str]) -> str | None:
    """Ask an image's registry, through the leader, for its digest; None if it is not there, or can't be asked."""
    try:
        found = await docker._query_json(f"distribution/{image}/json", headers=headers)
    except DockerError as error:
        if error.status == 900:
            raise
        return None  # not there, or no way to know: pushing will tell why
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
    Ask for something that goes on for a while, and give what Docker tells meanwhile, message by message.

    Leaving the block before the end, by an error or by being cancelled, ends it at Docker's side too.
    """
    async with docker._query(path, "POST", params=params, headers=headers, data=data, timeout=STREAM) as response:
        try:
            yield _messages(response)
        finally:
            response.close()


async def _messages(response: aiohttp.ClientResponse) -> Messages:
    """Split at the ends of lines: aiohttp's own readline refuses long ones."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
    if rest.strip():
        yield json.loads(rest)
