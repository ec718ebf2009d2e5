"""
The leftovers of jobs whose runner is gone: Swarm services and secrets that are no longer needed.

A runner that ends, however it does, ends its workers with it. What may stay is Docker's record of them. A wrong
guess would end a running job, so only what is certain counts.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

from aioparcs.swarm.docker.labels import DEADLINE, runner_identity
from aioparcs.swarm.docker.records import SwarmSecret, SwarmService
from aioparcs.swarm.docker.task_state import is_over
from aioparcs.swarm.jobs.view import SwarmJob, created, labels_of

__all__ = ["Leftover", "is_alive", "leftover"]

# Seconds that a job's secret is kept without any container, when it is not known whether its runner lives: a
# notebook may be idle for hours, and needs it for the next workers.
_IDLE = 24 * 3600.0


class Leftover(NamedTuple):
    """
    The services and secrets of a job that may be removed.

    Attributes:
        services: Swarm services.
        secrets: secrets.
        files: whether the runner's files are no longer needed, too.
    """

    services: tuple[SwarmService, ...] = ()
    secrets: tuple[SwarmSecret, ...] = ()
    files: bool = False


def leftover(job: SwarmJob, alive: bool | None, now: float) -> Leftover:
    """
    Return the parts of a job that are no longer needed; none as long as that is not certain.

    A runner that was submitted to the cluster stays when it has ended, with its files: its log is what it was run for.
    So do the secrets that it mounts, which Docker keeps as long as its service.

    Args:
        job: the job.
        alive: whether the process of a runner outside the cluster lives, None if that is not known here.
        now: the time, in seconds since 1970.
    """
    if job.runner_service:
        return Leftover(job.worker_services, job.workers_secrets) if job.runner_is_over else Leftover()
    unfetched = bool(job.files) and not job.has_kept_files
    if alive is not None:
        return Leftover() if alive else Leftover(job.services, job.secrets, unfetched)
    if not all(map(is_over, job.tasks)) or any(_deadline(service) > now for service in job.services):
        return Leftover()
    secrets = tuple(secret for secret in job.secrets if now - created(secret) > _IDLE)
    return Leftover(job.services, secrets, unfetched and now - job.since > _IDLE)


def is_alive(identity: str) -> bool | None:
    """
    Return whether the process lives that `runner_identity` has identified.

    Returns:
        None if that is not known here: it is on another host, in another container, or has no identity.
    """
    place, _, process = identity.rpartition("/")
    place, _, pid = place.rpartition("/")
    try:
        if place != runner_identity().rsplit("/", 2)[0] or not pid.isdecimal():
            return None
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    except OSError:
        return None  # no /proc
    return _is_same(int(pid), process)


def _is_same(pid: int, started: str) -> bool | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None  # gone just now, or hidden from other users
    return fields[19].decode() == started and fields[0] not in (b"Z", b"X")


def _deadline(service: SwarmService) -> float:
    try:
        return float(labels_of(service)[DEADLINE])
    except (KeyError, ValueError):
        return math.inf
