"""
What a container of a job has printed, its runner's or a launcher's.

Docker's own way to follow a log never ends, and may hang when a node is down: here it is asked again and again, each
time from the last line on, until the container has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aioparcs.swarm.api import Record, Swarm
from aioparcs.swarm.logs import LogLine
from aioparcs.swarm.states import is_over, newest

__all__ = ["NewLines", "container_lines"]

_PAUSE = 0.5  # seconds between two looks: Docker tells nobody of a line, or of a task's end


async def container_lines(swarm: Swarm, job: str, service: str, slot: int, *, follow: bool) -> AsyncIterator[LogLine]:
    """
    Give what a container has printed.

    Args:
        swarm: the leader.
        job: the name of its job.
        service: the ID of its Swarm service.
        slot: which of the replicas it is.
        follow: go on until it has ended, or was removed.
    """
    new = NewLines()
    task: Record | None = None
    over = False
    while not over:
        there = [one for one in await swarm.tasks(job) if one["ServiceID"] == service]
        before, task = task, newest(there).get(slot)
        # Asked before the lines: then those are its last.
        over = not follow or (is_over(task) if task else before is not None or not await _has(swarm, job, service))
        if task and (task["Status"].get("ContainerStatus") or {}).get("ContainerID"):
            for line in new.of(await swarm.container_lines(task["ID"], since=new.since)):
                yield line
        if not over:
            await asyncio.sleep(_PAUSE)


async def _has(swarm: Swarm, job: str, service: str) -> bool:
    return any(one["ID"] == service for one in await swarm.services(job))


class NewLines:
    """Leaves out lines that were given before: what a time is asked for has come with that time already."""

    def __init__(self) -> None:
        self.since = 0
        self._given = 0  # how many lines of exactly that time: the parts of a long one share theirs

    def of(self, lines: list[LogLine]) -> list[LogLine]:
        known = self._given
        new = []
        for line in lines:
            if line.time == self.since and known:
                known -= 1
            elif line.time >= self.since:
                self._given = self._given + 1 if line.time == self.since else 1
                self.since = line.time
                new.append(line)
        return new
