"""Find a discrete logarithm: workers search ranges of exponents, and the first that finds one ends the search."""

import os
import sys
import time
from itertools import pairwise
from math import gcd, isqrt

from steps import search

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


MODULUS = positive("MODULUS", 1099511627339)  # a prime
BASE = positive("BASE", 2)
TARGET = positive("TARGET", 1000000000000)
P = positive("P", 4)  # workers
CALLS = 16 * P  # parts of the search: more than workers, so that all are busy until the end
if gcd(BASE * TARGET, MODULUS) > 1:
    sys.exit(f"BASE={BASE} and TARGET={TARGET} must have no divisor in common with MODULUS={MODULUS}")


async def logarithm(runner: Runner) -> int | None:
    count = isqrt(MODULUS // P) + 1  # a table for each worker, and giant steps for all together: the least work
    giants = MODULUS // count + 1
    parts = pairwise(giants * part // CALLS for part in range(CALLS + 1))
    async with runner.pool(search, P) as pool:
        async for found in pool.istarmap_unordered((BASE, TARGET, MODULUS, count, *part) for part in parts):
            if found is not None:
                return found  # leaving the pool kills the workers that still search
    return None


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    found = await logarithm(runner)
    print(f"{BASE} ** {found} = {TARGET} modulo {MODULUS}" if found is not None else "There is no such exponent")
    print(f"It took {P} workers {time.perf_counter() - begun:.2f} s")
    if found is not None:
        print(f"That power is the target: {'yes' if pow(BASE, found, MODULUS) == TARGET % MODULUS else 'no'}")


run(main)
