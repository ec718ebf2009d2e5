"""The jobs of a Swarm: found by their labels, and removed. Nothing without these labels is ever touched."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterable
from typing import NamedTuple

from aioparcs import deadlines
from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.client import SwarmClient, wait_until
from aioparcs.swarm.docker.endpoint import UNREACHABLE, status_of
from aioparcs.swarm.docker.labels import JOB, ROLE, Role, stack
from aioparcs.swarm.docker.records import SwarmSecret, SwarmService, SwarmTask
from aioparcs.swarm.docker.task_state import node_names
from aioparcs.swarm.jobs.files import find_holders, job_of_holder, remove_files
from aioparcs.swarm.jobs.orphans import Leftover, is_alive, leftover
from aioparcs.swarm.jobs.view import SwarmJob, job_of, labels_of, view

__all__ = ["Swept", "find_jobs", "has_no_containers", "remove_job", "sweep", "wait_idle"]


class Swept(NamedTuple):
    """
    What was done about jobs whose runner is gone.

    Attributes:
        jobs: the names of those of which something was removed.
        failures: a line for each of which not all could be removed.
    """

    jobs: list[str]
    failures: list[str]

    @property
    def lines(self) -> list[str]:
        """What was done, for people."""
        return [*(f"removed what was left of job {job}" for job in self.jobs), *self.failures]


async def find_jobs(swarm: SwarmClient) -> list[SwarmJob]:
    """
    Return the jobs, the oldest first.

    Raises:
        ClusterError: the leader can't be asked.
    """
    services, tasks, secrets, nodes, holders = await asyncio.gather(
        swarm.services(), swarm.tasks(), swarm.secrets(), swarm.nodes(), find_holders(swarm)
    )
    names = node_names(nodes)
    records: list[SwarmService | SwarmSecret] = [*services, *secrets]
    jobs = {labels_of(record)[JOB] for record in records} | set(map(job_of, tasks)) - {""}
    jobs |= set(map(job_of_holder, holders))
    of = {service["ID"]: labels_of(service)[JOB] for service in services}
    found = [
        view(
            job,
            [service for service in services if labels_of(service)[JOB] == job],
            [task for task in tasks if of.get(task["ServiceID"], job_of(task)) == job],
            [secret for secret in secrets if labels_of(secret)[JOB] == job],
            names,
            [holder for holder in holders if job_of_holder(holder) == job],
        )
        for job in jobs
    ]
    return sorted(found, key=lambda job: (job.since, job.name))


async def remove_job(swarm: SwarmClient, job: str, *, files: bool = True) -> list[str]:
    """
    Remove a job, its Swarm services, containers and secrets; return the names of the services, secrets and volumes.

    Its runner, if it was submitted to the cluster, is stopped first, and ends its workers by itself. What is gone
    already is fine. Cancelling it leaves what has not been removed yet.

    Args:
        swarm: the leader.
        job: the job's name.
        files: whether its runner's files are removed, too.

    Raises:
        ClusterError: the leader can't be asked, or containers have not ended after a minute.
    """
    services, secrets = await swarm.services(job), await swarm.secrets(job)
    runners = [service for service in services if labels_of(service).get(ROLE) == Role.RUNNER]
    await _remove_services(swarm, runners)

    async def runner_is_gone() -> bool:
        ids = {runner["ID"] for runner in runners}
        return all(task["ServiceID"] not in ids for task in await swarm.reachable_tasks(job))

    if runners:
        await wait_until(runner_is_gone, deadlines.RUNNER_END)

    async def has_nothing_left() -> bool:
        # Again and again: its runner, outside the cluster, may have been making more.
        left, hidden = await swarm.services(job), await swarm.secrets(job)
        await _remove_services(swarm, left)
        with contextlib.suppress(ClusterError):  # a service that was made meanwhile may hold one
            await _remove_secrets(swarm, hidden)
        return not left and not hidden

    if not await wait_until(has_nothing_left, deadlines.CONTAINERS_STOP):
        reason = f"a program keeps creating Swarm services of job {job}"
        raise ClusterError(swarm.leader.shown, reason, "end its runner first")
    await wait_idle(swarm, job)
    await wait_until(lambda: has_no_containers(swarm, job), deadlines.CONTAINERS_REMOVED)
    volumes = await remove_files(swarm, job) if files else []
    return [*(record["Spec"]["Name"] for record in (*services, *secrets)), *volumes]


async def wait_idle(swarm: SwarmClient, job: str) -> None:
    """
    Wait until no container of a job's removed Swarm services is left.

    Raises:
        ClusterError: some have not ended after a minute.
    """
    left: list[SwarmTask] = []

    async def is_idle() -> bool:
        nonlocal left
        kept = {service["ID"] for service in await swarm.services(job)}
        left = [task for task in await swarm.reachable_tasks(job) if task["ServiceID"] not in kept]
        return not left

    if not await wait_until(is_idle, deadlines.CONTAINERS_STOP):
        reason = f"containers of job {job} have not ended after {deadlines.CONTAINERS_STOP:g} s: {len(left)}"
        raise ClusterError(swarm.leader.shown, reason, f"see docker stack ps {stack(job)}")


async def has_no_containers(swarm: SwarmClient, job: str, role: Role | None = None) -> bool:
    """
    Return whether the leader itself has no container of a job, or of one role of it, not even an ended one.

    Nodes remove their containers a moment after they have reported their end; other nodes' can't be seen.
    """
    return not await swarm.containers(job, role)


async def sweep(swarm: SwarmClient) -> Swept:
    """
    Remove what is left of jobs whose runner is gone; what can't be removed of one doesn't keep the others.

    Their containers have ended already, or end within seconds; this doesn't wait for them. See `leftover` for what
    counts.

    Raises:
        ClusterError: the leader can't be asked.
    """
    swept = Swept([], [])
    for job in await find_jobs(swarm):
        found = leftover(job, is_alive(job.identity), time.time())
        try:
            await _remove_leftover(swarm, job.name, found)
        except ClusterError as error:
            swept.failures.append(f"could not remove what is left of job {job.name}: {error.reason}")
            if status_of(error) == UNREACHABLE:
                break  # nor would it answer about the next one
        else:
            if any(found):
                swept.jobs.append(job.name)
    return swept


async def _remove_leftover(swarm: SwarmClient, job: str, found: Leftover) -> None:
    await _remove_services(swarm, found.services)
    await _remove_secrets(swarm, found.secrets)
    if found.files:
        await remove_files(swarm, job)


async def _remove_services(swarm: SwarmClient, services: Iterable[SwarmService]) -> None:
    await _all_of(swarm.remove_service(service["ID"]) for service in services)


async def _remove_secrets(swarm: SwarmClient, secrets: Iterable[SwarmSecret]) -> None:
    await _all_of(swarm.remove_secret(secret["ID"]) for secret in secrets)


async def _all_of(removals: Iterable[Awaitable[None]]) -> None:
    """Wait for all removals, then raise the first error of them, if there is one."""
    for failure in await asyncio.gather(*removals, return_exceptions=True):
        if failure:
            raise failure
