"""A runner of the Swarm that ends, or whose leader fails it, at one of its requests to Docker."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aioparcs.swarm import open_swarm
from aioparcs.swarm.jobs.jobs import sweep
from tests.exits.gate import Gate, serve
from tests.exits.leader import IMAGE, Leader
from tests.exits.processes import Ended, Family, Outcome, ended, start_program

__all__ = ["end_at", "steps"]

_GONE = 20.0  # seconds until launchers have noticed that their runner is gone, and ended by themselves
_KILLED, _INTERRUPTED = -9, 130
_SWEPT = "kill before", "kill after", "lose"  # after these something is left for the next command


class _Scene(NamedTuple):
    family: Family
    leader: Leader
    gate: Gate
    url: str


async def steps(folder: Path) -> list[str]:
    """Run the program to its end; return its requests."""
    async with _scene(folder, "", "") as scene:
        program = await _run(scene)
        problems = [*_misbehaviour(program, (0,)), *scene.leader.remains(), *await scene.family.left(0.0)]
        assert not problems, problems
        return scene.gate.steps


async def end_at(folder: Path, way: str, step: str) -> Outcome:
    """Run the program until a fault at a request; one that it never makes, as of fewer polls, leaves it its own end."""
    async with _scene(folder, way, step) as scene:
        program = await _run(scene)
        is_met = scene.gate.met
        # A lost connection may end the job, with an error of one line.
        codes = {"kill": (_KILLED,), "stop": (_INTERRUPTED,)}.get(way.partition(" ")[0], (0, 1))
        problems = _misbehaviour(program, codes if is_met else (0,))
        if is_met and way in _SWEPT:
            problems += await scene.leader.left_running(_GONE)
            async with open_swarm(scene.url) as swarm:
                await sweep(swarm)
            await scene.leader.settle()
        else:
            await scene.gate.settle()
        problems += await scene.family.left(0.0)
        return Outcome(is_met, [f"{way}, {step}: {one}" for one in (*problems, *scene.leader.remains())])


@asynccontextmanager
async def _scene(folder: Path, way: str, step: str) -> AsyncIterator[_Scene]:
    (folder / "docker").mkdir(parents=True)
    (folder / "docker" / "config.json").write_text("{}")
    variables = {"PARCS_ENGINE": "swarm", "PARCS_ADVERTISE": "127.0.0.1", "DOCKER_CONFIG": str(folder / "docker")}
    family = Family(folder, **variables)
    leader = Leader(folder / "docker", family)
    async with AsyncExitStack() as stack:
        stack.callback(family.end)
        stack.push_async_callback(leader.aclose)
        gate = Gate(leader.answer, way, step)
        url = await stack.enter_async_context(serve(gate))
        family.environment["LEADER_URL"] = url
        yield _Scene(family, leader, gate, url)


async def _run(scene: _Scene) -> Ended:
    scene.gate.process = await start_program(scene.family, IMAGE.format("functions"))
    return await ended(scene.gate.process)


def _misbehaviour(program: Ended, codes: tuple[int, ...]) -> list[str]:
    if program.code in codes and "Traceback" not in program.errors:
        return []
    return [f"it has ended with exit code {program.code}: {program.output} {program.errors}"]
