"""Tasks that run beside their owner until it ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

__all__ = ["BackgroundTasks", "report_unexpected"]

_Ts = TypeVarTuple("_Ts")


class BackgroundTasks:
    """
    An `asyncio.TaskGroup` in a task of its own, for owners whose tasks go on between two calls, `open` and `aclose`.

    Those calls may come from different tasks, which a group's ``async with`` does not allow. An error, which there
    should be none of, goes to the loop's exception handler, and the other tasks go on.
    """

    _group: asyncio.TaskGroup

    def __init__(self) -> None:
        self._supervision: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin; `aclose` follows, also when this is cancelled."""
        opened = asyncio.Event()
        self._supervision = asyncio.create_task(self._supervise(opened))
        await opened.wait()

    def start(self, work: Callable[[*_Ts], Awaitable[None]], *args: *_Ts) -> asyncio.Task[None]:
        """Start a task between `open` and `aclose`, and return it: its owner may cancel it alone."""
        return self._group.create_task(self._guard(work, *args))

    async def aclose(self) -> None:
        """Cancel all tasks, and wait for their ends."""
        if self._supervision:
            self._supervision.cancel()
            await asyncio.wait([self._supervision])

    async def _supervise(self, opened: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as self._group:
            opened.set()
            await asyncio.get_running_loop().create_future()

    async def _guard(self, work: Callable[[*_Ts], Awaitable[None]], *args: *_Ts) -> None:
        try:
            await work(*args)
        except Exception as error:
            report_unexpected(error)


def report_unexpected(error: Exception) -> None:
    """Report an error that no caller can be told of to the loop's exception handler."""
    context = {"message": f"{type(error).__name__} in the background", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
