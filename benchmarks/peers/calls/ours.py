"""A pool of aioparcs on this machine."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from aioparcs import Runner
from benchmarks.peers.calls import control


async def _main(workers: int) -> None:
    async with Runner() as runner, runner.pool("noop", workers, progress=False) as pool:
        answers = await pool.map(range(10 * workers), function="pause")
        control.check_workers((pid for *_, pid in answers), workers)
        print("ready", flush=True)
        # A thread waits for the harness, so that the loop is free meanwhile; it sleeps while a round is measured.
        while line := await asyncio.to_thread(sys.stdin.readline):
            mode, count = line.split()
            numbers = range(int(count))
            clock = control.Clock()
            if mode == "noop":
                answers = [answer async for answer in pool.imap_unordered(numbers)]
                took = clock.stop()
            else:
                answers = [answer async for answer in pool.imap_unordered(numbers, function="pause")]
                took = clock.stop()
                answers = [answer for answer, *_ in answers]
            control.check(answers, int(count))
            print(took, flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_main(int(sys.argv[1])))
