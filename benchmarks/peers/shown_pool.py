"""
A pool of aioparcs whose runner says what it costs itself: ``MODULE WORKERS``.

It prints ``ready``. Then each line on its input is a number of calls, answered by the seconds that they took and the
CPU time of this process meanwhile. Every answer is compared, after the clock has stopped. The end of its input ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack, redirect_stderr
from io import StringIO

import uvloop

from aioparcs import Runner
from benchmarks.peers.calls import control


async def _main(workers: int) -> None:
    async with AsyncExitStack() as stack:
        with redirect_stderr(StringIO()):  # it prints the page's address
            runner = await stack.enter_async_context(Runner())
        pool = await stack.enter_async_context(runner.pool("noop", workers, progress=False))
        print("ready", flush=True)
        # A thread waits for the harness, so that the loop is free meanwhile; it sleeps while a round is measured.
        while line := await asyncio.to_thread(sys.stdin.readline):
            count = int(line)
            began, cpu = time.perf_counter(), time.process_time()
            answers = [answer async for answer in pool.imap_unordered(range(count))]
            took = time.perf_counter() - began, time.process_time() - cpu
            control.check(answers, count)
            print(json.dumps(took), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_main(int(sys.argv[1])))
