"""The monitor of a job's tasks: one poll for all of them, since Docker sends no events about tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic

from aioparcs.engine import LauncherState, WorkerGroup
from aioparcs.errors import ClusterError
from aioparcs.events import EventBus, Notice
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.records import SwarmTask
from aioparcs.swarm.docker.task_state import drained_nodes, is_over, launcher_state, newest, node_names

__all__ = ["FIRST_PAUSE", "TaskMonitor", "next_delay"]

# Seconds between two polls: at first, and at most. Each costs the leader a few kilobytes a task.
FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0
# Seconds until a service that Docker has accepted must have tasks: they are made a moment after it.
_TASKS_APPEAR = 10.0


def next_delay(pause: float) -> float:
    """Return the pause after the next poll, in seconds, from the one before it."""
    return min(1.3 * pause, _LONGEST_PAUSE)


class TaskMonitor:
    """
    Polls the leader, and queues the new states of each group's launchers.

    Args:
        swarm: the leader.
        job: the job's name.
        events: gets a warning when the leader can't be asked.
    """

    def __init__(self, swarm: SwarmClient, job: str, events: EventBus) -> None:
        self._swarm = swarm
        self._job = job
        self._events = events
        self._groups: dict[str, _Group] = {}  # by the ID of the service
        self._nodes: dict[str, str] = {}
        self._wakeup = asyncio.Event()
        self._polling = asyncio.create_task(self._poll())

    def add(self, service: str, group: WorkerGroup) -> None:
        """Start watching the tasks of a service."""
        self._groups[service] = _Group(group)
        self._wakeup.set()

    def poll_now(self) -> None:
        """Poll at once, and often for a while."""
        self._wakeup.set()

    def task(self, launcher: int) -> SwarmTask | None:
        """Return the newest task of a launcher, as it was last seen."""
        return next((group.seen[launcher] for group in self._groups.values() if launcher in group.seen), None)

    async def wait_task(self, launcher: int) -> SwarmTask:
        """Wait until a launcher's task runs, or is over."""
        group = next(group for group in self._groups.values() if launcher in group.launchers)
        while True:
            task = group.seen.get(launcher)
            if task and (task["Status"]["State"] == "running" or is_over(task)):
                return task
            await group.changed()

    async def states(self, service: str) -> AsyncIterator[LauncherState]:
        """Yield the new states of a group's launchers, until all of them are gone."""
        group = self._groups[service]
        left = set(group.launchers)
        while left:
            state = await group.states.get()
            if state.state in ("failed", "gone"):
                left.discard(state.launcher)
            yield state
        del self._groups[service]  # a job may start workers for days

    async def aclose(self) -> None:
        """Stop polling."""
        self._polling.cancel()
        await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll(self) -> None:
        pause, has_warned = FIRST_PAUSE, False
        while True:
            self._wakeup.clear()  # before the poll: a call of poll_now() during it asks for another one
            try:
                await self._poll_once()
                has_warned = False
            except (
                ClusterError,
                LookupError,
                ValueError,
            ) as error:  # away, or out of order: workers go on
                if not has_warned:
                    self._events.publish(Notice(monotonic(), "swarm", f"{error}; trying again", is_warning=True))
                has_warned = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wakeup.wait()
            pause = FIRST_PAUSE if self._wakeup.is_set() else next_delay(pause)

    async def _poll_once(self) -> None:
        waiting = {service: group for service, group in self._groups.items() if not group.is_over}
        if not waiting:
            return
        tasks = await self._swarm.tasks(self._job)
        unknown = any(task.get("NodeID") and task["NodeID"] not in self._nodes for task in tasks)
        drained: frozenset[str] = frozenset()
        if unknown or any(task["Status"]["State"] == "shutdown" for task in tasks):
            nodes = await self._swarm.nodes()
            self._nodes, drained = node_names(nodes), drained_nodes(nodes)
        by_service: dict[str, list[SwarmTask]] = {service: [] for service in waiting}
        for task in tasks:
            by_service.get(task["ServiceID"], []).append(task)
        for service, group in waiting.items():
            group.update(by_service[service], self._nodes, drained)


class _Group:
    """One service's tasks, as they were last seen, and the queue of their launchers' new states."""

    def __init__(self, group: WorkerGroup) -> None:
        self.launchers = [placement.launcher for placement in group.placements]
        self.states: asyncio.Queue[LauncherState] = asyncio.Queue()
        self.seen: dict[int, SwarmTask] = {}
        self._reported: dict[int, LauncherState] = {}
        self._since = monotonic()
        self._changed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """True when all launchers are known to be gone."""
        return sum(state.state in ("failed", "gone") for state in self._reported.values()) == len(self.launchers)

    async def changed(self) -> None:
        """Wait for the next poll."""
        self._changed.clear()
        await self._changed.wait()

    def update(self, tasks: list[SwarmTask], nodes: dict[str, str], drained: frozenset[str]) -> None:
        """Compare the tasks with those of the last poll, and queue new states of launchers."""
        found = newest(tasks)
        for slot, launcher in enumerate(self.launchers, 1):
            if slot in found:
                self.seen[launcher] = found[slot]
                self._report(launcher_state(launcher, found[slot], nodes, drained))
            elif launcher in self.seen:
                self._report(LauncherState(launcher, "gone", "was removed from the Swarm"))
            elif monotonic() - self._since > _TASKS_APPEAR:
                self._report(LauncherState(launcher, "placed", "Docker has created no task for it yet"))
        self._changed.set()

    def _report(self, state: LauncherState) -> None:
        last = self._reported.get(state.launcher)
        if last == state or (last and last.state in ("failed", "gone")):
            return
        self._reported[state.launcher] = state
        self.states.put_nowait(state)
