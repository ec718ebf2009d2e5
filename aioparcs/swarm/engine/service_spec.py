"""The specification of a Swarm service of workers: pure functions from that of workers to Docker's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aioparcs import deadlines
from aioparcs.engine import Job, WorkerSpec
from aioparcs.errors import SettingError
from aioparcs.swarm.docker.labels import PARENT, WORKERS, Role, service_labels, stack
from aioparcs.swarm.docker.records import Record, ServiceSpec
from aioparcs.swarm.docker.secrets import mount_secrets
from aioparcs.swarm.docker.service import LOG_DRIVER, build_container, build_service, escape_template, mount_secret
from aioparcs.swarm.engine.program import ContainerProgram

__all__ = [
    "LAUNCHER_MEMORY",
    "TOKEN_PATH",
    "ServiceContext",
    "check_options",
    "service_name",
    "service_spec",
]

TOKEN_PATH = "/run/secrets/parcs_token"

_NANO_CPUS = 10**9  # of one CPU
# Bytes that a container may have besides its workers' memory: the launcher, its agent, what they load.
LAUNCHER_MEMORY = 64 << 20
_LONGEST_NAME = 63
_LISTS = ("constraints", "preferences", "mounts", "networks", "capabilities")
_OPTIONS = {*_LISTS, "labels", "log_driver", "read_only"}


class ServiceContext(NamedTuple):
    """
    The job and the cluster that a service is made for.

    Attributes:
        job: the job.
        image: the image, with its digest where that is known.
        first: the job's number of its first launcher.
        workers: the numbers of its workers.
        secret: the ID and the name of the secret that holds the job's token, None for the original wire.
        networks: the IDs of the networks that it is on.
        leader: the leader's address for a service of the original PARCS, "" for others.
        deadline: when its workers should be connected, in seconds since 1970.
        runner: the identity of the runner's process, see `runner_identity`.
        peers: the comma-separated subnets in which its workers reach each other; "" if they don't.
        gpu_kind: what the cluster calls its GPUs.
        program: what the containers run, and their variables, where the image is that of the runner's own program.
        secrets: those that its user has given to the job.
    """

    job: Job
    image: str
    first: int
    workers: range
    secret: tuple[str, str] | None
    networks: tuple[str, ...]
    leader: str
    deadline: float
    runner: str
    peers: str = ""
    gpu_kind: str = ""
    program: ContainerProgram = ContainerProgram()
    secrets: Mapping[str, tuple[str, str]] = {}


def check_options(spec: WorkerSpec) -> None:
    """
    Check the options in ``swarm=``.

    Raises:
        SettingError: ``swarm=`` has an unknown key or an impossible value.
    """
    unknown = set(spec.swarm) - _OPTIONS
    if unknown:
        raise SettingError(f"swarm={{{min(unknown)!r}: ...}}: the options are {', '.join(sorted(_OPTIONS))}")
    for name in _LISTS:
        value = spec.swarm.get(name, ())
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise SettingError(f"swarm={{{name!r}: {value!r}}} must be a list")
    labels = spec.swarm.get("labels", {})
    if not isinstance(labels, Mapping) or not all(isinstance(text, str) for pair in labels.items() for text in pair):
        raise SettingError(f"swarm={{'labels': {labels!r}}} must be a mapping of text to text")
    driver = spec.swarm.get("log_driver", LOG_DRIVER)
    if not isinstance(driver, Mapping) or not isinstance(driver.get("Name"), str):
        raise SettingError(f"swarm={{'log_driver': {driver!r}}} must be a mapping such as {{'Name': 'journald'}}")
    _mounts(spec)
    _check_privileges(spec)


def _check_privileges(spec: WorkerSpec) -> None:
    capabilities, read_only = spec.swarm.get("capabilities", ()), spec.swarm.get("read_only", False)
    if not all(isinstance(name, str) for name in capabilities):
        raise SettingError(f"swarm={{'capabilities': {capabilities!r}}} must be a list of names such as 'SYS_NICE'")
    if not isinstance(read_only, bool):
        raise SettingError(f"swarm={{'read_only': {read_only!r}}} must be True or False")
    if read_only and spec.files:
        reason = "can't be with files=, which are written beside the program; mount a volume that has them"
        raise SettingError(f"swarm={{'read_only': True}} {reason}")
    if spec.wire == "v1" and (chosen := {"capabilities", "read_only"} & set(spec.swarm)):
        raise SettingError(f"swarm={{{min(chosen)!r}: ...}}: services of the original PARCS run as their images say")


def service_name(job: str, module: str, first: int) -> str:
    """Return a service's name: ``parcs-JOB_MODULE-FIRST``, with only the characters that Docker allows."""
    tail = f"-{first}"
    name = re.sub(r"[^A-Za-z0-9]+", "-", module.partition("@")[0].rpartition("/")[2]).strip("-") or "image"
    return f"{stack(job)}_{name}"[: _LONGEST_NAME - len(tail)].rstrip("-_") + tail


def service_spec(spec: WorkerSpec, containers: int, context: ServiceContext) -> ServiceSpec:
    """Return Docker's specification of a service with ``containers`` replicas."""
    container = build_container(
        context.image,
        stop_grace=deadlines.CONTAINER_STOP,
        command=context.program.command,
        init=context.secret is None,  # ours is a process 1 that reaps its children and heeds signals
        env=_environment(spec, context),
        mounts=_mounts(spec),
        secrets=_secrets(context),
        capabilities=tuple(spec.swarm.get("capabilities", ())) if context.secret else None,
        read_only=spec.swarm.get("read_only", False),
    )
    return build_service(
        service_name(context.job.id, spec.module, context.first),
        _labels(spec, context),
        container,
        context.networks,
        replicas=containers,
        placement=_placement(spec),
        resources=_resources(spec, context.gpu_kind),
        log_driver=dict(spec.swarm.get("log_driver", LOG_DRIVER)),
    )


def _secrets(context: ServiceContext) -> list[Record]:
    """Return what a container sees of the job's token and secrets; a service of the original PARCS sees none."""
    if context.secret is None:
        return []
    # Readable for all inside: the image decides which user its program is.
    token = mount_secret(context.secret, TOKEN_PATH.rpartition("/")[2], 0o444)
    return [token, *mount_secrets(context.secrets)]


def _labels(spec: WorkerSpec, context: ServiceContext) -> dict[str, str]:
    labels = service_labels(context.job.id, Role.WORKER, spec.module, context.deadline, context.runner)
    labels[WORKERS] = f"{context.workers.start},{len(context.workers)},{spec.per_container}"
    if spec.parent >= 0:
        labels[PARENT] = str(spec.parent)
    return {**spec.swarm.get("labels", {}), **labels}


def _environment(spec: WorkerSpec, context: ServiceContext) -> dict[str, str]:
    job = context.job
    own = dict(context.program.variables) | dict(spec.env)
    variables = {name: escape_template(value) for name, value in own.items()}
    if context.secret is None:
        return {"LEADER_URL": context.leader, **variables}
    return {
        **variables,
        **job.settings.to_env(),
        "PARCS_RUNNER": str(job.address),
        "PARCS_JOB": job.id,
        "PARCS_FIRST_SLOT": str(context.first - 1),  # Docker counts from 1
        "PARCS_SLOT": "{{.Task.Slot}}",
        "PARCS_TOKEN_FILE": TOKEN_PATH,
        "PARCS_PEERS": context.peers,
    }


def _resources(spec: WorkerSpec, gpu_kind: str) -> Record:
    """Return a container's limits, the sum of its workers', and equal reservations: nodes are not overbooked."""
    limits: dict[str, int] = {}
    if spec.cpus is not None:
        limits["NanoCPUs"] = round(spec.cpus * spec.per_container * _NANO_CPUS)
    if spec.memory is not None:
        limits["MemoryBytes"] = spec.memory * spec.per_container + LAUNCHER_MEMORY
    reservations: dict[str, Any] = dict(limits)
    if spec.gpus:
        gpus = {"Kind": gpu_kind, "Value": spec.gpus * spec.per_container}
        reservations["GenericResources"] = [{"DiscreteResourceSpec": gpus}]
    return {"Limits": limits, "Reservations": reservations}


def _placement(spec: WorkerSpec) -> Record:
    return {
        "Constraints": list(spec.swarm.get("constraints", ())),
        "Preferences": [{"Spread": {"SpreadDescriptor": label}} for label in spec.swarm.get("preferences", ())],
    }


def _mounts(spec: WorkerSpec) -> list[Record]:
    """Return the mounts, given as Docker's own mappings, or as texts such as ``/data:/data:ro``."""
    mounts: list[Record] = []
    for mount in spec.swarm.get("mounts", ()):
        try:
            mounts.append(dict(mount) if isinstance(mount, Mapping) else _parse_mount(mount))
        except Exception as error:  # the docker package raises what it meets
            raise SettingError(f"swarm={{'mounts': [{mount!r}]}}: {error}") from error
    return mounts


def _parse_mount(text: str) -> Record:
    from docker.types import Mount  # few jobs have mounts, and the docker package takes long to load

    return dict(Mount.parse_mount_string(text))
