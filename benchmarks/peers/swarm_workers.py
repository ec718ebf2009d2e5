"""
Start workers with aioparcs on a Swarm until each has answered one message: ``IMAGE WHERE COUNT PER_CONTAINER``.

WHERE is ``overlay``, for workers on the overlay network, or ``outside``. This program is outside of it, and they dial
it either way. The clock runs from before the runner exists, so it counts all that a job asks of the leader, the
look-up of the image's digest and the making of a secret too; this program's own imports are not counted. Prints the
seconds; it ends when nothing of the job is left.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from aioparcs import Runner, Task
from aioparcs.swarm import SwarmEngine
from benchmarks.peers import control


async def _ask(number: int, task: Task) -> tuple[str, int]:
    await task.send(["hello", number])
    host, pid, message = await task.recv()
    control.expect(message == ["hello", number], "an echo differs")
    return host, pid


async def _measure(image: str, where: str, count: int, per_container: int) -> None:
    start = time.perf_counter()
    async with Runner(engine=SwarmEngine(overlay=where == "overlay")) as runner:
        tasks = await runner.start_many(image, count, per_container=per_container)
        places = await asyncio.gather(*(_ask(number, task) for number, task in enumerate(tasks)))
        seconds = time.perf_counter() - start
        control.expect(len(set(places)) == count, "two workers are one process")
        hosts = len({host for host, _ in places})
        control.expect(hosts == -(-count // per_container), f"the workers are in {hosts} containers")
        print(json.dumps([seconds]), flush=True)
        await asyncio.gather(*(task.shutdown() for task in tasks))


if __name__ == "__main__":
    _image, _where, _count, _per_container = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_measure(_image, _where, int(_count), int(_per_container)))
