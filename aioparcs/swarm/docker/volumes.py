"""Volumes of the leader's own node, and the containers, never started, through which they are written and read."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiodocker import Docker, DockerError

from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.endpoint import STREAM, DockerEndpoint, cluster_errors
from aioparcs.swarm.docker.records import Record

__all__ = ["VolumeClient"]

_ABSENT, _IN_USE = 404, 409


class VolumeClient:
    """
    The part of `SwarmClient` for volumes, with its errors.

    Args:
        docker: an open client.
        leader: where it is.
    """

    def __init__(self, docker: Docker, leader: DockerEndpoint) -> None:
        self._docker = docker
        self._leader = leader

    async def create(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a volume."""
        with cluster_errors(self._leader):
            spec = {"Name": name, "Driver": "local", "Labels": dict(labels)}
            await self._docker._query_json("volumes/create", "POST", data=spec)

    async def remove(self, name: str) -> bool:
        """Remove a volume, also one that is gone already; return False if a container uses it."""
        with cluster_errors(self._leader, absent=True):
            try:
                await self._change(f"volumes/{name}", "DELETE")
            except DockerError as error:
                if error.status != _IN_USE:
                    raise
                return False
        return True

    async def create_holder(self, name: str, image: str, volume: str, folder: str, labels: Mapping[str, str]) -> None:
        """
        Create a container that is never started, which fills a new volume with the files of its image.

        Args:
            name: its name.
            image: its image, which the leader has.
            volume: the volume.
            folder: the image's folder in whose place the volume is.
            labels: its labels.
        """
        mount = {"Type": "volume", "Source": volume, "Target": folder}
        spec = {"Image": image, "Entrypoint": ["true"], "Labels": dict(labels),
                "HostConfig": {"Mounts": [mount], "NetworkMode": "none"}}  # fmt: skip
        with cluster_errors(self._leader):
            await self._docker._query_json("containers/create", "POST", params={"name": name}, data=spec)

    async def holders(self, label: str) -> list[Record]:
        """Return such containers with a label, ``name`` or ``name=value``."""
        with cluster_errors(self._leader):
            found = await self._docker.containers.list(all=True, filters=json.dumps({"label": [label]}))
        return [container._container for container in found]

    async def rename_holder(self, holder: str, name: str) -> None:
        """Rename such a container."""
        with cluster_errors(self._leader):
            await self._change(f"containers/{holder}/rename", "POST", name=name)

    async def remove_holder(self, holder: str) -> None:
        """Remove such a container, with the volumes that its image declares; one that is gone already is fine."""
        with cluster_errors(self._leader, absent=True):
            await self._change(f"containers/{holder}", "DELETE", force="1", v="1")

    async def write(self, holder: str, folder: str, tar: Iterator[bytes]) -> None:
        """
        Unpack a tar in a folder of a container, while it is made.

        Raises:
            OSError: the iterator has raised it.
            ClusterError: the leader can't be reached or has no room.
        """
        failures: list[OSError] = []

        async def chunks() -> AsyncIterator[bytes]:
            try:
                while chunk := await asyncio.to_thread(next, tar, b""):
                    yield chunk
            except OSError as error:  # aiohttp would take it for one of the connection
                failures.append(error)
                raise

        headers = {"Content-Type": "application/x-tar"}
        try:
            with cluster_errors(self._leader):
                async with self._docker._query(f"containers/{holder}/archive", "PUT", params={"path": folder},
                                               headers=headers, data=chunks(), timeout=STREAM) as response:  # fmt: skip
                    await response.read()
        except ClusterError as error:
            if failures:
                raise failures[0] from None
            if _was_reset(error):  # its answer, such as that it has no room, is lost if it comes meanwhile
                raise ClusterError(self._leader.shown, "Docker has closed the connection", "") from error
            raise

    @asynccontextmanager
    async def read(self, holder: str, path: str) -> AsyncIterator[aiohttp.StreamReader | None]:
        """Read a file or folder of a container, as a tar; provide None if it has none of that name."""
        with cluster_errors(self._leader):
            try:
                response = await self._docker._do_query(
                    f"containers/{holder}/archive", "GET", params={"path": path}, timeout=STREAM
                )
            except DockerError as error:
                if error.status != _ABSENT:
                    raise
                response = None
        try:
            with cluster_errors(self._leader):
                yield response.content if response else None
        finally:
            if response:
                response.close()

    async def _change(self, path: str, method: str, **params: str) -> None:
        async with self._docker._query(path, method, params=params) as response:
            await response.read()


def _was_reset(error: BaseException | None) -> bool:
    """Return True if an error, or one of its causes, is a connection that the other end has closed."""
    while error:
        broken = isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
        if broken or isinstance(error, aiohttp.ServerDisconnectedError):
            return True
        error = error.__cause__ or error.__context__  # aiodocker names no cause
    return False
