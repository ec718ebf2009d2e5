"""Waiting for conditions that have no event: files, processes, what another task has reached."""

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["PATIENCE", "until"]

PATIENCE = 40.0
"""Seconds until a condition that should come soon counts as one that never comes, also on a machine with other work;
less than the minute for which many programs of tests sleep."""


async def until(condition: Callable[[], Any], timeout: float = PATIENCE, *, pause: float = 0.002) -> None:
    """Wait for a condition, or fail."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  # anything at all is a condition, and few of them have an event
            await asyncio.sleep(pause)
