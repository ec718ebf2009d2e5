"""
Find the length of the longest common subsequence of two sequences of DNA, by a wave that goes through the workers.

Each worker has a band of columns of the table. It can go down some rows as soon as its neighbour to the left has, and
sends the neighbour to the right what comes out of them, on a channel between the two.
"""

import os
import sys
import time

from sequences import plain, related

from aioparcs import Runner, gather, run, scatter


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 100_000)  # letters of a sequence
HEIGHT = positive("HEIGHT", 1000)  # rows that a worker goes down before it sends what its neighbour waits for
P = positive("P", 4)  # workers


async def common(runner: Runner, first: str, second: str) -> int:
    bands = [second[len(second) * rank // P : len(second) * (rank + 1) // P] for rank in range(P)]
    async with runner.start_many("band", P) as tasks:
        addresses = await gather(tasks)
        onward = [*addresses[1:], None]
        await scatter(tasks, [[address, band, first, HEIGHT] for address, band in zip(onward, bands, strict=True)])
        return sum(await gather(tasks))


async def main(runner: Runner) -> None:
    first, second = related(N)
    begun = time.perf_counter()
    length = await common(runner, first, second)
    print(f"Sequences of {len(first)} and {len(second)} letters took {P} workers {time.perf_counter() - begun:.2f} s")
    print(f"They have a subsequence of {length} letters in common")
    print(f"One process alone finds the same: {'yes' if plain(first, second) == length else 'no'}")


run(main)
