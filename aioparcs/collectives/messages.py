"""Scatter, gather and reduce: one message to each worker, and one from each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aioparcs.collectives.gathering import gather_or_cancel
from aioparcs.task import Task

__all__ = ["gather", "reduce", "scatter"]


async def scatter(tasks: Sequence[Task], items: Sequence[Any]) -> None:
    """
    Send each worker an item of its own: item ``i`` to task ``i``; returns when all are accepted.

    The workers receive them by `Service.recv`. If a worker is lost, the error is raised when all others have their
    items. After cancelling, workers whose channel had no room yet don't get an item.

    Args:
        tasks: the workers.
        items: one message for each worker; see `Channel.send` for what they may be.

    Raises:
        ValueError: there are more items than workers, or fewer; nothing was sent.
        WorkerLost, RemoteError, EndOfChannel, EncodeError: of the first worker that couldn't be sent its item; see
            `Task.send`.
    """
    if len(items) != len(tasks):
        raise ValueError(f"scatter() has {len(items)} items for {len(tasks)} tasks; each task gets one")
    sends = (task.send(item) for task, item in zip(tasks, items, strict=True))
    for error in await asyncio.gather(*sends, return_exceptions=True):
        if error is not None:
            raise error


async def gather(tasks: Sequence[Task], *, return_exceptions: bool = False) -> list[Any]:
    """
    Receive one message from each worker.

    When it is cancelled, or fails, the messages that it has received are gone; the others stay first in line.

    Args:
        tasks: the workers.
        return_exceptions: True to have errors in the list, in place of the messages that didn't come.

    Returns:
        The messages, in the order of the tasks.

    Raises:
        WorkerLost, RemoteError, EndOfChannel: of the first worker that fails; see `Task.recv`.
    """
    if return_exceptions:
        return [*await asyncio.gather(*(task.recv() for task in tasks), return_exceptions=True)]
    return await gather_or_cancel(task.recv() for task in tasks)


async def reduce(tasks: Sequence[Task], function: Callable[[Any, Any], Any]) -> Any:
    """
    Receive one message from each worker, and combine them into one.

    Neighbours are combined, then neighbouring results, and so on, each pair as soon as both are there. The
    order depends only on the number of tasks, so sums of floats are the same in each run, and combined messages need no
    memory. When it is cancelled, or fails, the messages that it has received are gone.

    Args:
        tasks: the workers, at least one.
        function: combines two values into one; the left one is from earlier tasks than the right one. It is called in
            the event loop, and may reuse the memory of either.

    Returns:
        The combined value; of a single task, its message.

    Raises:
        ValueError: there are no tasks.
        WorkerLost, RemoteError, EndOfChannel: of the first worker that fails; see `Task.recv`.
        Exception: what the function raises.
    """
    if not tasks:
        raise ValueError("reduce() of no tasks has no value")
    if len(tasks) == 1:
        return await tasks[0].recv()
    middle = 1 << (len(tasks) - 1).bit_length() - 1  # the largest power of two below their number
    # The list is taken apart in place: nothing else may hold what is combined.
    halves = await gather_or_cancel(reduce(half, function) for half in (tasks[:middle], tasks[middle:]))
    right, left = halves.pop(), halves.pop()
    return function(left, right)
