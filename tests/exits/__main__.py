"""
Ends runners at every step, and says what is left: ``python -m tests.exits turns requests``, and ``moments`` (root).

``turns`` kills and cancels a runner of this machine at each turn of its event loop. ``requests`` does it to one of the
Swarm, whose leader's containers are processes of this machine, at each of its requests to Docker, and has these fail.
``moments`` kills runners of the test cluster at random moments.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.cluster import Cluster, down, up
from tests.exits import docker_requests, gate, turns
from tests.exits.moments import Moments, build
from tests.exits.processes import Outcome
from tests.support.live import Cluster as Swarm
from tests.support.live import hide_swarm

_AT_ONCE = 4

Run = Callable[[Path], Awaitable[Outcome]]


def main() -> int:
    """End runners as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.exits")
    parser.add_argument("kinds", nargs="+", choices=("turns", "requests", "moments"))
    parser.add_argument("--every", type=int, default=1, help="of the turns, one in so many")
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    hide_swarm()
    problems: list[str] = []
    if "turns" in arguments.kinds:
        problems += asyncio.run(_turns(arguments.every))
    if "requests" in arguments.kinds:
        problems += asyncio.run(_requests())
    if "moments" in arguments.kinds:
        problems += _moments(arguments.moments, arguments.seed)
    print(*problems, sep="\n", end="\n" if problems else "")
    return min(1, len(problems))


async def _turns(every: int) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        count = await turns.whole(Path(place))
    runs: list[Run] = [
        lambda folder, way=way, turn=turn: turns.end_at(folder, way, turn)  # type: ignore[misc]  # its defaults
        for way in turns.WAYS
        for turn in range(1, count, every)  # the program begins in turn 0
    ]
    unmet, problems = await _all(runs)
    print(f"{len(runs)} ends of a runner of this machine, at {len(runs) // 2} of {count} turns of its loop; {unmet}")
    return problems


async def _requests() -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        steps = await docker_requests.steps(Path(place))
    runs: list[Run] = [
        lambda folder, way=way, step=step: docker_requests.end_at(folder, way, step)  # type: ignore[misc]  # its defaults
        for way in gate.WAYS
        for step in steps
    ]
    unmet, problems = await _all(runs)
    print(f"{len(runs)} ends of a runner of the Swarm, at {len(steps)} requests to Docker: {', '.join(steps)}; {unmet}")
    return problems


async def _all(runs: list[Run]) -> tuple[str, list[str]]:
    """Run some at once, each in a folder of its own; return how many were over before their step, and all problems."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def run_one(run: Run) -> Outcome:
        async with room:
            with tempfile.TemporaryDirectory() as folder:
                outcome = await run(Path(folder))
            print(*outcome.problems, sep="\n", end="\n" if outcome.problems else "", file=sys.stderr)
            return outcome

    outcomes = await asyncio.gather(*map(run_one, runs))
    unmet = sum(not outcome.is_met for outcome in outcomes)
    return f"{unmet} were over before", [one for outcome in outcomes for one in outcome.problems]


def _moments(count: int, seed: int) -> list[str]:
    was_up = Cluster.here() is not None
    cluster = up(3, lambda step: print(step, file=sys.stderr))
    try:
        swarm = Swarm(cluster.leader.url, cluster.registry.address, cluster.image, cluster.nodes)
        build(swarm)
        moments = Moments(swarm, seed)
        problems = moments.kill(count)
    finally:
        if not was_up:
            down()
    stages = ", ".join(f"{number} {stage}" for stage, number in moments.stages.most_common())
    found = ", ".join(f"{number} of kind {kind}" for kind, number in moments.found.items())
    print(f"{moments.stages.total()} moments: {stages}; {moments.sweeps} commands found {found or 'nothing'}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
