"""
Bring up a pool of workers on a Swarm until all are connected: ``IMAGE WORKERS CONTAINERS``.

The workers are on the overlay network, this program is outside of it. The clock runs from before the runner exists,
so it counts all that a job asks of the leader, the look-up of the image's digest and the making of a secret too; this
program's own imports are not counted. Prints the seconds; it ends when nothing of the job is left.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from aioparcs import Runner
from aioparcs.swarm import SwarmEngine
from benchmarks.peers import control


async def _measure(image: str, workers: int, containers: int) -> None:
    start = time.perf_counter()
    async with Runner(engine=SwarmEngine(overlay=True)) as runner, runner.pool(image, workers, progress=False) as pool:
        seconds = time.perf_counter() - start
        control.expect(pool.size == workers, f"{pool.size} workers are up")
        places = await pool.map(range(10 * workers), function="pause")
        control.expect(len({(host, pid) for _, host, pid in places}) == workers, "two workers are one process")
        hosts = len({host for _, host, _ in places})
        control.expect(hosts == containers, f"the workers are in {hosts} containers")
        print(json.dumps([seconds]), flush=True)


if __name__ == "__main__":
    _image, _workers, _containers = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_measure(_image, int(_workers), int(_containers)))
