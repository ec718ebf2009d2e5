"""The labels of a job's services, tasks and secrets."""

from __future__ import annotations

import os
import socket
from enum import StrEnum

__all__ = [
    "DEADLINE",
    "FETCH",
    "FILES",
    "JOB",
    "MODULE",
    "PARENT",
    "ROLE",
    "RUNNER",
    "SECRET",
    "STACK",
    "WORKERS",
    "Role",
    "job_labels",
    "runner_identity",
    "service_labels",
    "stack",
]

# `docker stack`, Swarmpit and Portainer group by this one. Docker's documents don't promise it; its code does.
STACK = "com.docker.stack.namespace"
JOB = "io.aioparcs.job"
ROLE = "io.aioparcs.role"  # a `Role`
MODULE = "io.aioparcs.module"
# The numbers of its first workers: FIRST, how many there are, and how many are in each container, separated by commas.
WORKERS = "io.aioparcs.workers"
# The number of the worker whose service has started it; what the runner has started has none.
PARENT = "io.aioparcs.parent"
# When, in seconds since 1970, what it starts should be connected: a job without a task after that is an orphan.
DEADLINE = "io.aioparcs.deadline"
# The runner's process: host, boot, process id and its start, so that its host can tell whether it lives.
RUNNER = "io.aioparcs.runner"
# The job whose runner's files are in a volume, and in the container through which they are read. Not `JOB`: these are
# no service's, task's or secret's, and end with the job only if they were fetched.
FILES = "io.aioparcs.files"
# The names of those that its user wants back, a list as JSON: on the same container.
FETCH = "io.aioparcs.fetch"
# The name of a secret that users have given to the job, as they know it.
SECRET = "io.aioparcs.secret"


class Role(StrEnum):
    """What the containers of a service are."""

    RUNNER = "runner"
    WORKER = "worker"
    PROBE = "probe"


def stack(job: str) -> str:
    """Return the name of the stack that a job is shown as."""
    return f"parcs-{job}"


def job_labels(job: str) -> dict[str, str]:
    """Return the labels of all that belongs to a job."""
    return {STACK: stack(job), JOB: job}


def service_labels(job: str, role: Role, module: str, deadline: float, identity: str = "") -> dict[str, str]:
    """
    Return the labels that all services of a job have.

    Args:
        job: the job.
        role: what its containers are.
        module: the module that they run.
        deadline: when these should be connected, in seconds since 1970.
        identity: see `runner_identity`; "" for a runner on the cluster, whose process is the service's own.
    """
    labels = {**job_labels(job), ROLE: role, MODULE: module, DEADLINE: f"{deadline:.0f}"}
    return {**labels, RUNNER: identity} if identity else labels


def runner_identity(pid: int | None = None) -> str:
    """
    Return a text that identifies a process of this host, this one by default, among all processes at any time.

    Raises:
        OSError: there is no such process.
    """
    pid = os.getpid() if pid is None else pid
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    with open(f"/proc/{pid}/stat", "rb") as stat:
        started = stat.read().rpartition(b")")[2].split()[19].decode()
    namespace = os.stat("/proc/self/ns/pid").st_ino  # a number says nothing about another container's process
    return f"{socket.gethostname()}/{boot}/{namespace}/{pid}/{started}"
