"""
The program that works while faults happen: ``program.py FOLDER SEED SECONDS``. It writes what it sees to a file there.

Jobs follow each other until the time is over: each has two pools, of which only one may repeat calls, and a ring.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from aioparcs import ParcsError, Runner, Settings

FOLDER, SEED, SECONDS = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
SHARED = {"mounts": [f"{FOLDER}/marks:/shared"]}
WORKERS, PLACES, ITEMS = 15, 6, 60
SETTINGS = Settings(liveness=5.0, start_timeout=60.0, close_timeout=10.0)
end = time.monotonic() + SECONDS
chance = random.Random(SEED)
number = 0


def note(kind: str, what: Any, value: Any = None) -> None:
    print(json.dumps([round(time.time(), 3), kind, what, value]), file=history, flush=True)


def describe(outcome: Any) -> Any:
    return [type(outcome).__name__, str(outcome)] if isinstance(outcome, BaseException) else outcome


async def compute(runner: Runner, retries: int) -> None:
    """Call a function for items until the round is over, in a pool."""
    global number
    async with runner.pool("work", WORKERS, retries=retries, swarm=SHARED, progress=False) as pool:
        while time.monotonic() < end:
            items = range(number, number + ITEMS)
            number += ITEMS
            note("invoke", [items.start, items.stop], retries)
            calls = [(item, chance.random() * 0.1) for item in items]
            outcomes = await pool.starmap(calls, return_exceptions=True)
            if len(outcomes) != ITEMS:
                note("wrong", f"{len(outcomes)} outcomes for {ITEMS} items")
            for item, outcome in zip(items, outcomes, strict=False):
                is_error = isinstance(outcome, BaseException)
                note("fail" if is_error else "ok", item, describe(outcome))


async def talk(runner: Runner) -> None:
    """Send messages round a ring, again and again."""
    while time.monotonic() < end:
        async with runner.start_many("ring", PLACES) as tasks:
            addresses = await asyncio.gather(*(task.recv() for task in tasks))
            behind = [*addresses[1:], addresses[0]]
            await asyncio.gather(*(task.send([onward, 200]) for task, onward in zip(tasks, behind, strict=True)))
            for task in tasks:
                received = [message async for message in task]
                if received != [*range(0, 200, 20), "done"]:
                    note("wrong", f"{task.name} reports {received}")
            note("ring", "done")


async def guarded(work: Any, runner: Runner, *arguments: Any) -> None:
    while time.monotonic() < end:
        try:
            await work(runner, *arguments)
        except ParcsError as error:
            note("info", f"{work.__name__} ends", describe(error))
            await asyncio.sleep(1.0)


async def main() -> None:
    while time.monotonic() < end:
        try:
            async with Runner(engine="swarm", settings=SETTINGS) as runner:
                note("job", runner.job)
                work = [guarded(compute, runner, 0), guarded(compute, runner, 3)]
                if chance.random() < 0.7:
                    work.append(guarded(talk, runner))
                await asyncio.gather(*work)
        except ParcsError as error:
            note("info", "the job ends", describe(error))
            await asyncio.sleep(1.0)
    note("end", number)


with (FOLDER / "history").open("a") as history:
    asyncio.run(main())
