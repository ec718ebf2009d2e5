"""Factorise a large number: each worker walks another way, and the first that finds a divisor ends the search."""

import os
import sys
import time
from math import prod

from rho import search

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 1487936408549291622731134061265310288085108723900563725441047)
P = positive("P", 4)  # workers


def is_prime(n: int) -> bool:
    """Test a number by Miller and Rabin, to bases that leave no doubt below 3e24 and hardly any above."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if n < 2 or any(n % base == 0 for base in bases):
        return n in bases
    twos = (n - 1 & 1 - n).bit_length() - 1
    for base in bases:
        powers = [pow(base, n - 1 >> twos, n)]
        for _ in range(twos - 1):
            powers.append(powers[-1] ** 2 % n)
        if powers[0] != 1 and n - 1 not in powers:
            return False
    return True


async def divisor(runner: Runner, n: int) -> int:
    if n % 2 == 0:
        return 2
    async with runner.pool(search, P) as pool:
        async for found in pool.istarmap_unordered((n, seed) for seed in range(P)):
            if n % found == 0:
                break  # leaving the pool kills the workers that still search
    return found


async def factors(runner: Runner, n: int) -> list[int]:
    if n == 1 or is_prime(n):
        return [n] * (n > 1)
    found = await divisor(runner, n)
    return await factors(runner, found) + await factors(runner, n // found)


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    found = sorted(await factors(runner, N))
    print(f"{N} = {' * '.join(map(str, found)) or 1}")
    print(f"It took {P} workers {time.perf_counter() - begun:.2f} s")
    right = prod(found) == N and all(map(is_prime, found))
    print(f"The product is right, and all factors are prime: {'yes' if right else 'no'}")


run(main)
