"""The swarm engine: launchers are containers, the replicas of Swarm services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

from aioparcs import deadlines
from aioparcs.address import ORIGINAL_PORT, Address
from aioparcs.ending import in_full
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.errors import ClusterError, StartError
from aioparcs.events import Notice
from aioparcs.swarm.docker.client import SwarmClient, open_swarm, wait_until
from aioparcs.swarm.docker.credentials import pull_auth_header
from aioparcs.swarm.docker.endpoint import status_of
from aioparcs.swarm.docker.labels import ROLE, RUNNER, Role, job_labels, runner_identity, stack
from aioparcs.swarm.docker.records import SwarmNetwork
from aioparcs.swarm.docker.secrets import create_secret, find_secrets, secret_name
from aioparcs.swarm.docker.service import LOG_DRIVER, READABLE
from aioparcs.swarm.docker.task_state import has_container
from aioparcs.swarm.engine.advertise import AdvertisedAddress, find_advertised_address, original_leader, subnets
from aioparcs.swarm.engine.images import Images
from aioparcs.swarm.engine.monitor import TaskMonitor
from aioparcs.swarm.engine.placement import (
    check_free_addresses,
    find_gpu_kind,
    find_networks,
    network_name,
    with_threads,
    workers_for_cpus,
    workers_per_container,
)
from aioparcs.swarm.engine.program import ContainerProgram, container_program
from aioparcs.swarm.engine.service_spec import ServiceContext, check_options, service_spec
from aioparcs.swarm.engine.services import JobServices
from aioparcs.swarm.jobs.jobs import has_no_containers
from aioparcs.transport import Listener, listen

__all__ = ["SwarmEngine"]

# Seconds between two tries to remove what a job has on the Swarm.
_REMOVAL_PAUSE = 0.5
# Seconds beyond `LEADER_RETURN` for the answer to a try that has begun: a leader that was stopped goes on.
_GRACE = 5.0


class SwarmEngine:
    """
    Runs launchers as containers on a Docker Swarm.

    Each request is one Swarm service, whose replicas connect to the runner: no name needs to be looked up, and no port
    opened on a worker. The runner may be inside the overlay network or outside of it, as long as the nodes
    can reach its address.

    Args:
        leader: the address of a manager's Docker API; by default ``LEADER_URL``, else the address that Docker's own
            command line would use.
        overlay: whether workers join the overlay network (``PARCS_NETWORK``, ``parcs`` by default), which peer
            channels need; by default they do if the runner is on it. Without it they start twice as fast.
    """

    def __init__(self, leader: str | None = None, *, overlay: bool | None = None) -> None:
        self._leader = leader
        self._overlay = overlay
        self._resources = AsyncExitStack()
        self._swarm: SwarmClient
        self._images: Images
        self._monitor: TaskMonitor | None = None
        self._job: Job
        self._advertised: AdvertisedAddress
        self._node_address = ""  # the leader's, as other nodes know it
        self._network: SwarmNetwork | None = None
        self._secret: tuple[str, str] | None = None
        self._secrets: Mapping[str, tuple[str, str]] = {}  # of the job's user
        self._created: list[str] = []  # the names of those that are removed with the job
        self._launchers = 0
        self._services: JobServices

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        """
        Find the leader, and listen where the nodes can reach this process.

        Raises:
            ClusterError: the leader can't be reached, or is no manager of a Swarm.
            SettingError: an address in the environment makes no sense.
        """
        self._swarm = await self._resources.enter_async_context(open_swarm(self._leader, check=False))
        info = await self._swarm.check_manager()
        self._network = await self._swarm.networks.find(network_name())
        self._node_address = info["Swarm"]["NodeAddr"]
        self._advertised = find_advertised_address(self._swarm.leader, self._network, self._node_address)
        listener = await listen(Address("tcp", "0.0.0.0", self._advertised.port), on_connect, tls=tls)
        listener.address = listener.address._replace(host=self._advertised.host)
        return listener

    async def open(self, job: Job) -> None:
        """Prepare a job: create secrets with its token and those of its user, and start watching its tasks."""
        self._job, leader = job, self._swarm.leader
        if leader.is_open:
            text = f"{leader.shown} gives root on the cluster to anyone who can reach it; safer: {leader.safer}"
            self._warn(text)
        self._images = Images(self._swarm, job.folders)
        self._services = JobServices(self._swarm)
        self._monitor = TaskMonitor(self._swarm, job.id, job.events)
        name, labels = f"{stack(job.id)}_token", {**job_labels(job.id), RUNNER: runner_identity()}
        # In full: Docker goes on with a request that is given up, and `aclose` would look for the secret too early.
        self._created.append(name)
        self._secret = await in_full(self._swarm.create_secret(name, job.token.hex(), labels)), name
        self._secrets = await self._create_secrets(job)

    async def _create_secrets(self, job: Job) -> Mapping[str, tuple[str, str]]:
        """Create the secrets that its user has given to the runner; a submitted job's are there already."""
        found = await find_secrets(self._swarm, job.id)
        for name, value in job.secrets.items():
            if name not in found:
                self._created.append(secret_name(job.id, name))
                found[name] = await in_full(create_secret(self._swarm, job.id, name, value))
        return found

    async def default_size(self, spec: WorkerSpec) -> int:
        """
        Return how many workers there are CPUs for on the nodes that take tasks, at least 1.

        Raises:
            StartError: the leader can't be reached.
        """
        if self._monitor is None:  # outside of the runner's block, where no worker can be started
            return 1
        try:
            return workers_for_cpus(spec, await self._swarm.nodes())
        except ClusterError as error:
            raise StartError(spec.module, str(error)) from error

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        """
        Place workers, as one Swarm service.

        Cancelling it still creates the service, which `aclose` removes.

        Raises:
            StartError: there is no such image or network, too few addresses, or Docker refuses the specification.
            SettingError: ``swarm=`` makes no sense.
        """
        check_options(spec)
        try:
            nodes = await self._swarm.nodes()
            if not spec.per_container:
                spec = workers_per_container(spec, count, nodes)
            containers = -(-count // spec.per_container)
            slot, self._launchers = self._launchers, self._launchers + containers
            image = await self._find_image(spec)
            context = await self._context(spec, image, slot, range(first, first + count))
            if spec.wire != "v1":
                spec = with_threads(spec, count, nodes, dict(context.program.variables))
            headers = await asyncio.to_thread(pull_auth_header, image)
            service = await self._services.create(slot, service_spec(spec, containers, context), headers)
        except ClusterError as error:
            raise StartError(spec.module, str(error)) from error
        placements = tuple(_placements(spec, slot, first, count))
        group = WorkerGroup(spec, first, count, placements, needs_files=bool(spec.files))
        assert self._monitor
        self._monitor.add(service, group)
        return group

    def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        """Return an iterator over the states of the group's launchers, from their tasks."""
        assert self._monitor
        return self._monitor.states(self._services[group.placements[0].launcher])

    async def address(self, launcher: int) -> Address:
        """
        Wait until a service of the original PARCS runs, and return its address in the overlay.

        Raises:
            StartError: it has failed.
        """
        assert self._monitor
        task = await self._monitor.wait_task(launcher)
        for attachment in task.get("NetworksAttachments") or ():
            if self._network and attachment["Network"]["ID"] == self._network["Id"]:
                return Address("tcp", attachment["Addresses"][0].partition("/")[0], ORIGINAL_PORT)
        raise StartError("service", str(task["Status"].get("Err") or "it has no address in the overlay network"))

    def poll_now(self) -> None:
        """Poll the leader at once."""
        if self._monitor:
            self._monitor.poll_now()

    async def stop(self, group: WorkerGroup) -> None:
        """Remove the group's service; its containers end within seconds."""
        await self._services.remove(group.placements[0].launcher)

    async def release(self, group: WorkerGroup) -> None:
        """Remove the group's service, which is of no more use, and forget it."""
        await self.stop(group)
        self._services.forget(group.placements[0].launcher)

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        """Return the last lines that a launcher itself printed, from Docker's log of its task."""
        task = self._monitor.task(launcher) if self._monitor else None
        if task is None or not has_container(task):
            return ()
        try:
            lines = await self._swarm.container_lines(task["ID"], tail=str(self._job.settings.last_lines))
        except ClusterError as error:
            reason = f"{error.reason}; {error.advice}" if error.advice else error.reason
            return (f"({reason})",)  # a help only, no reason to fail
        driver = task["Spec"].get("LogDriver", LOG_DRIVER)["Name"]
        if not lines and driver not in READABLE:
            return (f"(nothing can be read back from the log driver {driver!r}, if it printed anything)",)
        return tuple(line.text for line in lines)

    async def aclose(self) -> None:
        """Remove the job's services, containers and secrets from the Swarm, and close the client."""
        try:
            if self._monitor:
                self._services.close()
                await self._images.aclose()
                await self._monitor.aclose()
                await self._remove()
        finally:
            await self._resources.aclose()

    async def _remove(self) -> None:
        """Remove the services and the secrets; failures are reported, so that they don't hide why the job ended."""
        job = self._job.id
        try:
            await self._remove_services()
            is_over = await wait_until(self._is_empty, deadlines.CONTAINERS_STOP)
            if not self._advertised.overlay:  # else this is a container of the job itself, and its end is awaited
                await wait_until(lambda: has_no_containers(self._swarm, job, Role.WORKER), deadlines.CONTAINERS_REMOVED)
        except ClusterError as error:
            self._warn(f"{error}; remove the job with aioparcs rm {job}")
            return
        if not is_over:
            self._warn(f"containers are still ending; see docker stack ps {stack(job)}")

    async def _remove_services(self) -> None:
        """
        Remove the services and the secrets; try again while the leader may come back, as when it is restarted.

        The time for that begins again with each that is gone: hundreds may take longer.
        """
        gone: set[str] = set()
        loop = asyncio.get_running_loop()
        failure: ClusterError | None = None

        def removed(name: str) -> None:
            if name not in gone:
                gone.add(name)
                silence.reschedule(loop.time() + deadlines.LEADER_RETURN + _GRACE)

        try:
            async with asyncio.timeout(deadlines.LEADER_RETURN + _GRACE) as silence:
                while error := await self._try_to_remove(removed):
                    if loop.time() > (silence.when() or 0.0) - _GRACE:
                        raise error
                    if not failure:
                        self._warn(f"{error}; trying again for {deadlines.LEADER_RETURN:g} s")
                    failure = error
                    await asyncio.sleep(_REMOVAL_PAUSE)
        except TimeoutError:
            silent = f"no answer for {deadlines.LEADER_RETURN + _GRACE:g} s"
            raise failure or ClusterError(self._swarm.leader.shown, silent) from None

    async def _try_to_remove(self, removed: Callable[[str], None]) -> ClusterError | None:
        """
        Remove the services and the secrets; return an error if another try may succeed.

        Raises:
            ClusterError: Docker refuses.
        """
        try:
            failures = await self._services.remove_all(removed)
            for failure in sorted(failures, key=_is_refusal):
                raise failure  # the secret of a service that is there can't be removed
            for name in self._created:
                await self._swarm.remove_secret(name)
                removed(name)
        except ClusterError as error:
            if _is_refusal(error):
                raise
            return error
        return None

    def _warn(self, text: str) -> None:
        self._job.events.publish(Notice(monotonic(), "swarm", text, is_warning=True))

    async def _is_empty(self) -> bool:
        tasks = await self._swarm.reachable_tasks(self._job.id)
        return not any(task["Spec"]["ContainerSpec"]["Labels"].get(ROLE) == Role.WORKER for task in tasks)

    def _find_image(self, spec: WorkerSpec) -> Coroutine[Any, Any, str]:
        if spec.target is not None:
            return self._images.find_program(spec.module)
        return self._images.find(spec.module, spec.folder)

    async def _context(self, spec: WorkerSpec, image: str, slot: int, workers: range) -> ServiceContext:
        original = spec.wire == "v1"
        overlay = original or (self._advertised.overlay if self._overlay is None else self._overlay)
        if original and not self._advertised.overlay:
            raise StartError(
                spec.module,
                "the original wire needs a runner that can dial its services: run it as a Swarm service on the "
                f"network {network_name()!r} (aioparcs run --on swarm)",
            )
        networks = await find_networks(self._swarm, spec, self._network if overlay else None, wanted=overlay)
        if overlay and self._network:
            await check_free_addresses(self._swarm, spec, self._network, -(-len(workers) // spec.per_container))
        return ServiceContext(
            self._job,
            image,
            slot,
            workers,
            None if original else self._secret,
            networks,
            original_leader(self._swarm.leader, self._node_address) if original else "",
            time.time() + self._job.settings.start_timeout,
            runner_identity(),
            ",".join(subnets(self._network)) if overlay and self._network else "",
            await find_gpu_kind(self._swarm, spec) if spec.gpus else "",
            ContainerProgram() if spec.target is None else container_program(spec.target),
            self._secrets,
        )


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, ClusterError) and 400 <= status_of(error) < 500


def _placements(spec: WorkerSpec, slot: int, first: int, count: int) -> list[Placement]:
    """Return the placements of workers: ``per_container`` on each launcher, the rest on the last."""
    size = spec.per_container
    # Docker keeps the limits of a container; its launcher keeps those of each worker from the others'.
    limits = {"memory": spec.memory} if spec.memory is not None and size > 1 else {}
    return [
        Placement(slot + turn, first + begin, min(size, count - begin), limits)
        for turn, begin in enumerate(range(0, count, size))
    ]
