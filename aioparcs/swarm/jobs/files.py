"""
The files of a submitted runner: a volume on the leader's own node, in the place of the runner's folder.

Docker writes and reads a volume through a container that has it, on the node of both; the container need not run. So
the runner is placed on that node, its folder is a volume that begins as a copy of the image's, and a container that is
never started holds the volume: what the runner has written is still there when it has ended, however it did.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import aiohttp

from aioparcs import deadlines
from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.client import SwarmClient, wait_until
from aioparcs.swarm.docker.credentials import pull_auth_header
from aioparcs.swarm.docker.labels import FETCH, FILES, RUNNER, runner_identity, stack
from aioparcs.swarm.docker.records import Record
from aioparcs.swarm.docker.task_state import node_names
from aioparcs.swarm.jobs.view import KEPT

__all__ = ["FileVolume", "JobFiles", "find_holders", "job_of_holder", "remove_files"]


class FileVolume(NamedTuple):
    """
    The volume with a runner's files.

    Attributes:
        name: its name.
        folder: where it is in the runner's container.
        node: the ID of the node that has it.
    """

    name: str
    folder: str
    node: str


class JobFiles:
    """
    The files of one job's runner.

    Args:
        swarm: the leader.
        job: the job's name.
        volume: the volume.

    Attributes:
        volume: the same.
        holder: the name of the container that holds it.
    """

    def __init__(self, swarm: SwarmClient, job: str, volume: FileVolume) -> None:
        self._swarm = swarm
        self._job = job
        self.volume = volume
        self.holder = volume.name

    @classmethod
    async def create(cls, swarm: SwarmClient, job: str, image: str, fetch: Iterable[str] = ()) -> JobFiles:
        """
        Create the volume, with the files of the runner's image. If this fails, the caller removes the job.

        Args:
            swarm: the leader.
            job: the job's name.
            image: the runner's image.
            fetch: the names of the files to fetch, for `SwarmJob.fetch`.

        Raises:
            ClusterError: the leader's node takes no containers, the image has no folder for files, or Docker refuses.
        """
        node = await _node(swarm)
        folder = await swarm.images.working_folder(image, await asyncio.to_thread(pull_auth_header, image))
        if folder == "/":
            raise ClusterError(
                swarm.leader.shown, f"{image} has no folder for files", "name one: WORKDIR in its Dockerfile"
            )
        files = cls(swarm, job, FileVolume(f"{stack(job)}_files", folder, node))
        creating = asyncio.ensure_future(files._create(image, json.dumps(list(fetch))))
        try:
            await asyncio.shield(creating)
        except asyncio.CancelledError:
            # Docker goes on all the same, and a caller that now removes the job must find what is created.
            await asyncio.gather(creating, return_exceptions=True)
            raise
        return files

    @classmethod
    def of_holder(cls, swarm: SwarmClient, holder: Record) -> JobFiles:
        """Return the files that a container holds, which `find_holders` has found."""
        mount = next(mount for mount in holder["Mounts"] if mount["Type"] == "volume")
        job = job_of_holder(holder)
        files = cls(swarm, job, FileVolume(mount["Name"], mount["Destination"], ""))
        files.holder = holder["Id"]
        return files

    async def _create(self, image: str, fetch: str) -> None:
        labels = {FILES: self._job, FETCH: fetch, RUNNER: runner_identity()}
        await self._swarm.volumes.create(self.volume.name, labels)
        await self._swarm.volumes.create_holder(self.holder, image, self.volume.name, self.volume.folder, labels)

    async def write(self, tar: Iterator[bytes]) -> None:
        """
        Unpack a tar in the runner's folder, while it is made.

        Raises:
            OSError: making it has failed.
            ClusterError: the leader can't be reached or has no room.
        """
        await self._swarm.volumes.write(self.holder, self.volume.folder, tar)

    def read(self, name: str) -> AbstractAsyncContextManager[aiohttp.StreamReader | None]:
        """
        Open a file or folder in the runner's folder, as a tar; provide None if there is none of that name.

        Raises:
            ClusterError: the leader can't be reached.
        """
        return self._swarm.volumes.read(self.holder, f"{self.volume.folder}/{name}")

    async def keep(self) -> str:
        """
        Keep the files when the job is gone, until its name is given to ``aioparcs rm``; return the container with them.

        Raises:
            ClusterError: the leader can't be reached.
        """
        kept = f"{stack(self._job)}{KEPT}"
        await self._swarm.volumes.rename_holder(self.holder, kept)
        self.holder = kept
        return kept


async def find_holders(swarm: SwarmClient, job: str | None = None) -> list[Record]:
    """Return the containers of the leader's node that hold files of one job, or of all."""
    return await swarm.volumes.holders(FILES if job is None else f"{FILES}={job}")


def job_of_holder(holder: Record) -> str:
    """Return the job whose files a container holds."""
    return str(holder["Labels"][FILES])


async def remove_files(swarm: SwarmClient, job: str) -> list[str]:
    """
    Remove a job's files, when its runner has ended; return the names of volumes.

    Raises:
        ClusterError: the leader can't be asked, or a container still uses them.
    """
    holders = await find_holders(swarm, job)
    for holder in holders:
        await swarm.volumes.remove_holder(holder["Id"])
    name = f"{stack(job)}_files"
    if not await wait_until(lambda: swarm.volumes.remove(name), deadlines.CONTAINERS_STOP):
        reason = f"the volume {name} is still in use"
        raise ClusterError(swarm.leader.shown, reason, f"remove it: docker volume rm {name}")
    return [name] if holders else []


async def _node(swarm: SwarmClient) -> str:
    """Return the ID of the leader's own node, if it takes containers."""
    node = str((await swarm.info())["Swarm"]["NodeID"])
    nodes = await swarm.nodes()
    for one in nodes:
        state = one["Spec"]["Availability"]
        if one["ID"] == node and state != "active":
            name = node_names(nodes).get(node, node)
            reason = f"--send and --fetch need the runner on {name}, which takes no containers ({state})"
            advice = f"docker node update --availability active {name}, or name another manager in LEADER_URL"
            raise ClusterError(swarm.leader.shown, reason, advice)
    return node
