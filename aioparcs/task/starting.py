"""The results of ``start`` and ``start_many``: to be awaited, entered, or iterated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn

from aioparcs.errors import StartError
from aioparcs.task.ending import Note, finish_all, kill_all
from aioparcs.task.handle import WorkerHandle
from aioparcs.task.task import Task

__all__ = ["Starting", "StartingMany"]

_Place = Callable[[], Coroutine[Any, Any, list[WorkerHandle]]]


class _Once:
    """What is used once, as a coroutine is."""

    _is_used = False

    def _use(self) -> None:
        """Raise a RuntimeError the second time."""
        if self._is_used:
            raise RuntimeError("what start() and start_many() return can be used only once; call them again")
        self._is_used = True


class Starting(_Once):
    """
    A worker that is being started.

    ``t = await runner.start(...)`` returns the connected task; ``async with runner.start(...) as t`` also ends it.
    Cancelling the wait kills the worker. It is used once, as a coroutine is.
    """

    def __init__(self, place: _Place, note: Note) -> None:
        self._place = place
        self._note = note
        self._task: Task

    if not TYPE_CHECKING:  # type checkers find this by themselves

        def __getattr__(self, name: str) -> NoReturn:
            how = "t = await runner.start(...), or async with runner.start(...) as t"
            raise AttributeError(f"a worker that is starting has no {name!r}: {how}")

    def __await__(self) -> Generator[Any, None, Task]:
        return self._start().__await__()

    async def __aenter__(self) -> Task:
        self._task = await self
        return self._task

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await finish_all([self._task.handle], self._note)
        finally:
            await kill_all([self._task.handle])  # if it isn't gone yet

    async def _start(self) -> Task:
        self._use()
        (handle,) = await self._place()
        try:
            await handle.wait_connected()
        except BaseException:
            await kill_all([handle])
            raise
        return Task(handle)


class StartingMany(_Once):
    """
    Workers that are being started.

    ``await`` returns the list of connected tasks; ``async for t in`` yields each as it connects; ``async with`` returns
    the list and also ends them all. Cancelling the wait kills the workers; leaving the loop kills those that it
    has not yielded. It is used once, as a coroutine is.
    """

    def __init__(self, place: _Place, note: Note, *, min_workers: int | None, return_exceptions: bool) -> None:
        self._place = place
        self._note = note
        self._min_workers = min_workers
        self._return_exceptions = return_exceptions
        self._placed: list[WorkerHandle] = []
        self._tasks: dict[WorkerHandle, Task] = {}  # of those that are connected
        self._joining: asyncio.Task[None] | None = None
        self._is_all_or_none = False

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._start().__await__()

    async def __aenter__(self) -> list[Any]:
        return await self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._joining:
            self._joining.cancel()
        for handle in self._placed:
            if kind is not None or not handle.is_connected:
                handle.abort()
        try:
            if kind is None:
                await finish_all((handle for handle in self._placed if handle.is_connected), self._note)
        finally:
            await kill_all(self._placed)
            if self._joining:
                await asyncio.gather(self._joining, return_exceptions=True)

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        self._use()
        async with aclosing(self._arrive()) as arrivals:
            async for arrival in arrivals:
                yield arrival

    async def _arrive(self) -> AsyncGenerator[Any, None]:
        """Place the workers, and yield each as it connects."""
        self._placed = await self._place()
        arrivals: asyncio.Queue[WorkerHandle] = asyncio.Queue()
        for handle in self._placed:
            handle.on_start_done(arrivals.put_nowait)
        awaited = set(self._placed)
        try:
            while awaited:
                handle = await arrivals.get()
                awaited.discard(handle)
                error = handle.start_error
                if error is None:
                    self._tasks[handle] = task = Task(handle)
                    yield task
                elif self._return_exceptions:
                    yield error
                elif self._min_workers is None:
                    raise error
        except BaseException:
            # Those that no caller will get, all at once: the kill of each may wait for its launcher.
            await kill_all(self._placed if self._is_all_or_none else awaited)
            raise

    async def _start(self) -> list[Any]:
        self._use()
        self._is_all_or_none = True
        arrivals = self._arrive()
        wanted, came = self._min_workers, 0
        tasks: list[Any] = []
        async for arrival in arrivals:
            tasks.append(arrival)
            came += isinstance(arrival, Task)
            if wanted is not None and came >= wanted:
                self._is_all_or_none = False
                self._joining = asyncio.ensure_future(self._join(arrivals, tasks))
                return tasks
        if wanted is not None:
            errors = [handle.start_error for handle in self._placed]
            first = next((str(error.reason) for error in errors if error), "")
            await kill_all(self._placed)
            raise StartError(self._placed[0].module, f"only {came} of min_workers={wanted} started: {first}")
        return [handle.start_error or self._tasks[handle] for handle in self._placed]

    @staticmethod
    async def _join(arrivals: AsyncIterator[Any], tasks: list[Any]) -> None:
        """Add the workers that connect later to the list that the user has."""
        async for arrival in arrivals:
            tasks.append(arrival)
