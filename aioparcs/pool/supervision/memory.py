"""The watch over how much memory a pool's workers have."""

from __future__ import annotations

import asyncio

from aioparcs.channel import MEMORY
from aioparcs.errors import ParcsError
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.task import Task

__all__ = ["has_outgrown"]

# Seconds between two looks at how much memory a worker has.
_PERIOD = 0.3


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
