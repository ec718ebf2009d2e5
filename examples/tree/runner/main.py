"""Find the largest of very many numbers by a tree of workers: leaves report to branches, and these to this runner."""

import os
import sys
import time
from heapq import nlargest
from itertools import chain

from aioparcs import Runner, gather, run, scatter


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


BRANCHES = positive("BRANCHES", 3)
LEAVES = positive("LEAVES", 4)  # of each branch
N = positive("N", 1_000_000)  # numbers at which a leaf looks
TOP = positive("TOP", 5)  # numbers that are wanted


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    async with runner.start_many("branch", BRANCHES) as tasks:
        await scatter(tasks, [[LEAVES, N, TOP]] * BRANCHES)
        found = await gather(tasks)
    largest = nlargest(TOP, chain.from_iterable(found))
    total = BRANCHES * LEAVES * N
    print(f"{BRANCHES} branches of {LEAVES} leaves looked at {total:,} numbers in {time.perf_counter() - begun:.2f} s")
    print(f"The largest: {', '.join(f'{number:.9f}' for number in largest)}")
    print(f"By chance the last of these is about {1 - TOP / total:.9f}")


run(main)
