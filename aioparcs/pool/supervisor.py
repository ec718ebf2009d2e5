"""The supervisor of a pool's workers: it starts, replaces and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from time import monotonic
from typing import Protocol

from aioparcs import deadlines
from aioparcs.channel import CONCURRENCY, LIMITED, MEMORY, NO_FUNCTION
from aioparcs.engine import WorkerSpec
from aioparcs.errors import ChannelClosed, ParcsError, RemoteError, StartError, WorkerLost, add_note
from aioparcs.events import EventBus, Notice
from aioparcs.pool.dispatcher import Dispatcher
from aioparcs.pool.options import PoolOptions
from aioparcs.pool.progress import Progress
from aioparcs.pool.recycling import Recycling, has_outgrown
from aioparcs.pool.scheduler import Replicas, Step
from aioparcs.pool.worker import PoolWorker
from aioparcs.task import Task, WorkerHandle

__all__ = ["PoolSupervisor", "WorkerProvider"]

# Seconds before the second try to replace a worker, and the most before any: each pause is twice the one before.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
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

    def release(self) -> None:
        """Release what was kept for replacements."""


class PoolSupervisor:
    """
    Keeps as many workers at work as are wanted.

    Args:
        provider: starts them.
        events: gets a warning when workers can't be replaced.
        options: what they are, and what is called in each of them before any other function.
        dispatcher: sends them their calls.
        replicas: decides how many to start.
        progress: reports their number.

    Attributes:
        coroutines: the names of coroutine functions, of which a worker runs several calls at once.
        functions: the names of all functions of its workers' module, empty if they are not known.
    """

    def __init__(
        self,
        provider: WorkerProvider,
        events: EventBus,
        options: PoolOptions,
        dispatcher: Dispatcher,
        replicas: Replicas,
        progress: Progress,
    ) -> None:
        self._provider = provider
        self._events = events
        self._options = options
        self._dispatcher = dispatcher
        self._replicas = replicas
        self._progress = progress
        self.coroutines: set[str] = set()
        self.functions: set[str] = set()
        self._tasks: set[WorkerHandle] = set()  # all that were started and are not known to be gone
        self._group: asyncio.TaskGroup
        self._supervision: asyncio.Task[None]
        self._resizing = asyncio.Lock()
        self._numbers = count()  # of its workers, in the order of their starts
        self._has_warned = False  # that there are too few

    async def open(self) -> None:
        """Begin; `aclose` or `abort` follows."""
        opened = asyncio.get_running_loop().create_future()
        self._supervision = asyncio.create_task(self._supervise(opened))
        await opened

    async def resize(self, size: int) -> None:
        """
        Start workers, and wait until all of them are at work, or retire some, which first finish what they run.

        One size after the other, in the order of the calls. Cancelling it kills those that were on their way; so does
        `aclose`, which cancels this call.

        Raises:
            StartError: a worker did not start; none of the new ones stays.
            RemoteError: a worker's ``setup`` failed, or it serves no such function; none of the new ones stays.
        """
        if (error := await self._group.create_task(self._try_resize(size))) is not None:
            raise error

    async def aclose(self) -> None:
        """
        End all workers: those that have nothing to do gracefully, the others at once.

        A caller that cancels it calls `abort`.
        """
        self._close()
        await asyncio.gather(self._supervision, return_exceptions=True)
        busy = self._dispatcher.clear()
        await asyncio.gather(*(self._end(task, graceful=task not in busy) for task in self._tasks))
        self._provider.release()

    def abort(self) -> None:
        """End all workers at once, and wait for nothing."""
        self._close()
        self._dispatcher.clear()
        for task in self._tasks:
            task.abort()
        self._provider.release()

    async def _supervise(self, opened: asyncio.Future[None]) -> None:
        """Run all tasks until `_close`."""
        async with asyncio.TaskGroup() as self._group:
            opened.set_result(None)
            await asyncio.get_running_loop().create_future()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """End the pool at an unexpected error in the block, but not the other tasks of the group."""
        try:
            yield
        except Exception as error:
            self._fail(error)

    # Inside: starting

    async def _try_resize(self, size: int) -> Exception | None:
        """Resize the pool; return what went wrong, which is the caller's and no failure of this task."""
        try:
            async with self._resizing:
                await self._resize(size)
        except Exception as error:
            return error
        return None

    async def _resize(self, size: int) -> None:
        more = self._replicas.resize(size)
        try:
            if more:
                self._join(await self._start(self._provider.place(self._options.spec, more), more))
        except BaseException:
            self._replicas.withdraw(more)
            raise
        self._shrink()

    async def _start(self, placing: Awaitable[list[WorkerHandle]], count: int) -> list[PoolWorker]:
        """Start workers, and wait until all of them are ready for calls; if one fails, none of them stays."""
        self._replicas.starting += count
        tasks: list[WorkerHandle] = []
        try:
            tasks += await placing
            self._tasks.update(tasks)
            async with asyncio.TaskGroup() as group:
                preparations = [group.create_task(self._prepare(task, next(self._numbers))) for task in tasks]
            return [preparation.result() for preparation in preparations]
        except BaseException as error:
            for task in tasks:
                task.abort()
            await asyncio.gather(*(task.kill() for task in tasks))
            self._tasks.difference_update(tasks)
            raise _first(error) from None
        finally:
            self._replicas.starting -= count

    async def _prepare(self, task: WorkerHandle, number: int) -> PoolWorker:
        await task.wait_connected()
        await self._configure(task, number)
        if self._options.setup is not None:
            try:
                await Task(task).call(_SETUP, **self._options.setup)
            except RemoteError as error:
                add_note(error, f"in {_SETUP}(), which the pool calls in each worker first")
                raise
        await self._check_limits(task)
        return PoolWorker(task, self._options.concurrency, self.coroutines, self._options.recycling.max_calls)

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

    def _join(self, workers: list[PoolWorker]) -> None:
        recycling = self._options.recycling
        for worker in workers:
            self._group.create_task(self._watch_connection(worker))
            self._group.create_task(self._watch_exit(worker))
            if recycling != Recycling():
                self._group.create_task(self._recycle(worker))
            if recycling.max_memory is not None:
                self._group.create_task(self._watch_memory(worker, recycling.max_memory))
            self._dispatcher.add_worker(worker)
        self._has_warned = self._has_warned and self._dispatcher.size < self._replicas.wanted
        self._progress.report()

    # Inside: replacing

    async def _watch_exit(self, worker: PoolWorker) -> None:
        """Wait for a worker's end, and replace it."""
        with self._guard():
            lost = await worker.task.wait_exited()
            self._tasks.discard(worker.task)
            self._dispatcher.remove_worker(worker, lost or WorkerLost.from_exit(worker.task.name, 0))
            self._progress.report()
            worker.expired.set()  # so that nothing waits for that
            await self._replace(worker.task)

    async def _watch_connection(self, worker: PoolWorker) -> None:
        """Kill a worker that lives on without its connection: no call can reach it."""
        task = worker.task
        with self._guard():
            try:
                while True:
                    await task.channel.connection.recv_frame()  # discarded: only the end of the connection counts
            except ParcsError as error:
                if isinstance(error, ChannelClosed):
                    return  # by this side, which sees to the rest
            try:
                async with asyncio.timeout(deadlines.POOL_LOSS):
                    await task.wait_exited()
            except TimeoutError:
                worker.is_cut_off = True
                await task.kill()
                self._warn(f"{task.name} went on without its connection, and was killed")

    async def _replace(self, lost: WorkerHandle) -> None:
        """Start a worker in place of one that is gone; try until it is there, or none is missing."""
        pause = _FIRST_PAUSE
        while (step := self._next_step()) is Step.START:
            try:
                self._join(await self._start(self._place_successor(lost), 1))
                self._shrink()
                return
            except ParcsError as error:
                self._continue_degraded(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if step is Step.GIVE_UP:
            reason = f"{self._dispatcher.idle_deaths} of its workers have died while idle"
            self._fail(StartError(self._options.spec.module, reason))

    def _next_step(self) -> Step:
        return self._replicas.next_step(self._dispatcher.lasting, self._dispatcher.idle_deaths)

    async def _recycle(self, worker: PoolWorker) -> None:
        """Start another worker in place of one that has had its calls, or its memory; then end that."""
        await worker.expired.wait()
        if worker.id not in self._dispatcher.workers:
            return  # it has died before
        with self._guard():
            if self._next_step() is Step.START:
                with suppress(ParcsError):  # there may be no room for one more: then it starts when this one is gone
                    self._join(await self._start(self._place_successor(worker.task), 1))
            if self._dispatcher.retire(worker):
                self._shrink()
                await self._finish(worker)
            else:  # it has died meanwhile
                await self._replace(worker.task)

    async def _watch_memory(self, worker: PoolWorker, most: int) -> None:
        """Wait until a worker has more memory than it may have, and expire it."""
        with self._guard():
            if await has_outgrown(worker, most):
                self._dispatcher.expire(worker)

    async def _place_successor(self, lost: WorkerHandle) -> list[WorkerHandle]:
        return [await self._provider.replace(self._options.spec, lost)]

    def _continue_degraded(self, error: ParcsError) -> None:
        """Go on with fewer workers after one that did not start; with none the pool has failed."""
        size = self._dispatcher.size
        if self._replicas.is_hopeless(size):
            reason = error.reason if isinstance(error, StartError) else str(error)
            lines = error.last_lines if isinstance(error, StartError | WorkerLost) else ()
            failure = StartError(self._options.spec.module, f"no worker of the pool is left: {reason}", lines)
            failure.__cause__ = error
            self._warn(f"the pool has failed: {failure}")
            self._fail(failure)
        elif not self._has_warned:
            self._has_warned = True
            self._warn(f"the pool goes on with {size} of {self._replicas.wanted} workers: {error}")

    def _warn(self, text: str) -> None:
        self._events.publish(Notice(monotonic(), self._options.spec.module, text, is_warning=True))

    def _fail(self, error: BaseException) -> None:
        self._replicas.stop()
        self._dispatcher.fail(error)

    # Inside: ending

    def _shrink(self) -> None:
        """Retire surplus workers, those with the least to do first; they finish what they run."""
        for worker in self._dispatcher.retire_surplus(self._replicas):
            self._group.create_task(self._finish(worker))
        self._progress.report()

    async def _finish(self, worker: PoolWorker) -> None:
        with self._guard():
            await worker.drained.wait()
            # The end of the pool cancels this, and waits for all ends by itself: a cancelled one would be a kill.
            await asyncio.shield(worker.task.shutdown())

    def _close(self) -> None:
        self._replicas.close()
        self._supervision.cancel()

    async def _end(self, task: WorkerHandle, *, graceful: bool) -> None:
        await (task.shutdown() if graceful and task.is_connected else task.kill())


def _first(error: BaseException) -> BaseException:
    """Return the first of a group of errors: they are alike."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
