"""A pool's way to the workers of a runner."""

from __future__ import annotations

from aioparcs.engine import WorkerSpec
from aioparcs.runner.hold import Hold
from aioparcs.runner.workforce import Workforce
from aioparcs.task import Task

__all__ = ["Employer"]


class Employer:
    """
    Starts workers, and keeps their launchers for others that take their places.

    Args:
        workforce: has them run.
    """

    def __init__(self, workforce: Workforce) -> None:
        self._workforce = workforce
        self._holds: dict[int, Hold] = {}  # by worker
        self._kept: set[Hold] = set()

    async def place(self, spec: WorkerSpec, count: int) -> list[Task]:
        """Have workers placed; see `Workforce.place`."""
        tasks = await self._workforce.place(spec, count)
        self._keep(tasks)
        return tasks

    async def replace(self, spec: WorkerSpec, task: Task) -> Task:
        """Have a worker placed where another one was that is gone; see `Workforce.replace`."""
        successor = await self._workforce.replace(spec, task, self._holds.get(task.worker))
        self._holds.pop(task.worker, None)
        self._keep([successor])
        return successor

    def let_go(self) -> None:
        """Let go of all launchers whose workers have ended, or as soon as they have."""
        for hold in self._kept:
            self._workforce.let_go(hold)

    def _keep(self, tasks: list[Task]) -> None:
        held = {task.worker: hold for task in tasks if (hold := self._workforce.keep(task))}
        self._holds |= held
        self._kept.update(held.values())
