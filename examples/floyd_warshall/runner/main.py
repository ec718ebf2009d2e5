"""
Find the shortest ways between all points of a hilly country, by the algorithm of Floyd and Warshall in blocks.

Each worker keeps a band of rows of the table of distances. Block by block, the worker that has the rows of the
block's nodes sends them round, by way of this runner, and all shorten their rows by the ways through those nodes.
"""

import asyncio
import os
import sys
import time

import numpy as np
from terrain import draw, hills, walking

from aioparcs import Runner, gather, run, scatter


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


SIDE = positive("SIDE", 30)  # the country has SIDE x SIDE points
BLOCK = positive("BLOCK", 50)  # nodes that the table is shortened by in one round
P = positive("P", 4)  # workers
PICTURE = os.environ.get("PICTURE")  # the file for a picture, if one is wanted


async def shortest(runner: Runner, steps: np.ndarray) -> np.ndarray:
    size = len(steps)
    height = -(-size // (P * BLOCK)) * BLOCK  # rows of a band: whole blocks, so that each block is in one band
    starts = range(0, size, height)
    async with runner.start_many("distances", len(starts)) as tasks:
        await scatter(tasks, [[start, BLOCK, steps[start : start + height]] for start in starts])
        for first in range(0, size, BLOCK):
            owner = tasks[first // height]
            pivots = await owner.recv()
            await asyncio.gather(*(task.send(pivots) for task in tasks if task is not owner))
        return np.concatenate(await gather(tasks))


def plain(steps: np.ndarray) -> np.ndarray:
    """Do the same here, node by node."""
    distances = steps.copy()
    for node in range(len(distances)):
        np.minimum(distances, distances[:, node, None] + distances[node], out=distances)
    return distances


async def main(runner: Runner) -> None:
    heights = hills(SIDE)
    steps = walking(heights)
    begun = time.perf_counter()
    distances = await shortest(runner, steps)
    print(f"The shortest ways between {len(steps)} points took {time.perf_counter() - begun:.2f} s")
    print(f"From one corner to the other it is {distances[0, -1]:.2f}")
    print(f"NumPy alone finds the same: {'yes' if np.allclose(distances, plain(steps)) else 'no'}")
    if PICTURE:
        draw(heights, steps, distances, PICTURE)


run(main)
