"""
Start workers with aioparcs on this machine until each has answered one message: ``HOW COUNT``.

HOW is ``many`` (one ``start_many``) or ``gather`` (``start`` for each, together). The clock runs from before the runner
exists, so it counts the launcher's start, its imports and the forks; this program's own imports are not counted.
Prints the seconds and the mean of the memory that only the one worker holds, in MiB.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import uvloop

from aioparcs import Runner, Task
from benchmarks.peers import control

_PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)


async def _ask(number: int, task: Task) -> int:
    await task.send(["hello", number])
    _host, pid, message = await task.recv()
    control.expect(message == ["hello", number], "an echo differs")
    return int(pid)


def _unique_mib(pids: Iterable[int]) -> float:
    sizes = [sum(map(int, _PRIVATE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))) / 1024 for pid in pids]
    return sum(sizes) / len(sizes)


async def _measure(how: str, count: int) -> tuple[float, float]:
    start = time.perf_counter()
    async with Runner() as runner:
        if how == "many":
            tasks = await runner.start_many("echo", count)
        else:
            tasks = await asyncio.gather(*(runner.start("echo") for _ in range(count)))
        pids = await asyncio.gather(*(_ask(number, task) for number, task in enumerate(tasks)))
        seconds = time.perf_counter() - start
        control.expect(len(set(pids)) == count, "two workers are one process")
        unique = _unique_mib(pids)
        await asyncio.gather(*(task.shutdown() for task in tasks))
    return seconds, unique


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        print(json.dumps(_loop.run(_measure(sys.argv[1], int(sys.argv[2])))))
