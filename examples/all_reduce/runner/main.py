"""Fit a linear model on workers in a ring: each has a share of the data, and all steps are those of the whole."""

import os
import sys
import time

import numpy as np

from aioparcs import Runner, gather, run, scatter


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 40_000)  # rows of data
WEIGHTS = positive("WEIGHTS", 50)  # of the model
STEPS = positive("STEPS", 40)  # down the slope of the error
P = positive("P", 4)  # workers
if N < P:
    sys.exit(f"N={N} rows are too few for P={P} workers")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


async def main(runner: Runner) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(N, WEIGHTS))
    y = x @ random.normal(size=WEIGHTS) + random.normal(size=N)
    begun = time.perf_counter()
    async with runner.start_many("trainer", P, env=ONE_THREAD) as tasks:
        addresses = await gather(tasks)
        onward = addresses[1:] + addresses[:1]
        shares = zip(onward, np.array_split(x, P), np.array_split(y, P), strict=True)
        await scatter(tasks, [[*share, N, STEPS] for share in shares])
        weights = await tasks[0].recv()
    print(f"{P} workers fitted {WEIGHTS} weights to {N} rows in {time.perf_counter() - begun:.2f} s")
    best, *_ = np.linalg.lstsq(x, y, rcond=None)
    print(f"Their largest difference from those of NumPy is {np.abs(weights - best).max():.0e}")


run(main)
