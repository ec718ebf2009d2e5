"""The workers of a pool: how they are started, replaced, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from aioparcs.channel import CONCURRENCY
from aioparcs.engine import PoolState, WorkerSpec
from aioparcs.errors import ParcsError, RemoteError, StartError, WorkerLost
from aioparcs.pool.dispatch import Dispatch
from aioparcs.pool.member import Member
from aioparcs.pool.submissions import Submissions
from aioparcs.task import StartingMany, Task

__all__ = ["Crew", "Employer", "Watcher"]

# Workers that may die one after the other without one answer between before their module counts as broken.
_DEATHS = 5
# The function that a pool calls in each worker before any other.
_SETUP = "setup"


class Employer(Protocol):
    """Whoever can start workers."""

    async def place(self, spec: WorkerSpec, count: int) -> list[Task]:
        """Have workers placed; returns before they are connected."""

    async def replace(self, spec: WorkerSpec, task: Task) -> Task:
        """Have a worker placed where another one was that is gone; returns before it is connected."""

    def let_go(self) -> None:
        """Keep nothing for replacements any more."""


class Watcher(Protocol):
    """Whoever is told of a pool; see `Observer`."""

    def pooled(self, state: PoolState) -> None:
        """Be told how far a pool is."""

    def note(self, module: str, text: str) -> None:
        """Be told what people should know."""


class Crew:
    """
    Keeps as many workers at work as are wanted.

    Args:
        employer: starts them.
        observer: is told of those that can't be replaced.
        spec: what they are.
        dispatch: gives them their calls.
        setup: arguments of the function ``setup``, called in each of them before any other; None for no call.
        concurrency: how many calls each runs at once.
        changed: called when there are more or fewer of them.
        failed: called with the reason when there can be none any more.

    Attributes:
        wanted: how many there should be.
    """

    def __init__(
        self,
        employer: Employer,
        observer: Watcher,
        spec: WorkerSpec,
        dispatch: Dispatch,
        *,
        setup: Mapping[str, Any] | None,
        concurrency: int,
        changed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.wanted = 0
        self._employer = employer
        self._observer = observer
        self._spec = spec
        self._dispatch = dispatch
        self._setup = setup
        self._concurrency = concurrency
        self._changed = changed
        self._failed = failed
        self._tasks: set[Task] = set()  # all that were started and are not known to be gone
        self._jobs: set[asyncio.Task[None]] = set()
        self._coming = 0  # workers that are on their way
        self._deaths = 0  # of workers that had nothing to do, since the last answer

    @property
    def size(self) -> int:
        """How many are up, those that are about to leave excluded."""
        return sum(not member.is_leaving for member in self._dispatch.members)

    def answered(self) -> None:
        """Take note that work gets done."""
        self._deaths = 0

    async def hire(self, count: int) -> None:
        """
        Start workers, and wait until all of them are at work. Cancelling it kills them.

        Raises:
            StartError: one did not start; none of them stays.
            RemoteError: its ``setup`` failed; none of them stays.
        """
        self.wanted += count
        self._coming += count
        tasks: list[Task] = []
        try:
            tasks += await StartingMany(
                lambda: self._employer.place(self._spec, count), min_workers=None, return_exceptions=False
            )
            self._tasks.update(tasks)
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(self._prepare(task))
        except BaseException as error:
            self.wanted -= count
            await asyncio.gather(*(self._end(task, gently=False) for task in tasks))
            raise _first(error) from None
        finally:
            self._coming -= count
        for task in tasks:
            self._join(task)

    def dismiss(self, count: int) -> None:
        """Have workers leave, those with the least to do first; they finish what they run."""
        self.wanted -= count
        staying = [member for member in self._dispatch.members if not member.is_leaving]
        for member in sorted(staying, key=lambda member: len(member.calls))[:count]:
            self._dispatch.retire(member)
            self._own(member.finish())
        self._changed()

    async def aclose(self) -> None:
        """End all of them: those that have nothing to do gracefully, the others at once."""
        self.wanted = 0
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        busy = {member.task for member in self._dispatch.members if member.calls}
        self._dispatch.members.clear()
        try:
            await asyncio.gather(*(self._end(task, gently=task not in busy) for task in self._tasks))
        finally:
            self._employer.let_go()

    # Inside

    async def _prepare(self, task: Task) -> None:
        setting = Submissions()
        setting.add(CONCURRENCY, (self._concurrency,), {})
        task.channel.post_calls(setting.take(1))  # before all others: nobody has to wait for its answer
        if self._setup is not None:
            await task.call(_SETUP, **self._setup)

    def _join(self, task: Task) -> None:
        member = Member(task, self._concurrency, self._dispatch.answered, self._dispatch.returned)
        self._own(self._attend(member))
        self._dispatch.add(member)
        self._changed()

    async def _attend(self, member: Member) -> None:
        """Wait for a worker's end, and have another one take its place."""
        lost = await member.task.wait_exited()
        self._tasks.discard(member.task)
        member.hear_untold()
        self._deaths += not member.calls
        self._dispatch.remove(member, lost or WorkerLost.from_exit(member.task.name, 0))
        self._changed()
        if self.size + self._coming < self.wanted:
            await self._replace(member.task)

    async def _replace(self, gone: Task) -> None:
        if self._deaths > _DEATHS + self.wanted:
            self._failed(StartError(self._spec.module, f"{self._deaths} of its workers have died with nothing to do"))
            return
        self._coming += 1
        outcome = await asyncio.gather(self._successor(gone), return_exceptions=True)
        self._coming -= 1
        if isinstance(outcome[0], Task):
            self._join(outcome[0])
        elif isinstance(outcome[0], ParcsError):
            self._do_without(outcome[0])
        else:
            raise outcome[0]

    async def _successor(self, gone: Task) -> Task:
        task = await self._employer.replace(self._spec, gone)
        self._tasks.add(task)
        await task.wait_connected()
        await self._prepare(task)
        return task

    def _do_without(self, error: ParcsError) -> None:
        self.wanted -= 1
        self._observer.note(self._spec.module, f"the pool goes on with {self.wanted} workers: {error}")
        self._changed()
        if not self._dispatch.members and not self._coming:
            self._failed(error)

    async def _end(self, task: Task, *, gently: bool) -> None:
        if gently and task.is_connected:
            await task.shutdown()
        else:
            await task.kill()

    def _own(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._disown)

    def _disown(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()) is not None:
            self._failed(error)


def _first(error: BaseException) -> BaseException:
    """Give the first of a group of errors: they are alike."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, RemoteError):
        error.add_note(f"in {_SETUP}(), which the pool calls in each worker first")
    return error
