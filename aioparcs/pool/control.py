"""The control of an open pool by others than its program: its size, its workers, and its calls."""

from __future__ import annotations

from weakref import WeakSet

from aioparcs.errors import CallCancelled
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.options import size_bounds
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import SchedulerStatus
from aioparcs.pool.supervision import PoolSupervisor, WorkerProvider

__all__ = ["PoolControl", "open_pools"]

open_pools: WeakSet[PoolControl] = WeakSet()
"""The pools of this process that are open, whichever runner or service they belong to."""


class PoolControl:
    """
    Changes a pool that is open.

    Args:
        provider: starts its workers.
        progress: its number and its name.
        status: knows its calls.
        dispatcher: sends its workers their calls.
        supervisor: starts and ends its workers.

    Attributes:
        provider: starts its workers.
        id: its number in its program.
        name: what it is called.
    """

    def __init__(
        self,
        provider: WorkerProvider,
        progress: Progress,
        status: SchedulerStatus,
        dispatcher: Dispatcher,
        supervisor: PoolSupervisor,
    ) -> None:
        self.provider = provider
        self.id = progress.id
        self.name = progress.name
        self._status = status
        self._dispatcher = dispatcher
        self._supervisor = supervisor

    @property
    def size(self) -> int:
        """The number of workers that are up."""
        return self._status.size

    def has(self, worker: int) -> bool:
        """Return whether a worker, by its number, is one of the pool's that are up."""
        return worker in self._dispatcher.workers.up

    async def resize(self, size: int) -> None:
        """Change the number of workers; see `Pool.resize`."""
        await self._supervisor.resize(size_bounds(size))

    def restart(self, worker: int) -> None:
        """Start another worker in place of one that is up, which ends when it has finished what it runs."""
        self._supervisor.restart(self._dispatcher.workers.up[worker])

    def cancel(self, item: int | None, worker: int | None, by: str) -> list[str]:
        """
        Cancel calls that workers have, or that wait to be made again: they fail with a `CallCancelled`.

        Args:
            item: the number of the calls' item; None for any.
            worker: the number of the worker that runs them; None for any.
            by: who cancels them, for people.

        Returns:
            Which calls they are, for people.
        """
        calls = self._status.find(item, worker)
        for call in calls:
            self._dispatcher.abort(call, CallCancelled(str(call), by))
        return list(map(str, calls))
