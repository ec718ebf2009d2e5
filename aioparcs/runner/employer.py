"""A pool's way to the workers of a runner."""

from __future__ import annotations

from aioparcs.engine import WorkerSpec
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
        self._launchers: set[int] = set()

    async def place(self, spec: WorkerSpec, count: int) -> list[Task]:
        """Have workers placed; see `Workforce.place`."""
        tasks = await self._workforce.place(spec, count)
        self._keep(tasks)
        return tasks

    async def replace(self, spec: WorkerSpec, task: Task) -> Task:
        """Have a worker placed where another one was that is gone; see `Workforce.replace`."""
        successor = await self._workforce.replace(spec, task)
        self._keep([successor])
        return successor

    def let_go(self) -> None:
        """Let go of all launchers whose workers have ended, or as soon as they have."""
        self._workforce.keep(self._launchers, False)

    def _keep(self, tasks: list[Task]) -> None:
        launchers = {task.launcher for task in tasks}
        self._launchers |= launchers
        self._workforce.keep(launchers, True)
