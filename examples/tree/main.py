"""Find the largest of very many numbers by a tree of workers: leaves report to branches, and these to this runner."""

import os
import sys
import time
from heapq import nlargest
from itertools import chain
from random import Random

from aioparcs import Runner, Service, gather, run, scatter


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


BRANCHES = positive("BRANCHES", 3)
LEAVES = positive("LEAVES", 4)  # of each branch
N = positive("N", 1_000_000)  # numbers at which a leaf looks
TOP = positive("TOP", 5)  # numbers that are wanted


class Leaf(Service):
    """Looks at many numbers, and reports the largest."""

    async def run(self) -> None:
        seed = await self.recv()
        random = Random(seed).random
        await self.send(nlargest(TOP, (random() for _ in range(N))))


class Branch(Service):
    """Starts some leaves of its own, and reports the largest numbers of all of them."""

    async def run(self) -> None:
        async with self.start_many(Leaf, LEAVES) as tasks:
            await scatter(tasks, [self.rank * LEAVES + task.rank for task in tasks])
            found = await gather(tasks)
        await self.send(nlargest(TOP, chain.from_iterable(found)))


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    async with runner.start_many(Branch, BRANCHES) as tasks:
        found = await gather(tasks)
    largest = nlargest(TOP, chain.from_iterable(found))
    total = BRANCHES * LEAVES * N
    print(f"{BRANCHES} branches of {LEAVES} leaves looked at {total:,} numbers in {time.perf_counter() - begun:.2f} s")
    print(f"The largest: {', '.join(f'{number:.9f}' for number in largest)}")
    print(f"By chance the last of these is about {1 - TOP / total:.9f}")


run(main)
