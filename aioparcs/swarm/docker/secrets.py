"""
A job's secrets as secrets of the Swarm; each has its name as a label.

They end with the job; those of a submitted runner, whose service mounts them, when its record is removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.labels import RUNNER, SECRET, job_labels, runner_identity, stack
from aioparcs.swarm.docker.records import Record
from aioparcs.swarm.docker.service import mount_secret

__all__ = ["create_secret", "find_secrets", "mount_secrets", "secret_name"]


def secret_name(job: str, name: str) -> str:
    """Return the name on the Swarm of a job's secret."""
    return f"{stack(job)}_secret-{name}"


async def create_secret(swarm: SwarmClient, job: str, name: str, value: bytes) -> tuple[str, str]:
    """
    Create a secret of a job, and return its ID and its name on the Swarm; it names this process as its maker.

    Args:
        swarm: the leader.
        job: the job.
        name: the name that its users know.
        value: what it contains.

    Raises:
        ClusterError: the leader can't be reached, or refuses.
    """
    full = secret_name(job, name)
    labels = {**job_labels(job), RUNNER: runner_identity(), SECRET: name}
    return await swarm.create_secret(full, value, labels), full


async def find_secrets(swarm: SwarmClient, job: str) -> dict[str, tuple[str, str]]:
    """
    Return the secrets of a job that are on the Swarm already, as those of a submitted one.

    Raises:
        ClusterError: the leader can't be reached.
    """
    specs = [(secret["ID"], secret["Spec"]) for secret in await swarm.secrets(job)]
    return {spec["Labels"][SECRET]: (number, spec["Name"]) for number, spec in specs if SECRET in spec["Labels"]}


def mount_secrets(secrets: Mapping[str, tuple[str, str]]) -> Sequence[Record]:
    """
    Return what shows secrets to a container, as ``/run/secrets/NAME``, readable for all inside as Docker's own.

    Args:
        secrets: the ID and the name on the Swarm of each secret, by the name that its users know.
    """
    return [mount_secret(one, name, 0o444) for name, one in secrets.items()]
