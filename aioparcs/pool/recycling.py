"""When a pool replaces workers that are well, and how much memory they have."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self, SupportsIndex

from aioparcs.channel import MEMORY
from aioparcs.engine import memory_size, whole_number
from aioparcs.errors import ParcsError
from aioparcs.pool.worker import PoolWorker
from aioparcs.task import Task

__all__ = ["Recycling", "has_outgrown"]

# Seconds between two looks at how much memory a worker has.
_PERIOD = 0.3


class Recycling(NamedTuple):
    """
    When a pool replaces a worker that is well.

    Attributes:
        max_calls: how many calls a worker gets at the most, None for any number.
        max_memory: bytes that it may have between two calls, None for any number.
    """

    max_calls: int | None = None
    max_memory: int | None = None

    @classmethod
    def make(cls, max_calls: SupportsIndex | None, max_memory: int | str | None) -> Self:
        """Return what a user has given; raise an error for what is impossible."""
        return cls(
            None if max_calls is None else whole_number("max_calls", max_calls, 1),
            None if max_memory is None else memory_size("max_memory", max_memory),
        )


async def has_outgrown(worker: PoolWorker, max_memory: int) -> bool:
    """Wait until a worker has more memory than this, between two calls; return False when it is gone."""
    calls = -1
    while worker.task.state != "gone":
        await asyncio.sleep(_PERIOD)
        if calls == worker.posted and not worker.streams:
            continue
        calls = worker.posted
        try:
            if await Task(worker.task).call(MEMORY) > max_memory:
                return True
        except ParcsError:
            return False
    return False
