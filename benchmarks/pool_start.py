"""
A pool of 200 workers on a real Swarm, from nothing until all are connected.

Beside it stands plain Docker, until it says that three containers run, which are what the pool is packed into. Each
measurement is a program of its own; the next begins when nothing of it is left on any node. The ratios are time over
time: less is better.
"""

from __future__ import annotations

import json

from benchmarks.cluster import NoSwarm, build_images, ensure_swarm, keep_images, wait_empty
from benchmarks.harness import Program, Progress
from benchmarks.results import Measured, Results, at_most, ratio

_WORKERS, _NODES = 200, 3
_PATIENCE = 400.0  # seconds for one measurement, its end included


def measure(rounds: int, progress: Progress) -> Results:
    """Compare a pool on a Swarm with plain Docker; where there is no Swarm, leave it out."""
    try:
        with ensure_swarm():
            noop, echo = build_images("noop", "echo")
            with keep_images(noop.exact, echo.exact):
                return _results(_measure(noop.tagged, echo.exact, rounds, progress))
    except NoSwarm as error:
        return Results(left_out=[f"pool_200_vs_3: {error}"])


def _measure(noop: str, echo: str, rounds: int, progress: Progress) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"pool": [], "docker": [], "clock": []}
    for turn in range(rounds):
        for name in ("pool", "docker")[:: -1 if turn % 2 else 1]:
            if name == "pool":
                times[name] += _run("benchmarks.peers.swarm_pool", noop, str(_WORKERS), str(_NODES))
            else:
                seconds, clock = _run("benchmarks.peers.replicas", echo, str(_NODES))
                times[name].append(seconds)
                times["clock"].append(clock)
        progress(turn + 1, rounds)
    return times


def _run(*command: str) -> list[float]:
    """Run one measurement when the Swarm is empty, and return its values."""
    wait_empty()
    program = Program("-m", *command, patience=_PATIENCE)
    answer: list[float] = json.loads(program.line())
    program.close()
    return answer


def _results(times: dict[str, list[float]]) -> Results:
    pool, docker, clock = times["pool"], times["docker"], times["clock"]
    return Results(
        [
            Measured("pool_200_s", "pool of 200 workers, overlay", pool, "s"),
            Measured("docker_3_s", "3 replicas, plain Docker, overlay", docker, "s"),
            Measured("docker_3_clock_s", "... by Docker's own clock", clock, "s"),
        ],
        [
            ratio("pool_200_vs_3", "pool of 200 workers / 3 replicas", pool, docker, at_most(1.5)),
            ratio("pool_200_vs_3_clock", "... by Docker's own clock", pool, clock, None),
        ],
    )
