"""The actions on a job that runs: what its user may do to it from outside of its program."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from aioparcs.events import Action, EventBus, Notice
from aioparcs.runner.control.requests import Request, RequestError
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.state import JobState, WorkerPhase, stimuli
from aioparcs.runner.supervisor import WorkerSupervisor
from aioparcs.runner.worker_provider import RunnerWorkers

if TYPE_CHECKING:
    from aioparcs.pool import PoolControl

__all__ = ["JobActions"]

_IDLE = "no task of it waits in its own code"
_ENDED = "worker {} has ended, or there never was one of this number"
# Workers that a pool may be given from outside: a slip of a key should not ask for a million.
_MOST = 10_000


class JobActions:
    """
    Does what requests ask for.

    Args:
        supervisor: ends workers.
        registry: reads their stacks.
        state: knows them.
        events: gets the report of each change.
        providers: what starts workers of the job's own pools.
        program: the task that the job belongs to, None for none.
    """

    def __init__(
        self,
        supervisor: WorkerSupervisor,
        registry: JobRegistry,
        state: JobState,
        events: EventBus,
        providers: WeakSet[RunnerWorkers],
        program: asyncio.Task[Any] | None,
    ) -> None:
        self._supervisor = supervisor
        self._registry = registry
        self._state = state
        self._events = events
        self._providers = providers
        self._program = program

    async def perform(self, request: Request) -> str:
        """
        Do what a request asks for; return what was done, or read, for people.

        Raises:
            RequestError: it can't be done.
        """
        match request.do:
            case "stack":
                return await self._stack(request.number("worker"))
            case "where":
                return self._where()
            case "kill":
                return self._kill(request.number("worker"), request.by)
            case "restart":
                return self._restart(request.number("worker"), request.by)
            case "resize":
                return self._resize(self._pool(request.number("pool")), request.number("workers"), request.by)
            case "cancel":
                return self._cancel(request)
            case _:
                return self._stop(request.by)

    async def _stack(self, worker: int) -> str:
        try:
            return await self._registry.stacks.read(worker)
        except LookupError as error:
            raise RequestError(str(error)) from None

    def _where(self) -> str:
        """Return where the tasks of the program wait, and what its threads do."""
        from aioparcs.launcher.process.stacks import describe_stacks  # few programs need it

        return describe_stacks(sys._getframe()) or _IDLE

    def _kill(self, worker: int, by: str) -> str:
        record = self._state.workers.get(worker)
        if record is None:
            raise RequestError(_ENDED.format(worker))
        if record.phase in (WorkerPhase.NUMBERED, WorkerPhase.PLACED):
            raise RequestError(f"worker {worker} has not been started yet")
        self._supervisor.handle(stimuli.KillRequested(worker, signal.SIGKILL))
        pool = self._pool_of(worker)
        then = f"; pool {pool.name} starts another one" if pool else "; it is in no pool, and no other takes its place"
        return self._report(f"worker {worker} was killed by {by}", then)

    def _restart(self, worker: int, by: str) -> str:
        pool = self._pool_of(worker)
        if worker not in self._state.workers:
            raise RequestError(_ENDED.format(worker))
        if pool is None:
            raise RequestError(f"worker {worker} is in no pool, and only a pool starts another one in its place")
        pool.restart(worker)
        return self._report(f"{by} restarts worker {worker}", ": it ends when its successor is there")

    def _resize(self, pool: PoolControl, workers: int, by: str) -> str:
        if not 1 <= workers <= _MOST:
            raise RequestError(f"a pool may be given 1 to {_MOST:,} workers")
        before = pool.size
        self._supervisor.own(self._change_size, pool, workers)
        return self._report(f"{by} resizes pool {pool.name}: {before} -> {workers} workers")

    async def _change_size(self, pool: PoolControl, workers: int) -> None:
        try:
            await pool.resize(workers)
        except Exception as error:
            self._note(f"pool {pool.name} was not resized: {error}", is_warning=True)

    def _cancel(self, request: Request) -> str:
        pools = self._pools() if request.pool is None else [self._pool(request.pool)]
        calls = [call for pool in pools for call in pool.cancel(request.item, request.worker, request.by)]
        if not calls:
            what = f"item {request.item}" if request.worker is None else f"such call in worker {request.worker}"
            raise RequestError(f"no worker has {what}: it is done, or has not begun")
        more = f" and {len(calls) - 1} more" if len(calls) > 1 else ""
        return self._report(
            f"{calls[0]}{more} was cancelled by {request.by}",
            "; a plain function goes on in its worker until it returns, or the worker is killed",
        )

    def _stop(self, by: str) -> str:
        """Stop the program as SIGTERM would, once this is answered."""
        end: Callable[[], object]
        if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            end = partial(os.kill, os.getpid(), signal.SIGTERM)
        elif self._program is not None and not self._program.done():
            end = self._program.cancel
        else:
            raise RequestError("its program has opened this runner with Runner.open(), and has to close it itself")
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, end)
        return self._report(f"{by} stops the job")

    # Inside

    def _pools(self) -> list[PoolControl]:
        from aioparcs.pool import open_pools  # not each program has a pool

        return [pool for pool in open_pools if pool.provider in self._providers]

    def _pool(self, number: int) -> PoolControl:
        pool = next((pool for pool in self._pools() if pool.id == number), None)
        if pool is None:
            raise RequestError(f"there is no open pool {number}")
        return pool

    def _pool_of(self, worker: int) -> PoolControl | None:
        return next((pool for pool in self._pools() if pool.has(worker)), None)

    def _report(self, text: str, then: str = "") -> str:
        """Publish what was done; return that, and what follows from it."""
        self._events.publish(Action(monotonic(), text))
        self._note(text)
        return f"{text}{then}"

    def _note(self, text: str, *, is_warning: bool = False) -> None:
        self._events.publish(Notice(monotonic(), "runner", text, is_warning=is_warning))
