"""
The output of one container of a job, the runner's or a launcher's.

Docker's own way to follow a log never ends, and may hang when a node is down: here the log is polled, each time from
the last line on, until the container has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from aioparcs.errors import ClusterError
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.logs import LogLine
from aioparcs.swarm.docker.records import SwarmTask
from aioparcs.swarm.docker.task_state import has_container, is_over, newest

__all__ = ["container_lines"]

_PAUSE = 0.3  # seconds between two polls: Docker sends no event for a line, or for a task's end
_LEADER_TIMEOUT = 60.0  # seconds without an answer of the leader after which a container is no longer followed


async def container_lines(
    swarm: SwarmClient, job: str, service: str, slot: int, *, follow: bool
) -> AsyncIterator[LogLine]:
    """
    Yield the lines that a container has printed.

    Args:
        swarm: the leader.
        job: the name of its job.
        service: the ID of its Swarm service.
        slot: which of the replicas it is.
        follow: go on until it has ended, or was removed, also while the leader is away for a moment.

    Raises:
        ClusterError: the leader can't be asked, when following for a minute; the container may well go on.
    """
    container = _Container(swarm, job, service, slot)
    deduplicator, answered = _LineDeduplicator(), monotonic()
    over = False
    while not over:
        try:
            over = await container.is_over() or not follow  # before the lines: then those are its last
            lines = await container.lines(deduplicator.since)
            answered = monotonic()
        except ClusterError:
            if not follow or monotonic() - answered > _LEADER_TIMEOUT:
                raise
            over, lines = False, []
        for line in deduplicator.fresh(lines):
            yield line
        if not over:
            await asyncio.sleep(_PAUSE)


class _Container:
    """One replica of a Swarm service, as it was last seen."""

    def __init__(self, swarm: SwarmClient, job: str, service: str, slot: int) -> None:
        self._swarm = swarm
        self._job = job
        self._service = service
        self._slot = slot
        self._task: SwarmTask | None = None

    async def is_over(self) -> bool:
        """Return whether it has ended, or was removed, from its task as it is now."""
        there = [one for one in await self._swarm.tasks(self._job) if one["ServiceID"] == self._service]
        before, self._task = self._task, newest(there).get(self._slot)
        if self._task:
            return is_over(self._task)
        return before is not None or all(one["ID"] != self._service for one in await self._swarm.services(self._job))

    async def lines(self, since: int) -> list[LogLine]:
        """Return the lines that it has printed from a moment on."""
        if not self._task or not has_container(self._task):
            return []
        return await self._swarm.container_lines(self._task["ID"], since=since)


class _LineDeduplicator:
    """Leaves out lines that were yielded before: a request from a time on includes the lines of that time again."""

    def __init__(self) -> None:
        self.since = 0
        self._seen = 0  # how many lines of exactly that time: the parts of a long one share theirs

    def fresh(self, lines: list[LogLine]) -> list[LogLine]:
        known = self._seen
        new = []
        for line in lines:
            if line.time == self.since and known:
                known -= 1
            elif line.time >= self.since:
                self._seen = self._seen + 1 if line.time == self.since else 1
                self.since = line.time
                new.append(line)
        return new
