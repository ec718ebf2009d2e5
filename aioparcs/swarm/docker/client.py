"""
The client of a Swarm's leader: the calls of the Docker API that jobs use, with errors of this package.

All that aiodocker has no public method for is here, and nothing of a job's rules.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, cast

import aiodocker
import aiohttp

from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.endpoint import (
    DockerEndpoint,
    cluster_errors,
    find_leader,
    open_docker,
    status_of,
    to_cluster_error,
)
from aioparcs.swarm.docker.images import ImageClient
from aioparcs.swarm.docker.labels import JOB, ROLE, Role
from aioparcs.swarm.docker.logs import LogLine, parse_logs
from aioparcs.swarm.docker.networks import NetworkClient
from aioparcs.swarm.docker.records import Record, ServiceSpec, SwarmNode, SwarmSecret, SwarmService, SwarmTask
from aioparcs.swarm.docker.task_state import is_ready
from aioparcs.swarm.docker.volumes import VolumeClient

__all__ = ["SwarmClient", "open_swarm", "wait_until"]

# Requests that change something and are under way at once: Docker works on each for up to 20 s. Over ssh each is
# a process on the leader, and sshd allows ten.
_AT_ONCE, _AT_ONCE_SSH = 16, 8
_TRIES, _PAUSE = 3, 0.5
_SILENCE = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=5)  # a log may hang forever: its node is down


class SwarmClient:
    """
    The client of a Swarm's leader.

    Every method raises `ClusterError` when the leader can't be reached or refuses.

    Args:
        docker: an open client.
        leader: where it is.

    Attributes:
        docker: the client.
        leader: where it is.
        images: what is asked about images.
        networks: what is asked about networks.
        volumes: what is done with volumes of its own node.
    """

    def __init__(self, docker: aiodocker.Docker, leader: DockerEndpoint) -> None:
        self.docker = docker
        self.leader = leader
        self.images = ImageClient(docker, leader)
        self.networks = NetworkClient(docker, leader)
        self.volumes = VolumeClient(docker, leader)
        self._changes = asyncio.Semaphore(_AT_ONCE_SSH if leader.url.startswith("ssh:") else _AT_ONCE)

    # The cluster

    async def info(self) -> Record:
        """Return the leader's description of itself and of its Swarm."""
        with self._errors():
            return await self.docker.system.info()

    async def check_manager(self) -> Record:
        """
        Return the leader's description of itself, if it is a manager of a Swarm.

        Raises:
            ClusterError: it is not; the message names the managers that it knows.
        """
        info = await self.info()
        swarm = info["Swarm"]
        if swarm.get("ControlAvailable"):
            return info
        managers = ", ".join(peer["Addr"].rpartition(":")[0] for peer in swarm.get("RemoteManagers") or ())
        if managers:
            advice = f"name a manager in LEADER_URL; this node knows {managers}"
            raise ClusterError(self.leader.shown, f"{info['Name']} is a worker node of the Swarm", advice)
        advice = "make one with `docker swarm init`, or name its manager in LEADER_URL"
        raise ClusterError(self.leader.shown, f"{info['Name']} is not part of a Swarm", advice)

    async def nodes(self) -> list[SwarmNode]:
        """Return the nodes."""
        with self._errors():
            return cast("list[SwarmNode]", await self.docker.nodes.list())

    # Services

    async def create_service(self, spec: ServiceSpec | Record, headers: Mapping[str, str]) -> str:
        """
        Create a Swarm service, and return its ID.

        Its name makes it safe to ask again when no answer came: the service may exist anyway.

        Args:
            spec: the service, as Docker's API has it.
            headers: those of the request, such as the login of the image's registry.
        """
        body = json.dumps(spec)
        async with self._changes:
            for turn in range(_TRIES):
                try:
                    made = await self.docker._query_json("services/create", method="POST", data=body, headers=headers)
                    return str(made["ID"])
                except (aiodocker.DockerError, aiohttp.ClientError, TimeoutError) as error:
                    status = getattr(error, "status", 900)
                    if status == 409 and turn:  # it was made, by the request whose answer was lost
                        with self._errors():
                            return str((await self.docker.services.inspect(spec["Name"]))["ID"])
                    if status < 500 or turn + 1 == _TRIES:
                        raise to_cluster_error(self.leader, error) from error
                await asyncio.sleep(_PAUSE * 2**turn)  # Docker elects a new leader, or is overloaded
        raise AssertionError("the last try returns or raises")

    async def services(self, job: str | None = None) -> list[SwarmService]:
        """Return the Swarm services of one job, or of all."""
        with self._errors():
            return cast("list[SwarmService]", await self.docker.services.list(filters={"label": _label(job)}))

    async def remove_service(self, name: str) -> None:
        """Remove a Swarm service, by name or ID; one that is gone already is fine."""
        await self._remove(self.docker.services.delete, name)

    # Tasks

    async def tasks(self, job: str | None = None) -> list[SwarmTask]:
        """Return the tasks of one job's services, or of all jobs'; a removed service's are there until they end."""
        with self._errors():
            return cast("list[SwarmTask]", await self.docker.tasks.list(filters={"label": _label(job)}))

    async def reachable_tasks(self, job: str) -> list[SwarmTask]:
        """Return a job's tasks without those on nodes that are down: the end of these can't be seen."""
        tasks = await self.tasks(job)
        down = {node["ID"] for node in await self.nodes() if not is_ready(node)} if tasks else set()
        return [task for task in tasks if task.get("NodeID") not in down]

    async def all_tasks(self) -> list[SwarmTask]:
        """Return every task that is meant to run, also those of other programs."""
        with self._errors():
            return cast("list[SwarmTask]", await self.docker.tasks.list(filters={"desired-state": ["running"]}))

    async def containers(self, job: str, role: Role | None = None) -> list[Record]:
        """Return a job's containers on the leader itself, running or not: all, or those of one role."""
        labels = [*_label(job), *([f"{ROLE}={role}"] if role else [])]
        with self._errors():
            found = await self.docker.containers.list(all=True, filters=json.dumps({"label": labels}))
        return [container._container for container in found]

    async def container_lines(self, task: str, *, since: int = 0, tail: str = "all") -> list[LogLine]:
        """
        Return the lines that a task has printed, in order; none if it is gone.

        Docker may never end its answer, when a node is down: after five seconds of silence what has come counts.

        Args:
            task: the task.
            since: the ``time`` of a line, for it and what came later; 0 for all.
            tail: how many of the last lines, "all" for all.

        Raises:
            ClusterError: Docker can read none. A leader may be unable to after a network failure of some seconds, until
                Docker is restarted on the task's node.
        """
        moment = f"{since // 10**9}.{since % 10**9:09}"
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", "since": moment, "tail": tail}
        data = bytearray()
        with self._errors(absent=True):
            try:
                async with self.docker._query(f"tasks/{task}/logs", params=params, timeout=_SILENCE) as response:
                    async for chunk in response.content.iter_any():
                        data += chunk
            except TimeoutError:
                pass  # aiohttp has closed the connection
        lines, failure = parse_logs(bytes(data))
        if failure and not lines:
            raise ClusterError(self.leader.shown, f"the container's output can't be read: {await self._named(failure)}",
                               "restart Docker on that node when its containers may end")  # fmt: skip
        return lines

    async def _named(self, text: str) -> str:
        """Return a text of Docker's with the names of nodes in place of their IDs."""
        for node in await self.nodes():
            text = text.replace(node["ID"], node["Description"]["Hostname"])
        return text

    # Secrets

    async def create_secret(self, name: str, content: str | bytes, labels: Mapping[str, str]) -> str:
        """Create a secret of this name, with a content and labels, and return its ID."""
        data = base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
        with self._errors():
            return str((await self.docker.secrets.create(name, data, b64=True, labels=labels))["ID"])

    async def secrets(self, job: str | None = None) -> list[SwarmSecret]:
        """Return the secrets of one job, or of all."""
        with self._errors():
            return cast("list[SwarmSecret]", await self.docker.secrets.list(filters={"label": _label(job)}))

    async def remove_secret(self, secret: str) -> None:
        """Remove a secret, by name or ID; one that is gone already is fine."""
        await self._remove(self.docker.secrets.delete, secret)

    async def _remove(self, delete: Callable[[str], Awaitable[object]], name: str) -> None:
        """Remove something; try again when no answer came."""
        async with self._changes:
            for turn in range(_TRIES):
                try:
                    with self._errors(absent=True):
                        await delete(name)
                    return
                except ClusterError as error:
                    if status_of(error) < 500 or turn + 1 == _TRIES:
                        raise
                await asyncio.sleep(_PAUSE * 2**turn)

    def _errors(self, *, absent: bool = False) -> AbstractContextManager[None]:
        return cluster_errors(self.leader, absent=absent)


@asynccontextmanager
async def open_swarm(url: str | None = None, *, check: bool = True) -> AsyncIterator[SwarmClient]:
    """
    Open a client of a Swarm's leader, and close it when the block is left.

    Args:
        url: the leader's address, None for the one in ``LEADER_URL``, or else Docker's own.
        check: raise an error for a Docker that is no manager of a Swarm.

    Raises:
        ClusterError: it can't be reached, or is no manager.
        SettingError: its address makes no sense.
    """
    leader = find_leader(url)
    async with open_docker(leader) as docker:
        swarm = SwarmClient(docker, leader)
        if check:
            await swarm.check_manager()
        yield swarm


async def wait_until(condition: Callable[[], Any], timeout: float) -> bool:
    """Poll a condition, ever less often, until it holds; return False if it doesn't in time."""
    pause = 0.1
    try:
        async with asyncio.timeout(timeout):
            while not await condition():
                await asyncio.sleep(pause)
                pause = min(1.5 * pause, 1.0)
    except TimeoutError:
        return False
    return True


def _label(job: str | None) -> list[str]:
    return [JOB if job is None else f"{JOB}={job}"]
