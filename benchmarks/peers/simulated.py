"""
A runner with simulated workers: ``COUNT PROCESSES PER_LAUNCHER``. Prints what it took, by name, as JSON.

The runner has a core of its own, and the processes that simulate share the other one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvloop

from aioparcs import Runner, Settings, Task, gather
from aioparcs.channel.connection import RECEIVING
from aioparcs.transport import file_limit, raise_file_limit
from benchmarks.peers import control
from benchmarks.simulation import SimulatedEngine

_MIB = 1 << 20
_BUDGET = 64 * _MIB
_LARGE = 1000  # workers that return 1 MiB each at once
_IDLE = 5.0  # seconds
_SPARE_FILES = 100

Taken = dict[str, float]


@contextmanager
def _clock(taken: Taken, name: str, count: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    taken[f"{name}_s"] = time.perf_counter() - wall
    taken[f"{name}_us"] = (time.process_time() - cpu) / count * 1e6  # of a core, for each


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def _ask(task: Task) -> None:
    await task.send(["hello", task.worker])
    control.expect(await task.recv() == ["hello", task.worker], "an echo differs")


async def _ask_beside_a_slow_one(tasks: list[Task]) -> None:
    """Ask all but the first, which reads nothing while more is sent to it than the connection holds."""
    slow, *others = tasks
    await slow.send("pause")
    sending = asyncio.create_task(slow.send(bytearray(64 * _MIB)))
    await asyncio.gather(*map(_ask, others))
    control.expect(not sending.done(), "the slow reader was none")
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    await slow.kill()


async def _return_large(tasks: list[Task]) -> float:
    """Request 1 MiB of each at once; return the most MiB that had arrived and were not received."""
    most = 0
    for task in tasks:
        await task.send(["return", _MIB])
    while RECEIVING.reserved + _MIB <= min(_BUDGET, len(tasks) * _MIB):  # noqa: ASYNC110  # the budget has no event
        await asyncio.sleep(0.01)
    for task in tasks:
        control.expect(len(await task.recv()) == _MIB, "a large message differs")
        most = max(most, RECEIVING.reserved)
    return most / _MIB


async def _measure(count: int, processes: int, per_launcher: int) -> Taken:
    taken: Taken = {}
    settings = Settings(receive_budget=_BUDGET, start_timeout=300.0, handshake_timeout=60.0, close_timeout=100.0)
    async with Runner(engine=SimulatedEngine(processes, per_launcher, core=1), settings=settings) as runner:
        await runner.start_many("simulated", per_launcher)  # what is loaded and made once
        gc.collect()
        before = _resident()
        with _clock(taken, "connect", count):
            tasks = await runner.start_many("simulated", count)
        await asyncio.sleep(1)
        gc.collect()
        taken["idle_kib"] = (_resident() - before) / count / 1024
        with _clock(taken, "idle", 1):
            await asyncio.sleep(_IDLE)
        with _clock(taken, "gather", count):
            for task in tasks:
                await task.send(task.worker)
            control.expect(await gather(tasks) == [task.worker for task in tasks], "an echo differs")
        with _clock(taken, "beside_slow", count):
            await _ask_beside_a_slow_one(tasks)
        taken["large_mib"] = await _return_large(tasks[1 : _LARGE + 1])
        with _clock(taken, "end", count):
            await asyncio.gather(*(task.shutdown() for task in tasks[1:]))
    return taken


def main(count: int, processes: int, per_launcher: int) -> None:
    """Measure as many as this process may have connections to."""
    raise_file_limit()
    needed = count + 2 * -(-count // per_launcher) + per_launcher + _SPARE_FILES
    if needed > file_limit():
        print(f"{needed:,} open files are needed, and this process may have {file_limit():,}", file=sys.stderr)
        sys.exit(1)
    control.place(0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        print(json.dumps(loop.run(_measure(count, processes, per_launcher))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
