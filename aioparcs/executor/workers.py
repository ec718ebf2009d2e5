"""The workers of an executor that serve one module: a pool, from the first call to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioparcs.executor.calls import CallQueue
from aioparcs.pool import Pool

__all__ = ["Workers"]


class Workers:
    """
    A pool that is entered at once, and left by `close` or `kill`.

    Args:
        size: how many there are.
        make_pool: makes the pool, or raises an error.

    Attributes:
        calls: its calls.
    """

    def __init__(self, size: int, make_pool: Callable[[], Pool]) -> None:
        self.calls = CallQueue(size, self._end_if_idle)
        self._is_closing = False
        self._task = asyncio.create_task(self._run(make_pool))
        self._task.add_done_callback(lambda _: self.calls.cancel())  # also if it was cancelled before its first step

    async def _run(self, make_pool: Callable[[], Pool]) -> None:
        try:
            async with make_pool() as pool:
                self.calls.attach(pool)
                await asyncio.get_running_loop().create_future()
        except Exception as error:
            self.calls.fail(error)

    def close(self) -> None:
        """End the workers once all calls have their results."""
        self._is_closing = True
        self._end_if_idle()

    def kill(self, why: str) -> None:
        """Cancel the calls that no worker has, and kill the workers that run the others; `why` ends their errors."""
        self.calls.why_killed = why
        self._task.cancel()

    async def wait(self) -> None:
        """Wait until no worker is left."""
        await asyncio.wait([self._task])

    def _end_if_idle(self) -> None:
        if self._is_closing and self.calls.is_idle:
            self._task.cancel()
