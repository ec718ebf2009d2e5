"""The messages of many workers, received as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Any

from aioparcs.errors import EndOfChannel
from aioparcs.task.task import Task

__all__ = ["recv_any"]


async def recv_any(tasks: Iterable[Task]) -> AsyncGenerator[tuple[Task, Any], None]:
    """Yield each message with its worker until all of them have ended; see `Starter.recv_any`."""
    waiting = dict.fromkeys(tasks)
    ready = dict.fromkeys(task for task in waiting if task.is_ready)
    news = asyncio.Event()

    def notice(task: Task) -> None:
        ready[task] = None
        news.set()

    undo = [task.watch(partial(notice, task)) for task in waiting]
    try:
        while waiting:
            while not ready:
                news.clear()
                await news.wait()
            task = next(iter(ready))
            del ready[task]
            if task not in waiting or not task.is_ready:
                continue
            try:
                message = await task.recv()
            except EndOfChannel:
                del waiting[task]
                continue
            if task.is_ready:
                ready[task] = None  # behind the others
            yield task, message
    finally:
        for unwatch in undo:
            unwatch()
