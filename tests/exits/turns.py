"""A runner of this machine that is killed, or cancelled, at one turn of its event loop."""

import re
from pathlib import Path

from tests.exits.processes import Ended, Family, Outcome, run_program

__all__ = ["WAYS", "end_at", "whole"]

WAYS = "kill", "cancel"
_MODULE = "functions"
_GONE = 20.0  # seconds until what the kernel kills with the runner is gone, on a busy machine
_KILLED = -9


async def whole(folder: Path) -> int:
    """Run the program to its end; return how many turns its loop has made."""
    family = Family(folder)
    ended = await run_program(family, _MODULE, "none", "-1")
    problems = [*_problems("none", ended), *await family.left(0.0)]
    assert not problems, problems
    return int(ended.output[-1].split()[0])


async def end_at(folder: Path, way: str, turn: int) -> Outcome:
    """Run the program until a turn of its loop; one that it never comes to leaves it its own end."""
    family = Family(folder)
    try:
        ended = await run_program(family, _MODULE, way, str(turn))
        # One that was cancelled has waited for all that it has started.
        left = [f"is left: {one}" for one in await family.left(_GONE if way == "kill" else 0.0)]
        is_met = ended.code == _KILLED if way == "kill" else "cancelled" in ended.output
        return Outcome(is_met, [f"{way} at turn {turn}: {one}" for one in (*_problems(way, ended), *left)])
    finally:
        family.end()


def _problems(way: str, ended: Ended) -> list[str]:
    # The turns are not the same ones in each run: the last ones may be missing.
    is_well = re.fullmatch(r"\d+ turns", ended.output[-1]) if ended.output else None
    if way == "kill" and ended.code == _KILLED:
        return []
    if ended.code or not is_well or ended.errors:
        return [f"it has ended with exit code {ended.code}: {ended.output} {ended.errors}"]
    return []
