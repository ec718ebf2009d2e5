"""The requests for stacks of workers that go on, which their launchers answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from aioparcs import deadlines
from aioparcs.messages.launcher import Stack, StackRead
from aioparcs.runner.launchers.client import LauncherClient
from aioparcs.runner.state import JobState
from aioparcs.wire import FrameType

__all__ = ["StackRequests"]

# Characters of a launcher's answer that people are shown.
_LONGEST = 64 << 10


class StackRequests:
    """
    Requests stacks from the launchers of a job.

    Args:
        launchers: those that are connected, by slot.
        state: the job's state.
    """

    def __init__(self, launchers: Mapping[int, LauncherClient], state: JobState) -> None:
        self._launchers = launchers
        self._state = state
        self._numbers = itertools.count()
        self._waiting: dict[tuple[int, int], asyncio.Future[StackRead]] = {}  # by launcher and request

    async def read(self, worker: int) -> str:
        """
        Return the stacks of a worker's threads and tasks, each with the most recent call first; it goes on meanwhile.

        Args:
            worker: its number.

        Raises:
            LookupError: they can't be had; its text says why.
        """
        client = self._client(worker)
        key = client.slot, next(self._numbers)
        answer: asyncio.Future[StackRead]
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            client.send(Stack(key[1], worker))
            async with asyncio.timeout(deadlines.STACK_REPORT):
                read = await answer
        except TimeoutError:
            reason = f"its launcher has not answered for {deadlines.STACK_REPORT:g} s; is its machine overloaded?"
            raise LookupError(f"worker {worker}: {reason}") from None
        finally:
            del self._waiting[key]
        if read.text is None:
            raise LookupError(f"worker {worker}: {(read.problem or 'its launcher gives no reason')[:_LONGEST]}")
        return read.text[:_LONGEST]

    def handle(self, launcher: int, answer: StackRead) -> None:
        """Handle a launcher's answer; one that comes too late is not missed."""
        waiting = self._waiting.get((launcher, answer.request))
        if waiting and not waiting.done():
            waiting.set_result(answer)

    def lose(self, launcher: int) -> None:
        """Fail the requests that a launcher will not answer: its connection has ended."""
        for (slot, request), waiting in self._waiting.items():
            if slot == launcher and not waiting.done():
                waiting.set_result(StackRead(request, None, "the connection to its launcher has ended"))

    def _client(self, worker: int) -> LauncherClient:
        """Return the connection to a worker's launcher; raise LookupError if there is none that can answer."""
        record = self._state.workers.get(worker)
        if record is None:
            raise LookupError(f"worker {worker}: it has ended, or there never was one of this number")
        launcher = self._state.launchers.get(record.launcher)
        if launcher is not None and launcher.is_original:
            raise LookupError(f"worker {worker}: services of the original PARCS have no launcher that could read it")
        client = self._launchers.get(record.launcher)
        if launcher is None or client is None:
            raise LookupError(f"worker {worker}: its launcher is not connected yet")
        if client.control < FrameType.STACK:
            raise LookupError(f"worker {worker}: its launcher is an older aioparcs, or another program, and reads none")
        return client
