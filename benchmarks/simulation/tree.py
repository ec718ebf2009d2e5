"""An engine for trees: the services that start workers are processes of this machine, and their workers simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aioparcs.engine import Job, LauncherState, WorkerGroup, WorkerSpec
from aioparcs.local import LocalEngine
from aioparcs.transport import Listener
from benchmarks.simulation.engine import SimulatedEngine

__all__ = ["TreeEngine"]


class TreeEngine(SimulatedEngine):
    """
    Runs the modules in a folder as processes, and simulates all other workers.

    Args:
        modules: the folder.
        processes, per_launcher: see `SimulatedEngine`.
    """

    def __init__(self, modules: Path, processes: int, per_launcher: int) -> None:
        super().__init__(processes, per_launcher)
        self._modules = modules
        self._local = LocalEngine([modules])

    def _is_real(self, spec: WorkerSpec) -> bool:
        return (self._modules / spec.module).is_dir()

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        """Listen where processes of this machine do."""
        return await self._local.listen(on_connect, tls=tls)

    async def open(self, job: Job) -> None:
        """Start the processes that simulate."""
        await self._local.open(job)
        await super().open(job)

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        """Start workers of either kind."""
        return await (self._local.start if self._is_real(spec) else super().start)(spec, first, count)

    def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        """Yield what becomes of the group's launchers."""
        return (self._local.states if self._is_real(group.spec) else super().states)(group)

    async def stop(self, group: WorkerGroup) -> None:
        """End the group's launchers, if they are processes of their own."""
        if self._is_real(group.spec):
            await self._local.stop(group)

    async def release(self, group: WorkerGroup) -> None:
        """Release the group's launchers, if they are processes of their own."""
        if self._is_real(group.spec):
            await self._local.release(group)

    async def aclose(self) -> None:
        """End all processes."""
        await self._local.aclose()
        await super().aclose()
