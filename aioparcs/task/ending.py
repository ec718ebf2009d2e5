"""Endings that a cancellation must not cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from typing import TypeVar

from aioparcs.task.task import Task

__all__ = ["in_full", "kill_all"]

_T = TypeVar("_T")


async def in_full(ending: Awaitable[_T]) -> _T:
    """
    Wait for something to end, however often the caller is cancelled meanwhile; its cancellation is raised after that.

    For what ends soon by itself, and would leave processes behind if it didn't. Some cancel only once (asyncio's
    timeouts), some whenever the task waits (anyio's scopes).
    """
    job = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if job.cancelled() else job.exception())
    return job.result()


async def kill_all(tasks: Collection[Task]) -> None:
    """Kill workers, and wait until they are gone, also when this is cancelled."""
    for task in tasks:
        task.abort()  # before anything can be cancelled: those that wait below begin only later
    await in_full(asyncio.gather(*(task.kill() for task in tasks)))
