"""A runner as a Swarm service: on a manager, with its Docker's socket, so that no port of the Docker API is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

from aioparcs import deadlines
from aioparcs.ending import in_full
from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.credentials import configuration, pull_auth_header
from aioparcs.swarm.docker.labels import RUNNER, Role, job_labels, runner_identity, service_labels, stack
from aioparcs.swarm.docker.logs import LogLine
from aioparcs.swarm.docker.records import Mount, ServiceSpec, SwarmTask
from aioparcs.swarm.docker.secrets import create_secret, mount_secrets
from aioparcs.swarm.docker.service import build_container, build_service, escape_template, mount_secret
from aioparcs.swarm.docker.task_state import launcher_state, newest
from aioparcs.swarm.engine.placement import network_name
from aioparcs.swarm.jobs.files import FileVolume
from aioparcs.swarm.jobs.follow import container_lines

__all__ = ["RunnerService", "Submission"]

_SOCKET = "/var/run/docker.sock"
# Where the runner finds the registries' credentials, for the private images of its workers.
_CONFIGURATION = "/run/secrets/docker"
# What root has in a container: enough for files of any owner, and to run programs as other users, but not for devices,
# raw sockets, and other namespaces.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
_UNUSUAL = 3.0  # seconds after which users want to know why it has not begun


class Submission(NamedTuple):
    """
    A runner to submit.

    Attributes:
        job: the job's name.
        module: the runner's module.
        image: its image.
        variables: its environment.
        arguments: the command of its container; the image's own if empty.
        deadline: when it should run, in seconds since 1970.
        images: images that the job may start: it gets the credentials for their registries that are known here.
        files: the volume with its files, None if it has only those of its image.
        secrets: the secrets that it and its workers may read.
    """

    job: str
    module: str
    image: str
    variables: Mapping[str, str]
    arguments: tuple[str, ...]
    deadline: float
    images: tuple[str, ...] = ()
    files: FileVolume | None = None
    secrets: Mapping[str, bytes] = {}

    def spec(
        self,
        network: str,
        socket: str,
        registries: tuple[str, str] | None = None,
        secrets: Mapping[str, tuple[str, str]] = {},
    ) -> ServiceSpec:
        """
        Return Docker's specification of the service.

        It is root in its container, which the socket belongs to: a user of that socket is root on the cluster anyway.

        Args:
            network: the ID of the overlay network.
            socket: the path of Docker's socket on the manager.
            registries: the ID and the name of the secret with the credentials of registries, None without any.
            secrets: those that its user has given to the job.
        """
        variables = {
            **({"DOCKER_CONFIG": _CONFIGURATION} if registries else {}),
            **self.variables,
            "PARCS_RUN": self.job,
            "PARCS_ENGINE": "swarm",
            "LEADER_URL": f"unix://{_SOCKET}",
        }
        mounts: list[Mount] = [{"Type": "bind", "Source": socket, "Target": _SOCKET}]
        constraints = ["node.role==manager"]
        if self.files:
            mounts.append({"Type": "volume", "Source": self.files.name, "Target": self.files.folder})
            constraints.append(f"node.id=={self.files.node}")
        credentials = [mount_secret(registries, f"{_CONFIGURATION}/config.json", 0o400)] if registries else []
        container = build_container(
            self.image,
            stop_grace=deadlines.RUNNER_STOP,
            init=True,  # a runner is no process 1: it may start programs of its own
            command=self.arguments,
            user="0",
            env={name: escape_template(value) for name, value in variables.items()},
            mounts=mounts,
            secrets=[*credentials, *mount_secrets(secrets)],
            capabilities=_CAPABILITIES,
        )
        return build_service(
            f"{stack(self.job)}_runner",
            service_labels(self.job, Role.RUNNER, self.module, self.deadline),
            container,
            [network],
            replicas=1,
            placement={"Constraints": constraints},
        )


class RunnerService:
    """
    A submitted runner.

    Args:
        swarm: the leader.
        job: the job's name.
        service: the service's ID.
    """

    def __init__(self, swarm: SwarmClient, job: str, service: str) -> None:
        self._swarm = swarm
        self._job = job
        self._service = service
        self._task: SwarmTask | None = None

    @classmethod
    async def submit(cls, swarm: SwarmClient, submission: Submission) -> RunnerService:
        """
        Submit a runner. If this is cancelled or fails, the caller removes the job: part of it may be there.

        Raises:
            ClusterError: there is no overlay network, or Docker refuses.
        """
        network = await swarm.networks.find(network_name())
        if network is None:
            reason = f"there is no network {network_name()!r} on the Swarm"
            raise ClusterError(swarm.leader.shown, reason, "make it: aioparcs cluster init")
        url = urlsplit(swarm.leader.url)
        socket = url.path if url.scheme == "unix" else _SOCKET
        headers = await asyncio.to_thread(pull_auth_header, submission.image)
        # In full: Docker goes on with a request that is given up, and what it made then would run on without its user.
        registries = await in_full(_create_registry_secret(swarm, submission))
        job, given = submission.job, submission.secrets.items()
        secrets = {name: await in_full(create_secret(swarm, job, name, value)) for name, value in given}
        spec = submission.spec(network["Id"], socket, registries, secrets)
        return cls(swarm, job, await in_full(swarm.create_service(spec, headers)))

    async def wait_running(self, timeout: float) -> AsyncIterator[str]:
        """
        Wait until the runner runs, or has ended already; yield what its start waits for, when that takes a while.

        Args:
            timeout: seconds.

        Raises:
            ClusterError: it can't be started, or not in time.
        """
        noted, since, pause = "", monotonic(), 0.1
        while (state := await self._poll_start(since + timeout - monotonic())) == "placed":
            if monotonic() - since >= timeout:
                reason = f"the runner did not start within {timeout:g} s (PARCS_START_TIMEOUT): {self.pending_reason}"
                raise ClusterError(self._swarm.leader.shown, reason)
            if self.pending_reason != noted and monotonic() - since > _UNUSUAL:
                noted = self.pending_reason
                yield noted
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 1.0)
        if state == "failed":
            raise ClusterError(self._swarm.leader.shown, f"the runner did not start: {self.pending_reason}")

    async def _poll_start(self, timeout: float) -> str:
        """Return the state of the runner's task; ``placed`` if the leader doesn't say in time."""
        try:
            async with asyncio.timeout(timeout):
                return await self._poll()
        except (ClusterError, TimeoutError):  # it has accepted the runner, and may be unreachable for a moment
            return "placed"

    async def lines(self) -> AsyncIterator[LogLine]:
        """
        Yield the lines that the runner prints, until it has ended.

        Raises:
            ClusterError: the leader can't be asked, for a minute; the runner may well go on.
        """
        async for line in container_lines(self._swarm, self._job, self._service, 1, follow=True):
            yield line
        await self._poll()

    @property
    def exitcode(self) -> int:
        """The runner's exit code; 1 if Docker doesn't know it."""
        if self._task is None:
            return 1
        status = self._task["Status"]
        code = (status.get("ContainerStatus") or {}).get("ExitCode")
        return code if code is not None and code >= 0 and (code or status["State"] == "complete") else 1

    @property
    def pending_reason(self) -> str:
        """The reason why the runner's start waits, or has failed."""
        return launcher_state(0, self._task, {}).reason if self._task else "Docker has created no task for it yet"

    async def _poll(self) -> str:
        """Return the state of the runner's task, as a launcher's: ``placed``, ``running``, ``failed`` or ``gone``."""
        tasks = [task for task in await self._swarm.tasks(self._job) if task["ServiceID"] == self._service]
        found = newest(tasks)
        if found:
            (self._task,) = found.values()
        elif self._task:
            return "gone"  # it was removed
        return launcher_state(0, self._task, {}).state if self._task else "placed"


async def _create_registry_secret(swarm: SwarmClient, submission: Submission) -> tuple[str, str] | None:
    """Create a secret of the credentials that the runner needs, removed with the job; return its ID and its name."""
    content = await asyncio.to_thread(configuration, (submission.image, *submission.images))
    if not content:
        return None
    name = f"{stack(submission.job)}_registries"
    # With who has made it: if that dies now, the next command knows that no runner will come for it.
    labels = {**job_labels(submission.job), RUNNER: runner_identity()}
    return await swarm.create_secret(name, content, labels), name
