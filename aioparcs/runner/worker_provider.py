"""The provider of a pool's workers in a runner."""

from __future__ import annotations

from aioparcs.engine import WorkerSpec
from aioparcs.runner.reservation import Reservation
from aioparcs.runner.supervisor import WorkerSupervisor
from aioparcs.task import WorkerHandle

__all__ = ["RunnerWorkers"]


class RunnerWorkers:
    """
    Starts workers, and keeps their launchers for others that take their places.

    Args:
        supervisor: places them.
    """

    def __init__(self, supervisor: WorkerSupervisor) -> None:
        self._supervisor = supervisor
        self._holds: dict[int, Reservation] = {}  # by worker
        self._kept: set[Reservation] = set()

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """Place workers; see `WorkerSupervisor.place`."""
        tasks = await self._supervisor.place(spec, count)
        self._keep(tasks)
        return tasks

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        """Place a worker in place of one that is gone; see `WorkerSupervisor.replace`."""
        successor = await self._supervisor.replace(spec, task, self._holds.get(task.worker))
        self._holds.pop(task.worker, None)
        self._keep([successor])
        return successor

    def let_go(self) -> None:
        """Release all launchers, each once its workers have ended."""
        for hold in self._kept:
            self._supervisor.let_go(hold)

    def _keep(self, tasks: list[WorkerHandle]) -> None:
        held = {task.worker: hold for task in tasks if (hold := self._supervisor.keep(task))}
        self._holds |= held
        self._kept.update(held.values())
