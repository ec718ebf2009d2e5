"""The view of a job on the cluster: pure functions of Docker's services, tasks, secrets and nodes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from aioparcs.engine import LauncherState
from aioparcs.errors import signal_name
from aioparcs.swarm.docker.labels import FETCH, JOB, MODULE, PARENT, ROLE, RUNNER, WORKERS, Role
from aioparcs.swarm.docker.records import Record, SwarmSecret, SwarmService, SwarmTask
from aioparcs.swarm.docker.task_state import is_over, launcher_state, newest

EVENTS = "PARCS_EVENTS"  # the variable of a runner that names the word
KEPT = "_kept"  # the end of the name of a container with files that stay when their job is gone

__all__ = ["EVENTS", "KEPT", "Container", "SwarmJob", "created", "end_text", "job_of", "labels_of", "view"]

_STOPS = {130: "SIGINT", -2: "SIGINT", 143: "SIGTERM", -15: "SIGTERM"}  # how a runner ends that was asked to


class Container(NamedTuple):
    """
    One container of a job: a launcher, with one worker or, with ``per_container=``, several.

    Attributes:
        number: its number among the job's containers, from 0; a service's name ends with that of its first one.
        module: the module that it runs.
        service: the ID of its Swarm service.
        slot: which of the service's replicas it is, from 1.
        state: ``placed``, ``running``, ``failed`` (it never got to run) or ``gone``.
        node: the name of its node, "" as long as it has none.
        error: what it waits for, or how it ended if that wasn't well; else "".
        workers: the numbers of the workers that it was made for, as far as is known.
        parent: the number of the worker that has started these, -1 for the runner.
        exitcode: with which exit code, or minus which signal, it has ended; None if that is not known.
    """

    number: int
    module: str
    service: str
    slot: int
    state: str
    node: str
    error: str
    workers: range = range(0)
    parent: int = -1
    exitcode: int | None = None


class SwarmJob(NamedTuple):
    """
    A job.

    Attributes:
        name: its name.
        services: its Swarm services, the runner's too.
        tasks: all tasks of it, also of services that are removed already.
        secrets: its secrets.
        containers: its workers' containers, as far as Docker has made them.
        requested: how many containers were requested.
        runner: the runner's own container, if it was submitted to the cluster.
        identity: the identity of the runner's process (see `runner_identity`), "" if unknown.
        since: when it began, in seconds since 1970.
        files: the containers on the leader's node that hold its runner's files.
    """

    name: str
    services: tuple[SwarmService, ...]
    tasks: tuple[SwarmTask, ...]
    secrets: tuple[SwarmSecret, ...]
    containers: tuple[Container, ...]
    requested: int
    runner: Container | None
    identity: str
    since: float
    files: tuple[Record, ...] = ()

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that its workers run."""
        names = (labels_of(service).get(MODULE, "?") for service in self.services if not _is_runner(service))
        return tuple(sorted(set(names)))

    def children_of(self, parent: Container | None) -> list[Container]:
        """
        Return the containers whose workers were started by workers of one container.

        Args:
            parent: the container, None for those that the runner has started, or whose parent is not known.
        """
        containers = {number: one.number for one in self.containers for number in one.workers}
        wanted = parent.number if parent else None
        return [one for one in self.containers if containers.get(one.parent) == wanted]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that its containers run on, the runner's too."""
        there = [*self.containers, *([self.runner] if self.runner else [])]
        return tuple(sorted({one.node for one in there if one.state == "running" and one.node}))

    @property
    def running(self) -> int:
        """The number of its containers that run."""
        return sum(one.state == "running" for one in self.containers)

    @property
    def worker_services(self) -> tuple[SwarmService, ...]:
        """Its Swarm services without the runner's."""
        return tuple(service for service in self.services if not _is_runner(service))

    @property
    def workers_secrets(self) -> tuple[SwarmSecret, ...]:
        """Its secrets without those that the runner's Swarm service mounts."""
        if not self.runner_service:
            return self.secrets
        mounts = self.runner_service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or ()
        mounted = {mount["SecretID"] for mount in mounts}
        return tuple(secret for secret in self.secrets if secret["ID"] not in mounted)

    @property
    def runner_service(self) -> SwarmService | None:
        """The runner's Swarm service, if it was submitted to the cluster."""
        return next(filter(_is_runner, self.services), None)

    @property
    def events_word(self) -> str:
        """The word that marks events in the log of a runner that was submitted, "" if it writes none."""
        if not self.runner_service:
            return ""
        variables = self.runner_service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or ()
        return next((one.partition("=")[2] for one in variables if one.startswith(f"{EVENTS}=")), "")

    @property
    def runner_is_over(self) -> bool:
        """True if the runner was submitted to the cluster and has ended there."""
        return self.runner is not None and self.runner.state in ("failed", "gone")

    @property
    def has_kept_files(self) -> bool:
        """True if its runner's files stay until they are removed by its name: they could not be fetched."""
        return any(str(name).endswith(KEPT) for one in self.files for name in one["Names"])

    @property
    def fetch(self) -> tuple[str, ...]:
        """The names of its runner's files that its user wants back, as far as they are on the leader's node."""
        return tuple(name for one in self.files for name in json.loads(one["Labels"].get(FETCH, "[]")))

    @property
    def has_files_elsewhere(self) -> bool:
        """True if its runner's files are on the node of another leader."""
        if self.files or not self.runner_service:
            return False
        mounts = self.runner_service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Mounts") or ()
        return any(mount.get("Type") == "volume" for mount in mounts)

    def state(self, alive: bool | None) -> str:
        """
        Return its state in a word, see docs/commands.md.

        Args:
            alive: whether the process of a runner outside the cluster lives, None if that is not known here.
        """
        if self.runner_service:
            return _runner_state(self.runner)
        if self.has_kept_files and not self.services:
            return "kept"
        if alive is False:
            return "orphan"
        if self.files and not self.services:
            return "sending"
        states = {one.state for one in self.containers}
        if "running" in states:
            return "running"
        if "placed" in states or self.requested > len(self.containers):
            return "starting"
        if not self.services:
            return "idle" if self.secrets else "ending"
        return "failed" if any(one.error for one in self.containers) else "done"


def view(name: str, services: Iterable[SwarmService], tasks: Iterable[SwarmTask], secrets: Iterable[SwarmSecret],
         nodes: Mapping[str, str], files: Iterable[Record] = ()) -> SwarmJob:  # fmt: skip
    """
    Return a job, put together from Docker's records.

    Args:
        name: its name.
        services: its Swarm services.
        tasks: its tasks.
        secrets: its secrets.
        nodes: names of nodes by their IDs.
        files: the containers that hold its runner's files.
    """
    services, tasks, secrets, files = tuple(services), tuple(tasks), tuple(secrets), tuple(files)
    containers: list[Container] = []
    runner, requested = None, 0
    for service in services:
        own = [task for task in tasks if task["ServiceID"] == service["ID"]]
        found = _containers(service, own, nodes)
        if _is_runner(service):
            runner = next(iter(found), None)
            continue
        containers += found
        requested += (service["Spec"]["Mode"].get("Replicated") or {}).get("Replicas", len(found))
    records: list[SwarmService | SwarmSecret] = [*services, *secrets]
    described = (labels.get(RUNNER, "") for labels in (*map(labels_of, records), *(one["Labels"] for one in files)))
    times = [*map(created, records), *map(created, tasks), *(float(one["Created"]) for one in files)]
    containers.sort()
    identity = next(filter(None, described), "")
    return SwarmJob(name, services, tasks, secrets, tuple(containers), requested, runner, identity,
                    min(times, default=0.0), files)  # fmt: skip


def end_text(code: int | None) -> str:
    """Return why a runner has ended, by its exit code, which is 128 and a signal or minus a signal if that was why."""
    if code in _STOPS:
        return f"stopped by {_STOPS[code]}"
    if code and (code < 0 or 128 < code <= 128 + signal.SIGRTMAX):
        return f"killed by {signal_name(-code if code < 0 else code - 128)}"
    return f"exit code {code}" if code else ""


def labels_of(record: SwarmService | SwarmSecret) -> Mapping[str, str]:
    """Return the labels of a service or a secret."""
    return record["Spec"].get("Labels") or {}


def job_of(task: SwarmTask) -> str:
    """Return the name of a task's job, "" if it has none; a task's own labels are its container's."""
    container = task["Spec"].get("ContainerSpec")
    labels = container.get("Labels") if container else None
    return labels.get(JOB, "") if labels else ""


def created(record: SwarmService | SwarmTask | SwarmSecret) -> float:
    """Return the time when a record was created, in seconds since 1970."""
    return datetime.fromisoformat(record["CreatedAt"]).timestamp()


def _containers(service: SwarmService, tasks: Iterable[SwarmTask], nodes: Mapping[str, str]) -> list[Container]:
    labels = labels_of(service)
    module, parent = labels.get(MODULE, "?"), int(labels.get(PARENT, -1))
    first = service["Spec"]["Name"].rpartition("-")[2]
    begin = int(first) if first.isdecimal() else 0
    found = []
    for slot, task in sorted(newest(tasks).items()):
        state = launcher_state(begin + slot - 1, task, nodes)
        found.append(
            Container(
                state.launcher,
                module,
                service["ID"],
                slot,
                state.state,
                state.node,
                _error(state, task),
                _workers(labels.get(WORKERS, ""), slot),
                parent,
                state.exitcode,
            )
        )
    return found


def _workers(text: str, slot: int) -> range:
    """Return the numbers of the workers that a replica was made for, from the label of its service."""
    try:
        first, count, size = map(int, text.split(","))
    except ValueError:  # none, or another version's
        return range(0)
    begin = first + (slot - 1) * size
    return range(begin, min(begin + size, first + count))


def _error(state: LauncherState, task: SwarmTask) -> str:
    wanted = state.exitcode == 0 or (is_over(task) and task["DesiredState"] == "remove")
    return "" if wanted else state.reason


def _is_runner(service: SwarmService) -> bool:
    return labels_of(service).get(ROLE) == Role.RUNNER


def _runner_state(runner: Container | None) -> str:
    if runner is None or runner.state == "placed":
        return "starting"
    if runner.state == "running":
        return "running"
    if not runner.error:
        return "done"
    return "stopped" if runner.exitcode in _STOPS else "failed"
