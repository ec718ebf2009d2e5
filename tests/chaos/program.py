"""
The program that works while faults happen: ``program.py FOLDER SEED SECONDS``. It writes what it sees to a file there.

Two jobs at a time follow each other until the time is over: one with two pools, of which only one may repeat calls, and
one with a ring of peers. Before them the first of each works without faults; at its end the program's memory is what
that at the end of all is compared with.
"""

import asyncio
import contextlib
import ctypes
import gc
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from aioparcs import ParcsError, Pool, RemoteError, Runner, Settings
from aioparcs.swarm import SwarmEngine

FOLDER, SEED, SECONDS = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
SHARED = {"mounts": [f"{FOLDER}/marks:/shared"]}
WORKERS, PLACES, MESSAGES = 15, 6, 200
ROUND = 60  # items of each `starmap`
QUIET, SHORTEST, LONGEST = 8.0, 20.0, 60.0  # seconds of a job: the first one, and those with faults
SETTINGS = Settings(liveness=5.0, start_timeout=60.0, close_timeout=10.0)
chance = random.Random(SEED)
items = itertools.count()


def note(kind: str, what: Any, value: Any = None) -> None:
    print(json.dumps([round(time.time(), 3), kind, what, value]), file=history, flush=True)


def describe(error: BaseException) -> list[str]:
    kind = error.type if isinstance(error, RemoteError) else type(error).__name__
    return [kind, str(error), getattr(error, "worker", ""), getattr(error, "reason", "")]


class Calls:
    """The calls of a pool that have no outcome yet."""

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._open: set[int] = set()

    def take(self) -> tuple[int, float]:
        """Return the arguments of the next call."""
        item = next(items)
        self._open.add(item)
        note("invoke", item, self._retries)
        return item, chance.random() * 0.1

    def settle(self, item: int, outcome: Any) -> None:
        self._open.discard(item)
        is_error = isinstance(outcome, BaseException)
        note("fail" if is_error else "ok", item, describe(outcome) if is_error else outcome)

    def fail(self, error: BaseException) -> None:
        """Note an error of the pool, which is that of all of them."""
        for item in sorted(self._open):
            self.settle(item, error)


async def make_rounds(pool: Pool, calls: Calls, end: float) -> None:
    """Call a function for some items, again and again."""
    while time.monotonic() < end:
        arguments = [calls.take() for _ in range(ROUND)]
        outcomes = await pool.starmap(arguments, return_exceptions=True)
        if len(outcomes) != ROUND:
            note("wrong", f"{len(outcomes)} outcomes for {ROUND} items")
        for (item, _), outcome in zip(arguments, outcomes, strict=False):
            calls.settle(item, outcome)


async def make_stream(pool: Pool, calls: Calls, end: float) -> None:
    """Call a function for items as long as there is time, and take the results as they come."""
    taken: list[int] = []

    def arguments() -> Iterator[tuple[int, float]]:
        while time.monotonic() < end:
            call = calls.take()
            taken.append(call[0])
            yield call

    async for index, outcome in pool.istarmap_unordered(arguments(), keyed=True, return_exceptions=True):
        calls.settle(taken[index], outcome)


async def compute(runner: Runner, end: float, retries: int) -> None:
    calls = Calls(retries)
    try:
        async with runner.pool("work", WORKERS, retries=retries, swarm=SHARED, progress=False) as pool:
            both = make_rounds(pool, calls, end), make_stream(pool, calls, end)
            for problem in await asyncio.gather(*both, return_exceptions=True):
                if problem:
                    raise problem
    except ParcsError as error:
        calls.fail(error)
        raise


async def talk(runner: Runner, end: float) -> None:
    """Send messages round a ring."""
    async with runner.start_many("ring", PLACES) as tasks:
        addresses = await asyncio.gather(*(task.recv() for task in tasks))
        behind = [*addresses[1:], addresses[0]]
        await asyncio.gather(*(task.send([onward, MESSAGES]) for task, onward in zip(tasks, behind, strict=True)))
        for task in tasks:
            received = [message async for message in task]
            if received != [*range(0, MESSAGES, 20), "done"]:
                note("wrong", f"{task.name} reports {received}")
        note("ring", MESSAGES)


async def repeat(work: Callable[..., Awaitable[None]], runner: Runner, end: float, *arguments: Any) -> None:
    """Work again and again: what a fault has ended begins once more."""
    while time.monotonic() < end:
        begun = time.time()
        try:
            await work(runner, end, *arguments)
        except ParcsError as error:
            note("end", begun, [work.__name__, *describe(error)])
            await asyncio.sleep(1.0)


async def job(end: float, *, with_ring: bool) -> None:
    """Run a job until the time is over."""
    begun = time.time()
    try:
        async with Runner(engine=SwarmEngine(overlay=with_ring), settings=SETTINGS) as runner:
            note("job", runner.job)
            if with_ring:
                await repeat(talk, runner, end)
            else:
                await asyncio.gather(repeat(compute, runner, end, 0), repeat(compute, runner, end, 3))
    except ParcsError as error:
        note("end", begun, ["job", *describe(error)])
        await asyncio.sleep(1.0)


async def jobs(end: float, *, with_ring: bool) -> None:
    """Run one job after the other."""
    while (now := time.monotonic()) < end:
        await job(min(end, now + chance.uniform(SHORTEST, LONGEST)), with_ring=with_ring)


def note_memory(when: str) -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    process = psutil.Process()
    note("memory", when, [process.memory_info().rss, process.num_fds()])


def print_stacks() -> None:
    for task in asyncio.all_tasks():
        task.print_stack()


async def main() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print_stacks)
    quiet = time.monotonic() + QUIET
    await asyncio.gather(job(quiet, with_ring=False), job(quiet, with_ring=True))
    note_memory("before")
    note("begin", None)
    end = time.monotonic() + SECONDS
    await asyncio.gather(jobs(end, with_ring=False), jobs(end, with_ring=True))
    note_memory("after")
    note("complete", None)


with contextlib.closing((FOLDER / "history").open("a")) as history:
    asyncio.run(main())
