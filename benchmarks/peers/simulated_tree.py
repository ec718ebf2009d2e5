"""
A tree: a runner, services that it starts, and simulated workers of each: ``SERVICES WORKERS PROCESSES PER_LAUNCHER``.

Prints what it took, by name, as JSON: of the runner, and of a service as ``branch_...``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import sys
import time

import uvloop

from aioparcs import Runner, Settings, gather
from benchmarks.harness import ROOT
from benchmarks.peers import control
from benchmarks.simulation.tree import TreeEngine


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def _measure(services: int, workers: int, processes: int, per_launcher: int) -> dict[str, float]:
    taken: dict[str, float] = {}
    count = services * workers
    settings = Settings(
        start_timeout=600.0, handshake_timeout=120.0, connect_timeout=120.0, close_timeout=300.0, max_spawned=count
    )
    engine = TreeEngine(ROOT / "benchmarks" / "modules", processes, per_launcher)
    async with Runner(engine=engine, settings=settings) as runner:
        tasks = await runner.start_many("branch", services)
        gc.collect()
        memory, wall, cpu = _resident(), time.perf_counter(), time.process_time()
        for task in tasks:
            await task.send(workers)
        costs = await gather(tasks)
        taken["connect_s"], taken["connect_us"] = time.perf_counter() - wall, (time.process_time() - cpu) / count * 1e6
        taken["branch_connect_us"] = statistics.mean(one for one, _ in costs)
        taken["branch_kib"] = statistics.mean(one for _, one in costs)
        gc.collect()
        taken["kib"] = (_resident() - memory) / count / 1024
        wall = time.perf_counter()
        for task in tasks:
            await task.send(None)
        control.expect(sum(await gather(tasks)) == count, "workers are missing")
        taken["ask_s"] = time.perf_counter() - wall
        wall, cpu = time.perf_counter(), time.process_time()
        for task in tasks:
            await task.send(None)
        await asyncio.gather(*(task.shutdown() for task in tasks))
        taken["end_s"], taken["end_us"] = time.perf_counter() - wall, (time.process_time() - cpu) / count * 1e6
    return taken


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        print(json.dumps(_loop.run(_measure(*map(int, sys.argv[1:])))))
