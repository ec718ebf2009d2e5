"""The arguments of `setup`, which many workers get at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aioparcs.shared import KeptMemory
from aioparcs.shared.values import flatten_values, share_values
from aioparcs.task import WorkerHandle

__all__ = ["Constants", "KeptConstants"]

# Workers of one launcher for which one copy is better than one for each.
_SEVERAL = 2


class KeptConstants:
    """
    The arguments of `setup` that launchers elsewhere keep, each once for all of its workers, those to come included.

    Args:
        values: the arguments.
        workers: all workers of the pool.
    """

    def __init__(self, values: Mapping[str, Any], workers: Collection[WorkerHandle]) -> None:
        self._values = values
        self._workers = workers
        self._flat: tuple[Any, list[memoryview]] | None = None
        self._keeping: dict[int, asyncio.Task[KeptMemory | None]] = {}  # by launcher

    async def by_launcher_of(self, worker: WorkerHandle) -> tuple[Mapping[str, Any], KeptMemory] | None:
        """Return the arguments, and the memory that a worker's launcher keeps; None if it keeps none for it."""
        launcher = worker.launcher
        if launcher not in self._keeping:
            if sum(other.launcher == launcher for other in self._workers) < _SEVERAL:
                return None
            for gone in self._keeping.keys() - {other.launcher for other in self._workers}:
                _release(self._keeping.pop(gone))  # a pool may grow and shrink for days
            self._keeping[launcher] = asyncio.create_task(self._send(worker))
        kept = await asyncio.shield(self._keeping[launcher])
        return (self._flat[0], kept) if self._flat and kept else None

    def release(self) -> None:
        """Ask all launchers to release what they keep."""
        for keeping in self._keeping.values():
            _release(keeping)
        self._keeping.clear()
        self._flat = None

    async def _send(self, worker: WorkerHandle) -> KeptMemory | None:
        if self._flat is None:
            self._flat = await flatten_values(dict(self._values))
        _, views = self._flat
        return await worker.owner.keep(worker, views) if views else None


def _release(keeping: asyncio.Task[KeptMemory | None]) -> None:
    if not keeping.done():
        keeping.cancel()
    elif not keeping.cancelled() and (kept := keeping.result()):
        kept.drop()


class Constants:
    """
    The arguments of `setup` for workers that start together.

    Large arrays in them are copied to shared memory once for all workers of this machine, which map it; here it is
    released when all have.

    Args:
        values: the arguments.
        workers: how many start together.
        kept: what launchers elsewhere keep.
    """

    def __init__(self, values: Mapping[str, Any], workers: int, kept: KeptConstants) -> None:
        self._values = values
        self._kept = kept
        self._is_shared = workers < 2  # for one worker a copy is as good
        self._sharing = asyncio.Lock()

    @asynccontextmanager
    async def of(self, worker: WorkerHandle) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the arguments for a worker; those that are sent in the block may be references to shared memory."""
        loans = worker.channel.connection.outbox.loans
        if await loans.are_possible():
            yield await self._share()
        elif (found := await self._kept.by_launcher_of(worker)) and await loans.are_possible(found[1].keeper):
            values, kept = found
            with loans.lending(kept):
                yield values
        else:
            yield self._values

    def release(self) -> None:
        """Release the copy in shared memory: these workers have started, or failed."""
        self._values = {}

    async def _share(self) -> Mapping[str, Any]:
        async with self._sharing:
            if not self._is_shared:
                self._values, self._is_shared = await share_values(dict(self._values)), True
        return self._values
