"""A service that starts simulated workers, and asks each: see `benchmarks.peers.simulated_tree`."""

import asyncio
import gc
import os
import time

from aioparcs import Service, Task, serve


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _ask(task: Task) -> None:
    await task.send(task.worker)
    if await task.recv() != task.worker:
        raise ValueError("an echo differs")


class Branch(Service):
    """Start as many workers as the runner says, and tell it what each costs here: microseconds of a core, and KiB."""

    async def run(self) -> None:
        count = await self.recv()
        memory, used = _resident(), time.process_time()
        async with self.start_many("simulated", count) as tasks:
            started = time.process_time()
            gc.collect()
            await self.send([(started - used) / count * 1e6, (_resident() - memory) / count / 1024])
            await self.recv()
            await asyncio.gather(*map(_ask, tasks))
            await self.send(len(tasks))
            await self.recv()


serve(Branch)
