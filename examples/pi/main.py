"""Estimate pi by throwing darts, and watch the estimate become better while the workers still throw."""

import os
import sys
from math import pi, sqrt
from random import Random

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 8_000_000)  # darts in all, rounded up to whole handfuls
P = positive("P", 4)  # workers
PICTURE = os.environ.get("PICTURE")  # the file for a picture, if one is wanted
HANDFUL = 50_000  # darts of one call


def throw(seed: int) -> int:
    """Throw darts at a square, always the same ones for a seed, and count those that hit the circle in it."""
    random = Random(seed).random
    return sum(random() ** 2 + random() ** 2 < 1 for _ in range(HANDFUL))


async def main(runner: Runner) -> None:
    thrown = hits = 0
    estimates: list[tuple[int, float]] = []
    async with runner.pool(throw, P) as pool:
        async for hit in pool.imap(range(-(-N // HANDFUL))):  # in order, so that each run shows the same
            thrown, hits = thrown + HANDFUL, hits + hit
            estimates.append((thrown, 4 * hits / thrown))
            if (calls := len(estimates)) & (calls - 1) == 0:  # after 1, 2, 4, 8 ... calls
                print(f"{thrown:>10,} darts: {4 * hits / thrown:.6f}")
    error = 4 * sqrt(pi / 4 * (1 - pi / 4) / thrown)
    print(f"pi is about {4 * hits / thrown:.6f}, give or take {error:.6f}")
    print(f"The truth is {abs(4 * hits / thrown - pi) / error:.1f} such errors away")
    if PICTURE:
        from picture import draw

        draw(estimates, PICTURE)


run(main)
