"""The common end of several workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from aioparcs.ending import in_full
from aioparcs.task.task import Task

__all__ = ["Note", "finish_all", "kill_all"]

# Shows people a text about a module.
Note = Callable[[str, str], object]
# Seconds of waiting for workers to finish after which people are notified.
_UNNOTICED = 2.0


async def kill_all(tasks: Collection[Task]) -> None:
    """Kill workers, and wait until they are gone, also when this is cancelled."""
    for task in tasks:
        task.abort()  # before anything can be cancelled: those that wait below begin only later
    await in_full(asyncio.gather(*(task.kill() for task in tasks)))


async def finish_all(tasks: Iterable[Task], note: Note) -> None:
    """Wait for workers to finish, see `Task.shutdown`; if that takes long, print which are waited for."""
    some = list(tasks)
    timer = asyncio.get_running_loop().call_later(_UNNOTICED, _tell, some, note)
    try:
        await asyncio.gather(*(task.shutdown() for task in some))
    finally:
        timer.cancel()


def _tell(tasks: list[Task], note: Note) -> None:
    busy = [task for task in tasks if task.state != "gone"]
    for module, count in Counter(task.module for task in busy).items():
        which = next(task.name for task in busy if task.module == module) if count == 1 else f"{count} workers"
        most = max(task.patience for task in busy)
        note(
            module,
            f"waiting for {which} to finish, for {most:g} s at most (PARCS_CLOSE_TIMEOUT); "
            "kill() of a task ends its worker at once",
        )
