"""Cleanup that a cancellation must not cut short."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

__all__ = ["in_full"]

_T = TypeVar("_T")


async def in_full(ending: Awaitable[_T]) -> _T:
    """
    Wait for something to end, however often the caller is cancelled meanwhile; its cancellation is raised after that.

    For what ends soon by itself, and would leave processes behind if it didn't. Some cancel only once (asyncio's
    timeouts), some whenever the task waits (anyio's scopes).
    """
    job = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    with _shield():
        while not job.done():
            try:
                await asyncio.wait([job])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled from (None if job.cancelled() else job.exception())
    return job.result()


def _shield() -> AbstractContextManager[object]:
    """Return what keeps anyio's scopes, if there are any, from cancelling a task again and again."""
    scope = getattr(sys.modules.get("anyio"), "CancelScope", None)
    return scope(shield=True) if scope else nullcontext()
