"""The provider of a pool's workers in a runner."""

from __future__ import annotations

from aioparcs.engine import Engine, WorkerSpec
from aioparcs.runner.state import JobState, stimuli
from aioparcs.runner.supervisor import WorkerSupervisor
from aioparcs.task import WorkerHandle

__all__ = ["RunnerWorkers"]


class RunnerWorkers:
    """
    Starts workers, and retains their launchers for others that take their places.

    Args:
        supervisor: places them.
        state: the job's state.
        engine: has CPUs for them.
    """

    def __init__(
        self,
        supervisor: WorkerSupervisor,
        state: JobState,
        engine: Engine,
    ) -> None:
        self._supervisor = supervisor
        self._engine = engine
        self._state = state
        self._reservations: dict[int, int] = {}  # by worker
        self._retained: set[int] = set()

    async def default_size(self, spec: WorkerSpec) -> int:
        """Return the size of a pool whose user has chosen none; see `Engine.default_size`."""
        return await self._engine.default_size(spec)

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """Place workers; see `WorkerSupervisor.place`."""
        tasks = await self._supervisor.place(spec, count)
        self._retain(tasks)
        return tasks

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        """Place a worker in place of one that is gone; see `WorkerSupervisor.replace`."""
        successor = await self._supervisor.replace(spec, task, self._reservations.get(task.worker))
        self._reservations.pop(task.worker, None)
        self._retain([successor])
        return successor

    def discard(self, task: WorkerHandle) -> None:
        """Forget a worker that gets no replacement; release its launchers unless others of its start need them."""
        reservation = self._reservations.pop(task.worker, None)
        if reservation is not None and reservation not in self._reservations.values():
            self._retained.discard(reservation)
            self._supervisor.handle(stimuli.ReservationReleased(reservation))

    def release(self) -> None:
        """Release all launchers, each once its workers have ended."""
        for reservation in self._retained:
            self._supervisor.handle(stimuli.ReservationReleased(reservation))

    def _retain(self, tasks: list[WorkerHandle]) -> None:
        for task in tasks:
            reservation = self._state.retain(task.worker)
            if reservation is not None:
                self._reservations[task.worker] = reservation
                self._retained.add(reservation)
