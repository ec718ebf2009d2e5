"""The reasons why a job on the cluster waits: those of Docker for its containers, and those in its runner's log."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from time import monotonic

from aioparcs.cli.job_log import LogEvents
from aioparcs.cli.jobs import named_jobs, open_leader
from aioparcs.cli.modules import Usage
from aioparcs.errors import ClusterError
from aioparcs.events import EventBus, ProgramEnding, ProgramStarted
from aioparcs.events.log import EventLogReader
from aioparcs.monitor import LiveJob
from aioparcs.monitor.explain import Reason, reasons, worker_reasons
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.task_state import has_container, newest
from aioparcs.swarm.jobs.jobs import find_jobs
from aioparcs.swarm.jobs.view import Container, SwarmJob, end_text

__all__ = ["cluster_names", "explain_cluster_job"]

_TIMEOUT = 2.0  # seconds that a leader may take where a job of this machine may be meant as well
_TAIL = "2000"  # lines of a log; there is a snapshot among the last few, unless the runner prints a lot


def cluster_names(*, is_needed: bool) -> list[str]:
    """
    Return the names of all jobs on the cluster.

    Args:
        is_needed: whether nothing else is known; else none is the answer of a leader that takes long, or isn't there.

    Raises:
        ClusterError: Docker can't be reached, and the names are needed.
    """
    return asyncio.run(_names(is_needed))


async def _names(is_needed: bool) -> list[str]:
    try:
        async with asyncio.timeout(None if is_needed else _TIMEOUT), open_leader() as swarm:
            return [job.name for job in await find_jobs(swarm)]
    except (ClusterError, TimeoutError):
        if is_needed:
            raise
        return []


def explain_cluster_job(name: str, worker: int | None) -> tuple[LiveJob, list[Reason]]:
    """
    Return the view of a job on the cluster, and why it, or one of its workers, waits.

    Raises:
        Usage: there is no such job.
        ClusterError: Docker can't be reached.
    """
    return asyncio.run(_explain(name, worker))


async def _explain(name: str, worker: int | None) -> tuple[LiveJob, list[Reason]]:
    async with open_leader() as swarm:
        (found,) = await named_jobs(swarm, [name])
        job = await _live_job(swarm, found)
    if worker is None:
        # What Docker says of containers comes first, and what the runner says of the same modules is left out.
        docker = list(_containers(found))
        subjects = {reason.subject for reason in docker}
        return job, docker + [one for one in reasons(job) if one.subject not in subjects]
    return job, [*_container_of(found, worker), *worker_reasons(job, worker)]


async def _live_job(swarm: SwarmClient, found: SwarmJob) -> LiveJob:
    """Return the view of a job from the end of its runner's log, if it has one that can be read."""
    job = LiveJob(found.name)
    age = max(0.0, time.time() - found.since)
    program = ", ".join(found.modules) or "its program"
    service, word = found.runner_service, found.events_word
    about = {"engine": "swarm", **({"job": found.name} if service and word else {})}
    job.apply(ProgramStarted(monotonic() - age, found.since, program, about, False))
    task = newest([task for task in found.tasks if service and task["ServiceID"] == service["ID"]]).get(1)
    if word and task and has_container(task):
        reader, events = EventLogReader(word), LogEvents(EventBus(job.apply))
        for line in await swarm.container_lines(task["ID"], tail=_TAIL):
            events.add(reader.read(line.text, error=line.error))
    job.is_running = not found.runner_is_over
    if found.runner and found.runner_is_over:
        error = found.runner.error and (end_text(found.runner.exitcode) or found.runner.error)
        job.apply(ProgramEnding(monotonic(), error))
    job.advance(age)
    return job


def _containers(job: SwarmJob) -> Iterator[Reason]:
    """Yield what the containers of a job wait for, or why they have failed, as Docker has it."""
    if job.runner and job.runner.state != "running":
        yield Reason("job", f"its runner's container {_describe(job.runner)}")
    counts = Counter((one.module, _describe(one)) for one in job.containers if one.state not in ("running", "gone"))
    for (module, text), count in counts.most_common():
        yield Reason(f"module {module}", f"{count} {'container' if count == 1 else 'containers'}: {text}")


def _describe(one: Container) -> str:
    what = {"placed": "waits", "failed": "never ran"}.get(one.state, one.state)
    return f"{what}: {one.error}" if one.error else what


def _container_of(job: SwarmJob, worker: int) -> Iterator[Reason]:
    """Yield where a worker's container is."""
    for one in job.containers:
        if worker in one.workers:
            where = f" on node {one.node}" if one.node else ""
            yield Reason(f"worker {worker}", f"its container {one.number}{where}: {_describe(one)}")
            return
    there = [number for one in job.containers for number in one.workers]
    if there:
        raise Usage(f"job {job.name} has no worker {worker}; there are {min(there)} to {max(there)}")
