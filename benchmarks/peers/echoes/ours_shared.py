"""
A worker of this machine, and arrays in shared memory that both sides have filled before, from 1 MiB on.

Each side looks at a number of each page of what it receives.
"""

from __future__ import annotations

import asyncio
import os
import time

import numpy as np
import uvloop

from aioparcs import Runner, Task, shared_array
from benchmarks.harness import ROOT
from benchmarks.peers import control
from benchmarks.peers.echoes import rounds

_PAGE = 512  # numbers


async def _run_rounds(task: Task, size: int) -> None:
    array = shared_array((max(1, size // 8),))
    array[:] = np.resize(np.arange(1, 1001.0), array.shape)
    await task.send("shared")
    wanted, copy = array[::_PAGE].sum(), array.copy()
    for count, check in control.rounds():
        start = time.perf_counter()
        for _ in range(count):
            await task.send(array)
            answer = await task.recv()
            control.expect(answer[::_PAGE].sum() == wanted, "an answer differs")
            control.expect(not check or np.array_equal(answer, copy), "an answer differs")
        control.took(time.perf_counter() - start)
    await task.send(None)


async def _main(size: int) -> None:
    async with Runner() as runner, runner.start("exchange") as task:
        await _run_rounds(task, size)


def _drive(mode: str, port: int) -> None:
    os.environ["PARCS_MODULES"] = str(ROOT / "benchmarks" / "modules")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_main(int(mode)))


def _serve(mode: str) -> None:
    control.announce(0)  # the runner starts its worker
    rounds.wait_for_end()


if __name__ == "__main__":
    control.main(_serve, _drive)
