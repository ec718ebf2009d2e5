"""The start of a pool's workers: they are placed, connected, and prepared for calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from traceback import clear_frames
from typing import Protocol

from aioparcs.channel import CONCURRENCY, LIMITED, MEMORY, NO_FUNCTION, TRACING
from aioparcs.engine import WorkerSpec
from aioparcs.errors import ParcsError, RemoteError, StartError, add_note
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.pool.options import PoolOptions
from aioparcs.pool.scheduler import WorkerState
from aioparcs.pool.sizing import Replicas
from aioparcs.pool.supervision.constants import Constants, KeptConstants
from aioparcs.task import Task, WorkerHandle
from aioparcs.telemetry import find_tracer

__all__ = ["WorkerProvider", "WorkerStartup"]

# The function that a pool calls in each worker before any other.
_SETUP = "setup"


class WorkerProvider(Protocol):
    """A starter of workers: a runner, or a service."""

    async def default_size(self, spec: WorkerSpec) -> int:
        """Return the size of a pool whose user has chosen none; raise a StartError if that can't be known."""

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """Place workers; return before they are connected."""

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        """Place a worker in place of one that is gone; return before it is connected."""

    def discard(self, task: WorkerHandle) -> None:
        """Release what was kept for a replacement of a worker that gets none."""

    def release(self) -> None:
        """Release what was kept for replacements."""


class WorkerStartup:
    """
    Starts workers of a pool.

    Args:
        provider: places them.
        options: what they are, and what is called in each of them before any other function.
        replicas: counts those on their way.

    Attributes:
        provider: places them.
        coroutines: the names of coroutine functions, of which a worker runs several calls at once.
        functions: the names of all functions of the workers' module, empty if they are not known.
        tasks: all workers that were started and are not known to be gone.
    """

    def __init__(self, provider: WorkerProvider, options: PoolOptions, replicas: Replicas) -> None:
        self.provider = provider
        self.coroutines: set[str] = set()
        self.functions: set[str] = set()
        self.tasks: set[WorkerHandle] = set()
        self._options = options
        self._replicas = replicas
        self._kept = KeptConstants(options.setup or {}, self.tasks)
        self._numbers = count()  # of its workers, in the order of their starts

    def release(self) -> None:
        """Release what launchers keep for its workers, and for replacements: it starts no more of them."""
        self._kept.release()
        self.provider.release()

    async def start(self, size: int) -> list[PoolWorker]:
        """Start workers, and wait until all of them are ready for calls; if one fails, none of them stays."""
        return await self._start(self.provider.place(self._options.spec, size), size)

    async def start_successor(self, lost: WorkerHandle) -> list[PoolWorker]:
        """Start a worker in place of one that is gone, or about to be; see `start`."""

        async def place() -> list[WorkerHandle]:
            return [await self.provider.replace(self._options.spec, lost)]

        return await self._start(place(), 1)

    async def start_each(self, size: int, join: Callable[[PoolWorker], None]) -> list[ParcsError]:
        """
        Start workers, of which some may fail.

        Args:
            size: how many.
            join: called with each worker that is ready for calls.

        Returns:
            Why the others did not start.
        """
        errors: list[ParcsError] = []
        constants = Constants(self._options.setup or {}, size, self._kept)
        waiting = size  # for those that neither are ready nor have failed
        self._replicas.starting += size

        async def start_one(task: WorkerHandle) -> None:
            nonlocal waiting
            try:
                worker = await self._prepare(task, next(self._numbers), constants)
            except ParcsError as error:
                errors.append(error)
                await self._discard([task])
            except BaseException:
                await self._discard([task])
                raise
            else:
                waiting -= 1
                self._replicas.starting -= 1
                join(worker)

        try:
            tasks = await self.provider.place(self._options.spec, size)
            self.tasks.update(tasks)
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(start_one(task))
        except ParcsError as error:
            errors += [error] * size
        except BaseException as error:
            raise _first(error) from None
        finally:
            constants.release()
            self._replicas.starting -= waiting
        return errors

    async def _start(self, placing: Awaitable[list[WorkerHandle]], size: int) -> list[PoolWorker]:
        self._replicas.starting += size
        constants = Constants(self._options.setup or {}, size, self._kept)
        tasks: list[WorkerHandle] = []
        try:
            tasks += await placing
            self.tasks.update(tasks)
            async with asyncio.TaskGroup() as group:
                preparations = [
                    group.create_task(self._prepare(task, next(self._numbers), constants)) for task in tasks
                ]
            return [preparation.result() for preparation in preparations]
        except BaseException as error:
            await self._discard(tasks)
            raise _first(error) from None
        finally:
            constants.release()
            self._replicas.starting -= size

    async def _discard(self, tasks: list[WorkerHandle]) -> None:
        """Kill workers that did not start."""
        for task in tasks:
            task.abort()
        await asyncio.gather(*(task.kill() for task in tasks))
        self.tasks.difference_update(tasks)
        for task in tasks:
            self.provider.discard(task)

    async def _prepare(self, task: WorkerHandle, number: int, constants: Constants) -> PoolWorker:
        await task.wait_connected()
        await self._configure(task, number)
        if self._options.setup is not None:
            try:
                await self._set_up(task, constants)
            except BaseException as error:
                clear_frames(error.__traceback__)  # they have the arguments; an error may be kept for long
                if isinstance(error, RemoteError):
                    add_note(error, f"in {_SETUP}(), which the pool calls in each worker first")
                raise
        await self._check_limits(task)
        makes_spans = False
        if find_tracer() is not None and task.channel.connection.tracing:  # by now: perhaps since `setup`
            makes_spans = await self._makes_spans(task)
        options = self._options
        state = WorkerState(task.worker, options.concurrency, self.coroutines, options.recycling.max_calls)
        return PoolWorker(task, state, makes_spans=makes_spans)

    @staticmethod
    async def _set_up(task: WorkerHandle, constants: Constants) -> None:
        async with constants.of(task) as values:
            await Task(task).call(_SETUP, **values)

    @staticmethod
    async def _makes_spans(task: WorkerHandle) -> bool:
        """Return whether calls in a worker are spans; if not, those of short ones here are fewer than the calls."""
        try:
            return await Task(task).call(TRACING) is True
        except RemoteError:
            return False  # a worker of another language

    async def _configure(self, task: WorkerHandle, number: int) -> None:
        """Set how many calls a worker runs at once, and its number; it answers with the names of its functions."""
        options = self._options
        try:
            answer = await Task(task).call(CONCURRENCY, options.concurrency, options.function, number, True)
        except RemoteError as error:
            if error.type == NO_FUNCTION:
                raise
            return  # a worker of another language, which need not know the question
        names = answer if isinstance(answer, dict) else {"coroutines": answer}
        for known, key in ((self.coroutines, "coroutines"), (self.functions, "functions")):
            if isinstance(names.get(key), list):
                known.update(name for name in names[key] if isinstance(name, str))

    async def _check_limits(self, task: WorkerHandle) -> None:
        """Raise an error if a worker can't keep the limits of this pool: one of another language may not know them."""
        module, memory = self._options.spec.module, self._options.recycling.max_memory
        for option, value, function in (("timeout", self._options.timeout, LIMITED), ("max_memory", memory, MEMORY)):
            if value is None:
                continue
            try:
                answer = await Task(task).call(function)
            except RemoteError as error:
                reason = f"{option}={value!r}: {task.name} doesn't know {function}; {error.type}: {error.message}"
                raise StartError(module, reason) from None
            if function == MEMORY and answer > value:
                reason = f"max_memory={value:,}: {task.name} has {answer:,} bytes before its first call; set it higher"
                raise StartError(module, reason)


def _first(error: BaseException) -> BaseException:
    """Return the first of a group of errors: they are alike."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
