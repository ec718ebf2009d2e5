"""Images: those that the leader has, and the digests that it asks registries for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiodocker import Docker, DockerError

from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.endpoint import STREAM, DockerEndpoint, cluster_errors

__all__ = ["ImageClient", "inspect_image", "registry_digest"]

_DIGEST = aiohttp.ClientTimeout(total=30)  # a registry that doesn't answer


async def inspect_image(docker: Docker, image: str) -> dict[str, Any] | None:
    """Return the leader's description of an image that it has, None if it has none of that name."""
    try:
        return await docker.images.inspect(image)
    except DockerError as error:
        if error.status == 404:
            return None
        raise


async def registry_digest(docker: Docker, image: str, headers: Mapping[str, str]) -> str:
    """
    Return an image's digest, which the leader asks its registry for.

    Raises:
        DockerError: it isn't there, or the registry can't be asked.
        TimeoutError: the registry doesn't answer.
    """
    found = await docker._query_json(f"distribution/{image}/json", headers=headers, timeout=_DIGEST)
    return str(found["Descriptor"]["digest"])


class ImageClient:
    """
    The part of `SwarmClient` for images, with its errors.

    Args:
        docker: an open client.
        leader: where it is.
    """

    def __init__(self, docker: Docker, leader: DockerEndpoint) -> None:
        self._docker = docker
        self._leader = leader

    async def digest(self, image: str, headers: Mapping[str, str]) -> str:
        """
        Return an image's digest, which the leader asks its registry for.

        Raises:
            ClusterError: it isn't there, or the registry can't be asked.
        """
        with cluster_errors(self._leader):
            return await registry_digest(self._docker, image, headers)

    async def is_there(self, image: str) -> bool:
        """Return whether the leader itself has an image."""
        with cluster_errors(self._leader):
            return await inspect_image(self._docker, image) is not None

    async def working_folder(self, image: str, headers: Mapping[str, str]) -> str:
        """
        Return the folder that an image's program runs in, after pulling the image.

        Nodes pull before they start a container: what the leader has under a tag may be older than what that will be.

        Raises:
            ClusterError: it can't be pulled, and the leader has none of that name.
        """
        with cluster_errors(self._leader):
            found = await inspect_image(self._docker, image)
            if found is None or "@" not in image:
                try:
                    await self._pull(image, headers)
                except (ClusterError, DockerError):
                    if found is None:
                        raise
                found = await self._docker.images.inspect(image)
        return str(found["Config"].get("WorkingDir") or "/")

    async def _pull(self, image: str, headers: Mapping[str, str]) -> None:
        """Pull an image; Docker reports an error in the last line of its answer, which has the status of a success."""
        params = {"fromImage": image}
        if "@" not in image and ":" not in image.rpartition("/")[2]:
            params["tag"] = "latest"
        last = b""
        async with self._docker._query(
            "images/create", "POST", params=params, headers=headers, timeout=STREAM
        ) as answer:
            async for chunk in answer.content.iter_any():
                last = (last + chunk).rstrip().rpartition(b"\n")[2]
        if error := json.loads(last or b"{}").get("error"):
            raise ClusterError(self._leader.shown, f"{image} can't be pulled: {error}")
