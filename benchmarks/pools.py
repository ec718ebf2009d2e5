"""Pools of workers that answer calls, side by side: one program each, whose rounds are taken in turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

import psutil

from benchmarks.harness import ROOT, Program, ProgramFailed

_GENERATION = 5  # rounds between two fresh starts: a process keeps its luck with scheduling for life
_PATIENCE = 240.0  # seconds for one round; Dask takes about 20 for 20,000 calls
_WARM_UP = 10  # the part of a round that comes before the first


class PoolMode(NamedTuple):
    """A pool, which is a program in `benchmarks.peers.calls`, and one of its modes."""

    pool: str
    mode: str = "noop"


class Rounds(NamedTuple):
    """The times of a pool's calls, a value for each round."""

    seconds: list[float]
    cpu_seconds: list[float]


def take_turns(
    pool_modes: Sequence[PoolMode], workers: int, calls: int, rounds: int, progress: Callable[[], None]
) -> dict[PoolMode, Rounds]:
    """
    Run the rounds of pools in turns, in the order given and backwards in every other.

    Args:
        pool_modes: the pools to compare; several may be modes of one pool.
        workers: in each pool.
        calls: in each round.
        rounds: of each pool mode.
        progress: called after each.

    Raises:
        ProgramFailed: a pool ended, or hung, or gave a wrong answer.
    """
    taken = {pool_mode: Rounds([], []) for pool_mode in pool_modes}
    for first in range(0, rounds, _GENERATION):
        with Pools({pool_mode.pool for pool_mode in pool_modes}, workers) as pools:
            for pool_mode in pool_modes:
                pools.run_round(pool_mode, max(workers, calls // _WARM_UP))
            for turn in range(first, min(first + _GENERATION, rounds)):
                for pool_mode in pool_modes[:: -1 if turn % 2 else 1]:
                    seconds, cpu_seconds, _ = pools.run_round(pool_mode, calls)
                    taken[pool_mode].seconds.append(seconds)
                    taken[pool_mode].cpu_seconds.append(cpu_seconds)
                progress()
    return taken


class Round(NamedTuple):
    """A round of a pool: its times, and what else its mode measures."""

    seconds: float
    cpu_seconds: float
    more: dict[str, list[float]]


class Pools:
    """The pools of some rounds, up; a context manager that ends them and removes the files that they leave."""

    def __init__(self, names: set[str], workers: int, patience: float = _PATIENCE) -> None:
        self._programs: dict[str, Program] = {}
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="pools-"))
            for name in sorted(names):
                program = Program(
                    "-m",
                    f"benchmarks.peers.calls.{name}",
                    str(workers),
                    patience=patience,
                    PARCS_MODULES=str(ROOT / "benchmarks" / "modules"),
                    RAY_USAGE_STATS_ENABLED="0",
                    TMPDIR=folder,
                )
                stack.callback(kill, program)
                self._programs[name] = program
                if program.line() != "ready":
                    raise ProgramFailed(f"{name} did not get ready")
            self._stack = stack.pop_all()

    def run_round(self, pool_mode: PoolMode, calls: int) -> Round:
        """Run a round of a pool."""
        return Round(*json.loads(self._programs[pool_mode.pool].ask(f"{pool_mode.mode} {calls}")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                for program in self._programs.values():
                    program.close()


def kill(program: Program) -> None:
    """Kill a pool that has not ended, and all below it: not everything of Ray's ends by itself."""
    if program.pid is not None:
        for process in psutil.Process(program.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    program.kill()
