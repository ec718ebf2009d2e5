"""The arguments of `setup`, which many workers get at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aioparcs.shared.values import share_values
from aioparcs.task import WorkerHandle

__all__ = ["Constants"]


class Constants:
    """
    The arguments of `setup` for workers that start together.

    Large arrays in them are copied to shared memory once for all workers of this machine, which map it; here it is
    released when all have.

    Args:
        values: the arguments.
        workers: how many start together.
    """

    def __init__(self, values: Mapping[str, Any], workers: int) -> None:
        self._values = values
        self._is_shared = workers < 2  # for one worker a copy is as good
        self._sharing = asyncio.Lock()

    async def of(self, worker: WorkerHandle) -> Mapping[str, Any]:
        """Return the arguments for a worker. Cancelling it changes nothing."""
        if self._is_shared or not await worker.channel.connection.outbox.loans.are_possible():
            return self._values
        async with self._sharing:
            if not self._is_shared:
                self._values, self._is_shared = await share_values(dict(self._values)), True
        return self._values
