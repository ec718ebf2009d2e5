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

    A worker that is lost, fails or ends before it has reached the barrier breaks it: its error is raised here, and in
    each other worker ``await self.barrier()`` raises a `RemoteError` that says so, also in workers that come later.
    Messages that workers sent before and that were not received wait in this process's memory. Cancelling it releases
    no worker: a later call finds them still waiting.

    Args:
        tasks: the workers.

    Raises:
        WorkerLost: a worker is lost, or has ended before the barrier; the error names it.
        RemoteError: the program of a worker has failed.
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
