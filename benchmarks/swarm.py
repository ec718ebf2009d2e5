"""
60 workers in containers of their own, and 200 in ten, on a real Swarm, from nothing to the answer of the last.

Beside them stand plain Docker, until it says that as many containers of the same image run, and the way of the
original PARCS, one service after another. Each measurement is a program of its own; the next begins when nothing of
it is left on any node. The ratios are time over time: less is better, but for the original, where more is.
"""

from __future__ import annotations

import json

from benchmarks.cluster import Images, build_images, ensure_swarm, keep_images, wait_empty
from benchmarks.harness import Program, Progress
from benchmarks.results import Measured, Results, at_least, at_most, ratio

_WORKERS, _PACKED, _PER_CONTAINER = 60, 200, 20
_CONTAINERS = _PACKED // _PER_CONTAINER
_ORIGINAL, _ORIGINAL_ROUNDS = 20, 2  # of the original's services: each takes as long as the one before, in any round
_PATIENCE = 400.0  # seconds for one measurement, its end included

Times = dict[str, list[float]]


def measure(rounds: int, progress: Progress) -> Results:
    """Compare aioparcs on a Swarm with plain Docker and with the original's way."""
    with ensure_swarm():
        echo, original = build_images("echo", "original")
        with keep_images(echo.exact):
            times = _measure(_commands(echo, original), rounds, progress)
    return Results(_figures(times), _ratios(times))


def _measure(commands: dict[str, tuple[str, ...]], rounds: int, progress: Progress) -> Times:
    times: Times = {name: [] for name in (*commands, "docker_clock", "docker_10_clock")}
    for turn in range(rounds):
        for name in list(commands)[:: -1 if turn % 2 else 1]:
            if name == "original" and turn >= _ORIGINAL_ROUNDS:
                continue
            seconds, *clock = _run(commands[name])
            times[name].append(seconds)
            if clock:
                times[f"{name}_clock"] += clock
        progress(turn + 1, rounds)
    return times


def _commands(echo: Images, original: Images) -> dict[str, tuple[str, ...]]:
    """Return each measurement's program, in the order of a round; what is compared stands close together."""
    ours, docker = "benchmarks.peers.swarm_workers", "benchmarks.peers.replicas"
    return {
        "original": ("benchmarks.peers.original", original.exact, echo.exact, str(_ORIGINAL)),
        "overlay": (ours, echo.tagged, "overlay", str(_WORKERS), "1"),
        "docker": (docker, echo.exact, str(_WORKERS)),
        "outside": (ours, echo.tagged, "outside", str(_WORKERS), "1"),
        "packed": (ours, echo.tagged, "overlay", str(_PACKED), str(_PER_CONTAINER)),
        "docker_10": (docker, echo.exact, str(_CONTAINERS)),
    }


def _run(command: tuple[str, ...]) -> list[float]:
    """Run one measurement when the Swarm is empty, and return its values."""
    wait_empty()
    program = Program("-m", *command, patience=_PATIENCE)
    answer: list[float] = json.loads(program.line())
    program.close()
    return answer


def _figures(times: Times) -> list[Measured]:
    each = [seconds / _ORIGINAL for seconds in times["original"]]
    return [
        Measured("start_60_s", "60 workers, start_many, overlay", times["overlay"], "s"),
        Measured("start_60_outside_s", "60 workers, start_many, no overlay", times["outside"], "s"),
        Measured("docker_60_s", "60 replicas, plain Docker, overlay", times["docker"], "s"),
        Measured("docker_60_clock_s", "... by Docker's own clock", times["docker_clock"], "s"),
        Measured("original_each_s", "one of 20 services as the original, dnsrr", each, "s"),
        Measured("packed_200_s", "200 workers in 10 containers, overlay", times["packed"], "s"),
        Measured("docker_10_s", "10 replicas, plain Docker, overlay", times["docker_10"], "s"),
        Measured("docker_10_clock_s", "... by Docker's own clock", times["docker_10_clock"], "s"),
    ]


def _ratios(times: Times) -> list[Measured]:
    ours, docker, ten = times["overlay"], times["docker"], times["docker_10"]
    original = [seconds / _ORIGINAL for seconds in times["original"]]
    own = [seconds / _WORKERS for seconds in ours[: len(original)]]
    return [
        ratio("start_vs_docker", "60 workers / 60 replicas running", ours, docker, at_most(1.1)),
        ratio("start_vs_docker_clock", "... by Docker's own clock", ours, times["docker_clock"], None),
        ratio("start_vs_original", "a service as the original (20, dnsrr) / a worker", original, own, at_least(10)),
        ratio("outside_vs_docker", "60 workers, no overlay / 60 replicas", times["outside"], docker, at_most(0.7)),
        ratio("packed_200_vs_10", "200 workers in 10 / 10 replicas", times["packed"], ten, at_most(1.5)),
        ratio("packed_200_vs_10_clock", "... by Docker's own clock", times["packed"], times["docker_10_clock"], None),
    ]
