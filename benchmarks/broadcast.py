"""
A 256 MiB array to 60 workers on three nodes whose network is capped at 1 Gbit/s, each way.

Beside a broadcast stand what one would write without it: a loop that sends it to one worker after the other, and all
sends at once. The ratios are time over time of the other ways to ours: more is better.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.cluster import build_images, ensure_swarm, keep_images, wait_empty
from benchmarks.harness import Program, ProgramFailed, Progress
from benchmarks.results import Measured, Results, at_least, ratio
from tests.cluster import Cluster
from tests.cluster.image import download

_WORKERS, _PER_CONTAINER, _MIB = 60, 20, 256
_RATE = "1gbit"
_PATIENCE = 400.0  # seconds for one round: one by one takes over two minutes
_WAYS = ("one_by_one", "at_once", "broadcast")


def measure(rounds: int, progress: Progress) -> Results:
    """Compare a broadcast with sends, over slow networks."""
    _check_memory()
    with ensure_swarm(), ExitStack() as stack:
        cluster = Cluster.here()
        if cluster is None or cluster.leader.url != os.environ["LEADER_URL"]:
            raise ProgramFailed("only the test cluster's network can be capped: python -m tests.cluster up")
        (sink,) = _build(stack)
        stack.enter_context(keep_images(sink))
        wait_empty()
        for node in cluster.nodes:
            stack.callback(node.uncap)
            node.cap(_RATE)
        times = _measure(sink, rounds, progress)
    return Results(_figures(times), _ratios(times))


def _build(stack: ExitStack) -> list[str]:
    wheels = stack.enter_context(tempfile.TemporaryDirectory())
    download(Path(wheels), "numpy")
    os.environ["PARCS_WHEELS"] = wheels
    stack.callback(os.environ.pop, "PARCS_WHEELS")
    return [image.exact for image in build_images("sink")]


def _measure(image: str, rounds: int, progress: Progress) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {way: [] for way in _WAYS}
    words = (image, str(_WORKERS), str(_PER_CONTAINER), str(_MIB))
    program = Program("-m", "benchmarks.peers.broadcasts", *words, patience=_PATIENCE)
    try:
        if program.line() != "ready":
            raise ProgramFailed("the workers did not get ready")
        for turn in range(rounds):
            for way in _WAYS[:: -1 if turn % 2 else 1]:
                times[way].append(float(program.ask(way)))
            progress(turn + 1, rounds)
        program.close()
    except BaseException:
        program.kill()
        raise
    return times


def _check_memory() -> None:
    with open("/proc/meminfo") as file:
        free = next(int(line.split()[1]) >> 10 for line in file if line.startswith("MemAvailable"))
    needed = _WORKERS * _MIB * 5 // 4
    if free < needed:
        raise ProgramFailed(f"{_WORKERS} arrays need {needed:,} MiB of free memory, and there are {free:,}")


def _figures(times: dict[str, list[float]]) -> list[Measured]:
    what = f"{_MIB} MiB to {_WORKERS} workers on 3 nodes, {_RATE} each"
    return [
        Measured("broadcast_s", f"{what}: broadcast", times["broadcast"], "s"),
        Measured("one_by_one_s", "... sent to one after the other", times["one_by_one"], "s"),
        Measured("at_once_s", "... sent to all at once", times["at_once"], "s"),
    ]


def _ratios(times: dict[str, list[float]]) -> list[Measured]:
    ours = times["broadcast"]
    return [
        ratio("broadcast_vs_one_by_one", "sends one by one / broadcast", times["one_by_one"], ours, at_least(3)),
        ratio("broadcast_vs_at_once", "sends all at once / broadcast", times["at_once"], ours, None),
    ]
