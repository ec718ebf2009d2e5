"""A pool of aioparcs on this machine."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import uvloop

from aioparcs import Pool, Runner
from benchmarks.peers.calls import control
from benchmarks.peers.control import expect

_PART = 1_000_000  # items, after each of which time and memory are noted


async def _main(workers: int) -> None:
    with tempfile.TemporaryDirectory() as journals:
        await _serve(workers, Path(journals))


async def _serve(workers: int, journals: Path) -> None:
    async with Runner() as runner, runner.pool("noop", workers, progress=False) as pool:
        pids = set[int]()
        while len(pids) < workers:
            pids |= {pid async for *_, pid in pool.imap_unordered(range(workers), function="pause")}
        control.check_workers(pids, workers)
        print("ready", flush=True)
        # A thread waits for the harness, so that the loop is free meanwhile; it sleeps while a round is measured.
        while line := await asyncio.to_thread(sys.stdin.readline):
            mode, count = line.split()
            if mode in ("items", "journal"):
                journal = journals / str(uuid.uuid4()) if mode == "journal" else None
                print(await _run_items(pool, int(count), journal), flush=True)
            else:
                print(await _run_round(pool, mode, int(count)), flush=True)


async def _run_round(pool: Pool, mode: str, count: int) -> str:
    clock, numbers = control.Clock(), range(count)
    if mode == "noop":
        answers = [answer async for answer in pool.imap_unordered(numbers)]
        took = clock.stop()
    else:
        answers = [answer async for answer in pool.imap_unordered(numbers, function="pause")]
        took = clock.stop()
        answers = [answer for answer, *_ in answers]
    control.check(answers, count)
    return took


async def _run_items(pool: Pool, count: int, journal: Path | None) -> str:
    """Run a round that keeps no answer, so that what grows is the pool's; note its memory after each part."""
    process, total, done = psutil.Process(), 0, 0
    memory, seconds = [process.memory_info().rss / 2**20], list[float]()
    clock, start = control.Clock(), time.perf_counter()
    async for answer in pool.imap_unordered(range(count), journal=journal):
        total += answer
        done += 1
        if not done % _PART:
            memory.append(process.memory_info().rss / 2**20)
            seconds.append(time.perf_counter() - start - sum(seconds))
    memory.append(process.memory_info().rss / 2**20)
    took = clock.stop(memory_mib=memory, seconds_of_parts=seconds)
    expect((done, total) == (count, count * (count + 1) // 2), "an answer differs")
    return took


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_main(int(sys.argv[1])))
