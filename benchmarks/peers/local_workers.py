"""Start real workers on this machine, ask each, and end them all: ``COUNT``. Prints the seconds, by name, as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from itertools import pairwise

import uvloop

from aioparcs import Runner, Task
from benchmarks.peers import control


async def _ask(number: int, task: Task) -> None:
    await task.send(["hello", number])
    control.expect((await task.recv())[-1] == ["hello", number], "an echo differs")


async def _measure(count: int) -> dict[str, float]:
    times = [time.perf_counter()]
    async with Runner() as runner:
        tasks = await runner.start_many("echo", count)
        times.append(time.perf_counter())
        await asyncio.gather(*(_ask(number, task) for number, task in enumerate(tasks)))
        times.append(time.perf_counter())
    times.append(time.perf_counter())
    taken = dict(zip(("connect_s", "ask_s", "end_s"), (b - a for a, b in pairwise(times)), strict=True))
    taken["all_s"] = times[-1] - times[0]
    own, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    taken["runner_us"] = (own.ru_utime + own.ru_stime) / count * 1e6
    taken["workers_us"] = (theirs.ru_utime + theirs.ru_stime) / count * 1e6
    taken["faults"] = theirs.ru_minflt / count
    return taken


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        print(json.dumps(_loop.run(_measure(int(sys.argv[1])))))
