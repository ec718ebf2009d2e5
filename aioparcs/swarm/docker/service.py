"""
The builder of Swarm services: all that workers', runners' and the doctor's services have in common.

The form is that of ``POST /services/create`` in Docker's Engine API. Networks stand in the task's template: Docker 29
ignores them elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aioparcs.swarm.docker.records import ContainerSpec, Mount, Record, ServiceSpec, TaskTemplate

__all__ = ["LOG_DRIVER", "READABLE", "build_container", "build_service", "escape_template", "mount_secret"]

_NANOSECONDS = 10**9
# How containers log, whatever their nodes do by default: so that it can be read back, and is bounded.
LOG_DRIVER = {"Name": "json-file", "Options": {"max-size": "64m", "max-file": "4"}}
# The drivers that Docker itself can read back from.
READABLE = ("json-file", "local", "journald")
# Which is in memory, and counts as the container's.
_TMP = {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"Mode": 0o1777}}


def escape_template(value: str) -> str:
    """Return a variable's value, escaped: Docker expands Go's templates in it."""
    return value.replace("{{", '{{"{{"}}')


def build_service(
    name: str,
    labels: Mapping[str, str],
    container: ContainerSpec,
    networks: Sequence[str],
    *,
    replicas: int | None,
    placement: Record | None = None,
    resources: Record | None = None,
    log_driver: Record | None = LOG_DRIVER,
) -> ServiceSpec:
    """
    Return the specification of a service; what is None is left to Docker.

    Each container is started once and never again: whether work is done twice is the runner's business. There is no
    virtual IP (``dnsrr``): it would take an address of the network, and nothing connects to workers by name.

    Args:
        name: its name.
        labels: its labels, which its containers get too.
        container: see `build_container`.
        networks: the IDs of the networks that it is on.
        replicas: how many containers it has, None for one on each node.
        placement: the nodes that they may run on.
        resources: their limits and reservations.
        log_driver: where their output goes.
    """
    template: TaskTemplate = {
        "ContainerSpec": {**container, "Labels": dict(labels)},
        "Networks": [{"Target": network} for network in networks],
        "RestartPolicy": {"Condition": "none"},
    }
    if placement is not None:
        template["Placement"] = placement
    if resources is not None:
        template["Resources"] = resources
    if log_driver is not None:
        template["LogDriver"] = log_driver
    return {
        "Name": name,
        "Labels": dict(labels),
        "Mode": {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}},
        "EndpointSpec": {"Mode": "dnsrr"},
        "TaskTemplate": template,
    }


def build_container(
    image: str,
    *,
    stop_grace: float,
    init: bool = True,
    command: Sequence[str] = (),
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    mounts: Sequence[Mount] | None = None,
    secrets: Sequence[Record] = (),
    capabilities: Sequence[str] | None = (),
    read_only: bool = False,
) -> ContainerSpec:
    """
    Return the specification of a service's containers; what is None is left to Docker or to the image.

    Args:
        image: the image.
        stop_grace: seconds from SIGTERM to SIGKILL when a container is stopped.
        init: whether Docker's init is process 1, which reaps orphans and passes signals on.
        command: the program; the image's own if empty.
        user: who runs it.
        env: its environment; Docker expands templates in the values, see `escape_template`.
        mounts: what it sees of its node's files.
        secrets: see `mount_secret`.
        capabilities: the capabilities that it may have, all others are dropped; None for Docker's own choice. Without
            any its processes can't get new privileges either, where Docker knows of that: others ignore the field.
        read_only: whether its file system is, but for its mounts and ``/tmp``.
    """
    container: ContainerSpec = {
        "Image": image,
        "Init": init,
        "StopGracePeriod": round(stop_grace * _NANOSECONDS),
        "Healthcheck": {"Test": ["NONE"]},
    }
    if command:
        container["Command"] = list(command)
    if user is not None:
        container["User"] = user
    if env is not None:
        container["Env"] = [f"{name}={value}" for name, value in env.items()]
    if mounts is not None:
        container["Mounts"] = mounts
    if secrets:
        container["Secrets"] = secrets
    if capabilities is not None:
        container["CapabilityDrop"] = ["ALL"]
        if capabilities:
            container["CapabilityAdd"] = list(capabilities)
        else:
            container["Privileges"] = {"NoNewPrivileges": True}
    if read_only:
        container["ReadOnly"] = True
        if not any(mount.get("Target") == _TMP["Target"] for mount in mounts or ()):
            container["Mounts"] = [*(mounts or ()), _TMP]
    return container


def mount_secret(secret: tuple[str, str], file: str, mode: int) -> Record:
    """
    Return the reference of a secret, which its container sees as a file of root's.

    Args:
        secret: its ID and its name.
        file: the file: a name in ``/run/secrets``, or a path.
        mode: the file's permissions.
    """
    number, name = secret
    return {"SecretID": number, "SecretName": name, "File": {"Name": file, "UID": "0", "GID": "0", "Mode": mode}}
