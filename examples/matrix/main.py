"""Multiply two matrices in blocks: whichever worker has finished one gets the next."""

import os
import sys
import time
from itertools import product

import numpy as np

from aioparcs import Runner, Service, Task, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 2000)  # rows and columns of the matrices
BLOCK = positive("BLOCK", 500)  # rows and columns of a block of the product
P = positive("P", 4)  # workers
# A worker is a process of its own; threads of its own besides would only fight for the CPUs with the others'.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


class Multiplier(Service):
    """A worker: multiplies the pairs of matrices that arrive, until its runner ends the channel."""

    async def run(self) -> None:
        async for rows, columns in self:
            await self.send(rows @ columns)


async def multiply(runner: Runner, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    result = np.empty((len(a), b.shape[1]))
    blocks = product(range(0, len(a), BLOCK), range(0, b.shape[1], BLOCK))
    at: dict[Task, tuple[slice, slice]] = {}  # what each worker is at

    async def give(task: Task) -> None:
        corner = next(blocks, None)
        if corner is None:
            return await task.send_eof()
        rows, columns = (slice(start, start + BLOCK) for start in corner)
        at[task] = rows, columns
        return await task.send([a[rows], b[:, columns]])

    async with runner.start_many(Multiplier, P, env=ONE_THREAD) as tasks:
        for task in tasks:
            await give(task)
        async for task, block in runner.recv_any(tasks):
            result[at[task]] = block
            await give(task)
    return result


async def main(runner: Runner) -> None:
    random = np.random.default_rng(1)
    a, b = random.random((2, N, N))
    begun = time.perf_counter()
    result = await multiply(runner, a, b)
    print(f"{P} workers multiplied two matrices of {N} x {N} in {time.perf_counter() - begun:.2f} s")
    print(f"The sum of all numbers of the product is {result.sum():.3f}")
    print(f"NumPy has the same product: {'yes' if np.allclose(result, a @ b) else 'no'}")


run(main)
