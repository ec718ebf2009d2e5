"""Search for a divisor of a large number, by the algorithm of Pollard in the form of Brent."""

from math import gcd
from random import Random

BATCH = 256  # steps between two computations of a greatest common divisor


def search(n: int, seed: int) -> int:
    """Search until a divisor other than 1 and n is found; each seed walks another way."""
    random = Random(seed)
    while True:
        divisor = walk(n, random.randrange(n), random.randrange(1, n))
        if divisor < n:
            return divisor


def walk(n: int, y: int, c: int) -> int:
    """Walk y -> y * y + c until two points are the same modulo some divisor of n, and give that divisor."""
    divisor = length = product = 1
    x = before = y
    while divisor == 1:
        x = y
        for _ in range(length):
            y = (y * y + c) % n
        for start in range(0, length, BATCH):
            before = y
            for _ in range(min(BATCH, length - start)):
                y = (y * y + c) % n
                product = product * abs(x - y) % n
            divisor = gcd(product, n)
            if divisor > 1:
                break
        length *= 2
    if divisor == n:  # more than one in the last batch: take the first
        divisor = 1
        while divisor == 1:
            before = (before * before + c) % n
            divisor = gcd(abs(x - before), n)
    return divisor
