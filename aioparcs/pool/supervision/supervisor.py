"""The supervisor of a pool's workers: it starts, replaces and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from aioparcs import deadlines
from aioparcs.errors import ChannelClosed, ParcsError, StartError, WorkerLost
from aioparcs.events import EventBus, Notice
from aioparcs.pool.dispatch import PoolWorker, PoolWorkers, Succession
from aioparcs.pool.options import PoolOptions, Recycling
from aioparcs.pool.progress import Progress
from aioparcs.pool.sizing import Autoscaler, Bounds, Replicas, Step
from aioparcs.pool.supervision.memory import has_outgrown
from aioparcs.pool.supervision.scaling import Scaling
from aioparcs.pool.supervision.startup import WorkerProvider, WorkerStartup
from aioparcs.task import WorkerHandle

__all__ = ["PoolSupervisor"]

# Seconds before the second try to replace a worker, and the most before any: each pause is twice the one before.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class PoolSupervisor:
    """
    Keeps as many workers at work as are wanted.

    Args:
        provider: starts them.
        events: gets a warning when workers can't be replaced.
        options: what they are, and what is called in each of them before any other function.
        workers: those that are up, which get calls.
        replicas: decides how many to start.
        progress: reports their number.
    """

    def __init__(
        self,
        provider: WorkerProvider,
        events: EventBus,
        options: PoolOptions,
        workers: PoolWorkers,
        replicas: Replicas,
        progress: Progress,
    ) -> None:
        self._events = events
        self._options = options
        self._workers = workers
        self._replicas = replicas
        self._progress = progress
        self._startup = WorkerStartup(provider, options, replicas)
        self._tasks = self._startup.tasks
        autoscaler = Autoscaler(Bounds(0, 0), options.idle)  # until `resize` sets them
        self._scaling = Scaling(autoscaler, self._startup, workers, replicas, progress, self)
        self._group: asyncio.TaskGroup
        self._supervision: asyncio.Task[None]
        self._is_closing = False
        self._has_warned = False  # that there are too few

    @property
    def coroutines(self) -> set[str]:
        """The names of coroutine functions, of which a worker runs several calls at once."""
        return self._startup.coroutines

    @property
    def functions(self) -> set[str]:
        """The names of all functions of its workers' module, empty if they are not known."""
        return self._startup.functions

    async def open(self) -> None:
        """Begin; `aclose` or `abort` follows."""
        opened = asyncio.get_running_loop().create_future()
        self._supervision = asyncio.create_task(self._supervise(opened))
        await opened

    async def resize(self, bounds: Bounds) -> None:
        """
        Start workers, and wait until all of them are at work, or retire some, which first finish what they run.

        One size after the other, in the order of the calls. Cancelling it kills those that were on their way; so does
        `aclose`, which cancels this call.

        Raises:
            StartError: a worker did not start; none of the new ones stays.
            RemoteError: a worker's ``setup`` failed, or it serves no such function; none of the new ones stays.
        """
        if (error := await self._group.create_task(self._try_resize(bounds))) is not None:
            raise error

    def restart(self, worker: PoolWorker) -> None:
        """Start another worker in place of one, which then finishes what it runs, and ends."""
        if self._options.recycling == Recycling() and not worker.expired.is_set():
            self._spawn(self._recycle(worker))
        self._workers.expire(worker)

    async def aclose(self) -> None:
        """
        End all workers: those that have nothing to do gracefully, the others at once.

        A caller that cancels it calls `abort`.
        """
        self._close()
        await asyncio.gather(self._supervision, return_exceptions=True)
        busy = self._workers.clear()
        await asyncio.gather(*(self._end(task, graceful=task not in busy) for task in self._tasks))
        self._startup.release()

    def abort(self) -> None:
        """End all workers at once, and wait for nothing."""
        self._close()
        self._workers.clear()
        for task in self._tasks:
            task.abort()
        self._startup.release()

    async def _supervise(self, opened: asyncio.Future[None]) -> None:
        """Run all tasks until `_close`."""
        async with asyncio.TaskGroup() as self._group:
            opened.set_result(None)
            self._group.create_task(self._scale())
            await asyncio.get_running_loop().create_future()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that ends with the pool; while the pool ends, start nothing: `aclose` sees to all workers."""
        if self._is_closing:
            work.close()
        else:
            self._group.create_task(work)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """End the pool at an unexpected error in the block, but not the other tasks of the group."""
        try:
            yield
        except Exception as error:
            self._fail(error)

    # Inside: starting

    async def _try_resize(self, bounds: Bounds) -> Exception | None:
        """Resize the pool; return what went wrong, which is the caller's and no failure of this task."""
        try:
            await self._scaling.resize(bounds)
        except Exception as error:
            return error
        return None

    async def _scale(self) -> None:
        with self._guard():
            await self._scaling.run()

    def join(self, workers: list[PoolWorker]) -> None:
        """Send calls to workers that are ready for them, and watch over these."""
        recycling = self._options.recycling
        for worker in workers:
            self._spawn(self._watch_connection(worker))
            self._spawn(self._watch_exit(worker))
            if recycling != Recycling():
                self._spawn(self._recycle(worker))
            if recycling.max_memory is not None:
                self._spawn(self._watch_memory(worker, recycling.max_memory))
            self._workers.add(worker)
        is_complete = self._workers.size >= self._replicas.wanted and not self._scaling.is_limited
        self._has_warned = self._has_warned and not is_complete
        self._progress.report()

    # Inside: replacing

    async def _watch_exit(self, worker: PoolWorker) -> None:
        """Wait for a worker's end, and replace it."""
        with self._guard():
            lost = await worker.task.wait_exited()
            self._tasks.discard(worker.task)
            self._workers.remove(worker, lost or WorkerLost.from_exit(worker.task.name, 0))
            self._progress.report()
            worker.expired.set()  # so that nothing waits for that
            self._replicas.leaving -= worker.succession is Succession.AWAITED
            await self._replace(worker)

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

    async def _replace(self, worker: PoolWorker) -> None:
        """Start a worker in place of one that is gone; try until it is there, or none is missing."""
        if worker.succession is Succession.STARTED:
            return  # a second one would need a launcher of its own; what else is missing is replaced elsewhere
        lost, pause = worker.task, _FIRST_PAUSE
        while (step := self._next_step()) is Step.START:
            try:
                self.join(await self._startup.start_successor(lost))
                self._shrink()
                return
            except ParcsError as error:
                self.continue_degraded(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._startup.provider.discard(lost)
        if step is Step.GIVE_UP:
            reason = f"{self._workers.idle_deaths} of its workers have died while idle"
            self._fail(StartError(self._options.spec.module, reason))

    def _next_step(self) -> Step:
        return self._replicas.next_step(self._workers.lasting, self._workers.idle_deaths)

    async def _recycle(self, worker: PoolWorker) -> None:
        """Start another worker in place of one that has had its calls, or its memory; then end that."""
        await worker.expired.wait()
        if worker.id not in self._workers.up:
            return  # it has died before
        with self._guard():
            if self._next_step() is Step.START:
                worker.succession = Succession.STARTED
                try:
                    self.join(await self._startup.start_successor(worker.task))
                except ParcsError:  # there may be no room for one more: then it starts when this one is gone
                    worker.succession = Succession.NONE
            if self._workers.retire(worker):
                if worker.succession is Succession.NONE:
                    worker.succession = Succession.AWAITED
                    self._replicas.leaving += 1
                self._shrink()
                await self._finish(worker)
            else:  # it has died meanwhile
                await self._replace(worker)

    async def _watch_memory(self, worker: PoolWorker, most: int) -> None:
        """Wait until a worker has more memory than it may have, and expire it."""
        with self._guard():
            if await has_outgrown(worker, most):
                self._workers.expire(worker)

    def continue_degraded(self, error: ParcsError) -> None:
        """Go on with fewer workers after one that did not start; with none the pool has failed."""
        size = self._workers.size
        if self._replicas.is_hopeless(size):
            reason = error.reason if isinstance(error, StartError) else str(error)
            lines = error.last_lines if isinstance(error, StartError | WorkerLost) else ()
            failure = StartError(self._options.spec.module, f"no worker of the pool is left: {reason}", lines)
            failure.__cause__ = error
            self._warn(f"the pool has failed: {failure}")
            self._fail(failure)
        elif not self._has_warned and not self._replicas.leaving:
            self._has_warned = True
            self._warn(f"the pool goes on with {size} of {self._replicas.wanted} workers: {error}")

    def _warn(self, text: str) -> None:
        self._events.publish(Notice(monotonic(), self._options.spec.module, text, is_warning=True))

    def _fail(self, error: BaseException) -> None:
        self._replicas.stop()
        self._workers.fail(error)

    # Inside: ending

    def leave(self, workers: list[PoolWorker]) -> None:
        """End workers that get no more calls; they finish what they run."""
        for worker in workers:
            self._spawn(self._finish(worker))
        self._progress.report()

    def _shrink(self) -> None:
        """Retire surplus workers, those with the least to do first."""
        self.leave(self._workers.retire_surplus(self._replicas))

    async def _finish(self, worker: PoolWorker) -> None:
        with self._guard():
            await worker.wait_drained()
            # The end of the pool cancels this, and waits for all ends by itself: a cancelled one would be a kill.
            await asyncio.shield(worker.task.shutdown())

    def _close(self) -> None:
        self._is_closing = True
        self._replicas.close()
        self._supervision.cancel()

    async def _end(self, task: WorkerHandle, *, graceful: bool) -> None:
        await (task.shutdown() if graceful and task.is_connected else task.kill())
