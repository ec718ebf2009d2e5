"""
Solve a system of linear equations by Gaussian elimination, in blocks of columns.

The workers get the blocks in turn, as cards are dealt, so that all have work until the end. Block by block, the worker
that has it eliminates below the diagonal, and sends what it did, by way of this runner, to all others, which do the
same to their columns.
"""

import asyncio
import os
import sys
import time

import numpy as np
from equations import equations, substitute

from aioparcs import Runner, gather, run, scatter


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 1500)  # equations
WIDTH = positive("WIDTH", 50)  # columns of a block
P = positive("P", 4)  # workers
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


async def solve(runner: Runner, system: np.ndarray) -> np.ndarray:
    firsts = range(0, N + 1, WIDTH)  # the first column of each block; the right sides are a column, too
    blocks = [{first: system[:, first : first + WIDTH] for first in firsts[rank::P]} for rank in range(P)]
    async with runner.start_many("elimination", P, env=ONE_THREAD) as tasks:
        await scatter(tasks, [[N, WIDTH, some] for some in blocks])
        for first in range(0, N, WIDTH):
            owner = tasks[first // WIDTH % P]
            done = await owner.recv()
            await asyncio.gather(*(task.send(done) for task in tasks if task is not owner))
        reduced = {first: columns for some in await gather(tasks) for first, columns in some.items()}
    return substitute(np.hstack([reduced[first] for first in firsts]))


async def main(runner: Runner) -> None:
    system = equations(N)
    begun = time.perf_counter()
    solution = await solve(runner, system)
    print(f"{P} workers solved {N} equations in {time.perf_counter() - begun:.2f} s")
    print(f"The largest error of an equation is {np.abs(system[:, :-1] @ solution - system[:, -1]).max():.0e}")
    same = np.allclose(np.linalg.solve(system[:, :-1], system[:, -1]), solution)
    print(f"NumPy finds the same: {'yes' if same else 'no'}")


run(main)
