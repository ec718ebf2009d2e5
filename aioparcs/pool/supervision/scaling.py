"""The size of a pool: as its user asks for, or elastic, as there is work for its workers."""

from __future__ import annotations

import asyncio
from typing import NoReturn, Protocol

from aioparcs.errors import ParcsError
from aioparcs.pool.dispatch import PoolWorker, PoolWorkers
from aioparcs.pool.progress import Progress
from aioparcs.pool.sizing import Autoscaler, Bounds, Replicas
from aioparcs.pool.supervision.startup import WorkerStartup

__all__ = ["Membership", "Scaling"]

# Seconds between two looks at what there is to do.
_PERIOD = 0.1


class Membership(Protocol):
    """The membership of a pool's workers, which its supervisor watches over."""

    def join(self, workers: list[PoolWorker]) -> None:
        """Send calls to workers that are ready for them."""

    def leave(self, workers: list[PoolWorker]) -> None:
        """End workers that get no more calls, once they have none left."""

    def continue_degraded(self, error: ParcsError) -> None:
        """Go on with fewer workers after one that did not start; with none the pool has failed."""


class Scaling:
    """
    Changes the number of a pool's workers.

    Args:
        autoscaler: decides, while the size is elastic.
        startup: starts workers.
        workers: those that are up, and what there is to do for them.
        replicas: counts the workers that there should be.
        progress: reports their number.
        membership: the workers that are up.
    """

    def __init__(
        self,
        autoscaler: Autoscaler,
        startup: WorkerStartup,
        workers: PoolWorkers,
        replicas: Replicas,
        progress: Progress,
        membership: Membership,
    ) -> None:
        self._autoscaler = autoscaler
        self._startup = startup
        self._workers = workers
        self._replicas = replicas
        self._progress = progress
        self._membership = membership
        self._resizing = asyncio.Lock()
        self._is_elastic = asyncio.Event()

    @property
    def is_limited(self) -> bool:
        """True after workers could not be started, until there is room again."""
        return self._autoscaler.is_limited

    async def resize(self, bounds: Bounds) -> None:
        """Start workers, and wait until all of them are at work, or retire some; see `PoolSupervisor.resize`."""
        async with self._resizing:
            more = self._replicas.resize(bounds.clamp(self._replicas.wanted))
            try:
                if more:
                    self._membership.join(await self._startup.start(more))
            except BaseException:
                self._replicas.withdraw(more)
                raise
            self._autoscaler.bounds = bounds
            if bounds.is_elastic:
                self._is_elastic.set()
            else:
                self._is_elastic.clear()
            self._membership.leave(self._workers.retire_surplus(self._replicas))

    async def run(self) -> NoReturn:
        """Grow and shrink the pool while its size is elastic."""
        while True:
            await self._is_elastic.wait()
            await asyncio.sleep(_PERIOD)
            async with self._resizing:
                if self._autoscaler.bounds.is_elastic and self._workers.error is None:
                    await self._scale()

    async def _scale(self) -> None:
        now = asyncio.get_running_loop().time()
        replicas = self._replicas
        if more := self._autoscaler.growth(self._workers.load, replicas.wanted, replicas.starting, now):
            await self._grow(more)
        elif idle := self._workers.retire_idle(self._autoscaler, replicas.wanted):
            replicas.withdraw(len(idle))
            self._membership.leave(idle)

    async def _grow(self, more: int) -> None:
        """Start workers; those that fail are not replaced, but may be started later."""
        self._replicas.resize(self._replicas.wanted + more)
        self._progress.report()
        errors = await self._startup.start_each(more, lambda worker: self._membership.join([worker]))
        if errors:
            self._membership.continue_degraded(errors[0])
            self._replicas.withdraw(len(errors))
        self._autoscaler.started(self._replicas.wanted, len(errors), asyncio.get_running_loop().time())
