"""The supervisor of a pool's workers: it starts, replaces and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import monotonic
from typing import Any, Protocol

from aioparcs import deadlines
from aioparcs.channel import CONCURRENCY, NO_FUNCTION
from aioparcs.engine import WorkerSpec
from aioparcs.errors import ChannelClosed, ParcsError, RemoteError, StartError, WorkerLost
from aioparcs.events import EventBus, Notice
from aioparcs.pool.scheduler import Scheduler
from aioparcs.pool.worker import PoolWorker
from aioparcs.task import Task, WorkerHandle

__all__ = ["PoolSupervisor", "WorkerProvider"]

# Workers that may die one after the other without one answer between before their module counts as broken.
_DEATHS = 5
# Seconds before the second try to replace a worker, and the most before any: each pause is twice the one before.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# The function that a pool calls in each worker before any other.
_SETUP = "setup"


class WorkerProvider(Protocol):
    """A starter of workers: a runner, or a service."""

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """Place workers; return before they are connected."""

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        """Place a worker in place of one that is gone; return before it is connected."""

    def let_go(self) -> None:
        """Release what was kept for replacements."""


class PoolSupervisor:
    """
    Keeps as many workers at work as are wanted.

    Args:
        provider: starts them.
        events: gets a warning when workers can't be replaced.
        spec: their specification.
        setup: arguments of the function ``setup``, called in each of them before any other; None for no call.
        concurrency: how many calls each runs at once.
        function: the name of a function that each must serve; "" for any.
        scheduler: gives them their calls.
        changed: called when their number changes.
        failed: called with the reason when there can be none any more.

    Attributes:
        wanted: how many workers there should be.
    """

    def __init__(
        self,
        provider: WorkerProvider,
        events: EventBus,
        spec: WorkerSpec,
        setup: Mapping[str, Any] | None,
        concurrency: int,
        function: str,
        *,
        scheduler: Scheduler,
        changed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.wanted = 0
        self._provider = provider
        self._events = events
        self._spec = spec
        self._setup = setup
        self._concurrency = concurrency
        self._function = function
        self._scheduler = scheduler
        self._changed = changed
        self._failed = failed
        self._tasks: set[WorkerHandle] = set()  # all that were started and are not known to be gone
        self._jobs: set[asyncio.Task[None]] = set()
        self._resizing = asyncio.Lock()
        self._coming = 0  # workers that are on their way
        self._deaths = 0  # of workers that had nothing to do, since the last answer
        self._is_over = False
        self._has_told = False  # the user, that there are too few

    @property
    def size(self) -> int:
        """The number of workers that are up, without those that are about to leave."""
        return sum(not member.is_leaving for member in self._scheduler.members)

    def answered(self) -> None:
        """Reset the count of deaths: workers answer."""
        self._deaths = 0

    async def resize(self, size: int) -> None:
        """
        Start workers, and wait until all of them are at work, or retire some, which first finish what they run.

        One size after the other, in the order of the calls. Cancelling it kills those that were on their way; so does
        `aclose`, which cancels this call.

        Raises:
            StartError: a worker did not start; none of the new ones stays.
            RemoteError: a worker's ``setup`` failed, or it serves no such function; none of the new ones stays.
        """
        await self._own(self._resize(size))

    async def aclose(self) -> None:
        """
        End all workers: those that have nothing to do gracefully, the others at once.

        A caller that cancels it calls `abort`.
        """
        self._close()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        busy = {member.task for member in self._scheduler.members if member.calls}
        self._scheduler.members.clear()
        await asyncio.gather(*(self._end(task, gently=task not in busy) for task in self._tasks))
        self._provider.let_go()

    def abort(self) -> None:
        """End all workers at once, and wait for nothing."""
        self._close()
        self._scheduler.members.clear()
        for task in self._tasks:
            task.abort()
        self._provider.let_go()

    # Inside: starting

    async def _resize(self, size: int) -> None:
        async with self._resizing:
            more = size - self.wanted
            self.wanted = size
            try:
                if more > 0:
                    self._join(await self._start(self._provider.place(self._spec, more), more))
            except BaseException:
                self.wanted -= min(more, self.wanted)  # it is 0 when the pool was closed meanwhile
                raise
            self._shrink()

    async def _start(self, placing: Awaitable[list[WorkerHandle]], count: int) -> list[PoolWorker]:
        """Start workers, and wait until all of them are ready for calls; if one fails, none of them stays."""
        self._coming += count
        tasks: list[WorkerHandle] = []
        try:
            tasks += await placing
            self._tasks.update(tasks)
            async with asyncio.TaskGroup() as group:
                preparing = [group.create_task(self._prepare(task)) for task in tasks]
            return [job.result() for job in preparing]
        except BaseException as error:
            for task in tasks:
                task.abort()
            await asyncio.gather(*(task.kill() for task in tasks))
            self._tasks.difference_update(tasks)
            raise _first(error) from None
        finally:
            self._coming -= count

    async def _prepare(self, task: WorkerHandle) -> PoolWorker:
        await task.wait_connected()
        if self._function:
            await self._check_function(task)
        if self._setup is not None:
            try:
                await Task(task).call(_SETUP, **self._setup)
            except RemoteError as error:
                error.add_note(f"in {_SETUP}(), which the pool calls in each worker first")
                raise
        return PoolWorker(task, self._concurrency, self._scheduler.answered, self._scheduler.returned)

    async def _check_function(self, task: WorkerHandle) -> None:
        try:
            await Task(task).call(CONCURRENCY, self._concurrency, self._function)
        except RemoteError as error:
            if error.type == NO_FUNCTION:  # else a worker of another language, which need not know the question
                raise

    def _join(self, members: list[PoolWorker]) -> None:
        for member in members:
            self._run(self._watch_connection(member.task))
            self._run(self._watch_exit(member))
            self._scheduler.add(member)
        self._has_told = self._has_told and self.size < self.wanted
        self._changed()

    # Inside: replacing

    async def _watch_exit(self, member: PoolWorker) -> None:
        """Wait for a worker's end, and replace it."""
        lost = await member.task.wait_exited()
        self._tasks.discard(member.task)
        member.take_unsent_results()
        was_idle = not member.calls
        self._scheduler.remove(member, lost or WorkerLost.from_exit(member.task.name, 0))
        self._changed()
        if self._is_short:
            self._deaths += was_idle
            await self._replace(member.task)

    async def _watch_connection(self, task: WorkerHandle) -> None:
        """Kill a worker that lives on without its connection: no call can reach it."""
        try:
            while True:
                await (
                    task.channel.connection.recv_frame()
                )  # what it sends is discarded: only the end of the connection counts
        except ChannelClosed:
            return  # by this side, which sees to the rest
        except ParcsError:
            pass
        try:
            async with asyncio.timeout(deadlines.POOL_LOSS):
                await task.wait_exited()
        except TimeoutError:
            await task.kill()
            self._warn(f"{task.name} ran on without its connection, and was killed")

    @property
    def _is_short(self) -> bool:
        return self.size + self._coming < self.wanted and not self._is_over

    async def _replace(self, gone: WorkerHandle) -> None:
        """Start a worker in place of one that is gone; try until it is there, or none is missing."""
        pause = _FIRST_PAUSE
        while self._is_short:
            if self._deaths > _DEATHS + self.wanted:
                reason = f"{self._deaths} of its workers have died while idle"
                self._fail(StartError(self._spec.module, reason))
                return
            try:
                self._join(await self._start(self._successor(gone), 1))
                self._shrink()
                return
            except ParcsError as error:
                self._continue_degraded(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _successor(self, gone: WorkerHandle) -> list[WorkerHandle]:
        return [await self._provider.replace(self._spec, gone)]

    def _continue_degraded(self, error: ParcsError) -> None:
        if not self._has_told:
            self._has_told = True
            self._warn(f"the pool goes on with {self.size} workers of {self.wanted}: {error}")
        if not self.size and not self._coming:
            self._fail(error)

    def _warn(self, text: str) -> None:
        self._events.publish(Notice(monotonic(), self._spec.module, text, is_warning=True))

    def _fail(self, error: BaseException) -> None:
        self._is_over = True
        self._failed(error)

    # Inside: ending

    def _shrink(self) -> None:
        """Retire surplus workers, those with the least to do first; they finish what they run."""
        staying = [member for member in self._scheduler.members if not member.is_leaving]
        staying.sort(key=lambda member: len(member.calls))
        for member in staying[: max(0, len(staying) - self.wanted)]:
            self._scheduler.retire(member)
            self._run(member.finish())
        self._changed()

    def _close(self) -> None:
        self._is_over = True
        self.wanted = 0
        for job in self._jobs:
            job.cancel()

    async def _end(self, task: WorkerHandle, *, gently: bool) -> None:
        if gently and task.is_connected:
            await task.shutdown()
        else:
            await task.kill()

    def _own(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    def _run(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task that nothing awaits: its failure ends the pool."""
        self._own(job).add_done_callback(self._check)

    def _check(self, job: asyncio.Task[None]) -> None:
        if not job.cancelled() and (error := job.exception()) is not None:
            self._fail(error)


def _first(error: BaseException) -> BaseException:
    """Return the first of a group of errors: they are alike."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
