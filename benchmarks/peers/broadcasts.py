"""
Send an array to all workers of a Swarm, in several ways: ``IMAGE COUNT PER_CONTAINER MIB``.

This program is outside of the overlay network, and the workers are on it. When all are there it prints ``ready``. To
each line, the name of a way, it answers with the seconds until all workers have said that they have the array. The
memory of all of it is theirs at once, so it is thrown away, and each worker's checksum compared, before the next.
"""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from collections.abc import Sequence

import numpy as np
import uvloop

from aioparcs import Runner, Task, broadcast, gather
from aioparcs.swarm import SwarmEngine
from benchmarks.peers import control

_SETTLED = 30.0  # seconds until it is known which worker is on which node


async def _one_by_one(tasks: Sequence[Task], array: object) -> None:
    for task in tasks:
        await task.send(array)


async def _at_once(tasks: Sequence[Task], array: object) -> None:
    await asyncio.gather(*(task.send(array) for task in tasks))


_WAYS = {"one_by_one": _one_by_one, "at_once": _at_once, "broadcast": broadcast}


async def _measure(image: str, count: int, per_container: int, size: int) -> None:
    array = np.random.default_rng(1).integers(0, 256, size, "u1")
    wanted = zlib.crc32(array.data)
    async with Runner(engine=SwarmEngine(overlay=True)) as runner:
        tasks = await runner.start_many(image, count, per_container=per_container)
        async with asyncio.timeout(_SETTLED):
            while not all(task.node for task in tasks):  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.1)
        print("ready", flush=True)
        while way := (await asyncio.to_thread(sys.stdin.readline)).strip():
            start = time.perf_counter()
            await _WAYS[way](tasks, array)
            sizes = await gather(tasks)
            seconds = time.perf_counter() - start
            await asyncio.gather(*(task.send(None) for task in tasks))
            control.expect(sizes == [size] * count, "an array has another size")
            control.expect(await gather(tasks) == [wanted] * count, "an array differs")
            print(seconds, flush=True)
        await asyncio.gather(*(task.kill() for task in tasks))


if __name__ == "__main__":
    _image, _count, _per_container, _mib = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_measure(_image, int(_count), int(_per_container), int(_mib) << 20))
