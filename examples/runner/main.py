"""Find all divisors of N on P workers, each of which tries a part of the numbers from 1 to N."""

import asyncio
import os
import sys
import time
from itertools import chain, pairwise

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 12_345_678)
P = positive("P", 4)


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    bounds = [1 + N * i // P for i in range(P + 1)]
    async with runner.start_many("factor", P) as tasks:
        await asyncio.gather(*(task.send_all(N, a, b) for task, (a, b) in zip(tasks, pairwise(bounds), strict=True)))
        parts = await asyncio.gather(*(task.recv() for task in tasks))
    divisors = sorted(chain.from_iterable(parts))
    print(f"{N} has {len(divisors)} divisors: {', '.join(map(str, divisors))}")
    print(f"{P} workers took {time.perf_counter() - begun:.2f} s")


run(main)
