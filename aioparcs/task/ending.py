"""The common end of several workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from aioparcs.ending import in_full
from aioparcs.task.handle import WorkerHandle

__all__ = ["Note", "finish_all", "kill_all"]

# Shows people a text about a module.
Note = Callable[[str, str], object]
# Seconds of waiting for workers to finish after which people are notified.
_NOTE_DELAY = 2.0


async def kill_all(handles: Collection[WorkerHandle]) -> None:
    """Kill workers, and wait until they are gone, also when this is cancelled."""
    for handle in handles:
        handle.abort()  # before anything can be cancelled: those that wait below begin only later
    await in_full(asyncio.gather(*(handle.kill() for handle in handles)))


async def finish_all(handles: Iterable[WorkerHandle], note: Note) -> None:
    """Wait for workers to finish, see `WorkerHandle.shutdown`; if that takes long, print which are waited for."""
    some = list(handles)
    timer = asyncio.get_running_loop().call_later(_NOTE_DELAY, _notify, some, note)
    try:
        await asyncio.gather(*(handle.shutdown() for handle in some))
    finally:
        timer.cancel()


def _notify(handles: list[WorkerHandle], note: Note) -> None:
    busy = [handle for handle in handles if handle.state != "gone"]
    for module, count in Counter(handle.module for handle in busy).items():
        which = next(handle.name for handle in busy if handle.module == module) if count == 1 else f"{count} workers"
        most = max(handle.close_timeout for handle in busy)
        note(
            module,
            f"waiting for {which} to finish, for {most:g} s at most (PARCS_CLOSE_TIMEOUT); "
            "kill() of a task ends its worker at once",
        )
