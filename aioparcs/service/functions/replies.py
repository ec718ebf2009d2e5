"""Answers to calls that were not run."""

from __future__ import annotations

import asyncio
from typing import Any

from aioparcs.channel import ResultWriter

__all__ = ["Replies"]


class Replies:
    """
    Answers to calls that were not run, each sent by a task.

    Args:
        answers: sends them.
    """

    def __init__(self, answers: ResultWriter) -> None:
        self._answers = answers
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, call_id: int, ok: bool, value: Any) -> None:
        """Send an answer, and don't wait for it."""
        task = asyncio.ensure_future(self._answers.send(call_id, ok, value))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        """Cancel those that were not sent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
