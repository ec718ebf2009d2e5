"""The barrier: a point that all workers reach before any goes on."""

from __future__ import annotations

from collections.abc import Sequence

from aioparcs.collectives.gathering import gather_or_cancel
from aioparcs.errors import EndOfChannel, ParcsError, WorkerLost
from aioparcs.task import UNEXPLAINED, Task

__all__ = ["barrier", "wait_barrier"]


async def barrier(tasks: Sequence[Task]) -> None:
    """
    Wait until every worker is at its `Service.barrier`, then release them all.

    A worker that is lost, fails or ends before it came breaks the barrier: here that is raised, and in each of the
    others ``await self.barrier()`` raises a `RemoteError` that says so, also in those that come later. What workers
    sent before and was not received yet waits in this process's memory. Cancelling it lets no worker go on: a later
    call finds those who wait still waiting.

    Args:
        tasks: the workers.

    Raises:
        WorkerLost: one is lost, or has ended without coming; it is named.
        RemoteError: the program of one has failed.
    """
    try:
        await gather_or_cancel(wait_barrier(task) for task in tasks)
    except ParcsError as error:
        for task in tasks:
            task.handle.channel.barriers.release(error)
        raise
    for task in tasks:
        task.handle.channel.barriers.release()


async def wait_barrier(task: Task) -> None:
    """
    Wait until a worker is at a barrier that it hasn't passed.

    Raises:
        WorkerLost: it is gone, or has ended without coming.
        RemoteError: its program failed.
    """
    try:
        await task.handle.channel.barriers.wait()
    except EndOfChannel as error:
        raise WorkerLost(task.name, "ended before it reached the barrier") from error
    except UNEXPLAINED as error:
        raise await task.handle.explain(error) from error.__cause__
