"""Throw darts at a square, and count those that hit the circle in it."""

from random import Random

from aioparcs import serve

darts: int  # that one call throws


def hits(seed: int) -> int:
    """Throw darts, from a seed of their own: always the same ones."""
    random = Random(seed).random
    return sum(random() ** 2 + random() ** 2 < 1 for _ in range(darts))


def setup(number: int) -> None:
    global darts
    darts = number


serve(hits, setup)
