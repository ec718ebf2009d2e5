"""Random numbers of workers: for each seed, a stream of the worker's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["set_rank", "worker_rng"]

_rank = 0
_generators: dict[int | tuple[int, ...] | None, Generator] = {}  # by seed


def worker_rng(seed: int | Sequence[int] | None = None) -> Generator:
    """
    Return this worker's NumPy generator for a seed; later calls with the same seed return the same generator.

    Workers that were started together get independent streams, which are the same in each run: the worker of rank r
    has ``default_rng(SeedSequence(seed).spawn(size)[r])``. In a pool the rank is the number of the worker in its pool;
    those that `Pool.resize` adds, and those that replace others, get new numbers. Outside of a worker it is 0.

    Args:
        seed: one or more integers, as for ``numpy.random.SeedSequence``; None for a stream that no run repeats.

    Raises:
        ImportError: NumPy is not installed.
    """
    key = seed if seed is None or isinstance(seed, int) else tuple(seed)
    if key not in _generators:
        from numpy.random import SeedSequence, default_rng  # most workers need none

        _generators.setdefault(key, default_rng(SeedSequence(seed, spawn_key=(_rank,))))
    return _generators[key]


def set_rank(rank: int) -> None:
    """Set the number from which this process's streams are derived, and drop those that it has inherited."""
    global _rank
    _rank = rank
    _generators.clear()
