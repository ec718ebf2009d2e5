"""The processes that descend from a program, also when it is gone: they inherit a variable of its environment."""

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.support.jobs import ENVIRONMENT, MODULES
from tests.support.waiting import PATIENCE

__all__ = ["PROGRAM", "Ended", "Family", "Outcome", "ended", "run_program", "start_program"]

PROGRAM = Path(__file__).with_name("program.py")
_VARIABLE = "EXITS_FAMILY"


class Family:
    """
    A program and all that it starts.

    Args:
        folder: a folder of its own, for what it writes.

    Attributes:
        environment: that of the program.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self._mark = secrets.token_hex(8)
        self._temporary, self._state = folder / "tmp", folder / "state"
        for path in self._temporary, self._state:
            path.mkdir(parents=True, exist_ok=True)
        own = {_VARIABLE: self._mark, "TMPDIR": str(self._temporary), "XDG_STATE_HOME": str(self._state)}
        self.environment = ENVIRONMENT | {"PARCS_MODULES": str(MODULES)} | own | variables

    def processes(self) -> list[psutil.Process]:
        """Find those that run."""
        return [process for process in psutil.process_iter() if self._has_mark(process)]

    def _has_mark(self, process: psutil.Process) -> bool:
        try:
            mark = process.environ().get(_VARIABLE)
            return mark == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False

    async def left(self, seconds: float) -> list[str]:
        """Name what still runs after so many seconds, and the files outside of the folder for histories."""
        end = asyncio.get_running_loop().time() + seconds
        while (there := self.processes()) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.05)
        names = [f"process {one.pid}: {' '.join(_command(one))}" for one in there]
        return [*names, *(f"file {path}" for path in self._temporary.rglob("*"))]

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes():
            process.kill()


class Ended(NamedTuple):
    """
    A program that has ended.

    Attributes:
        code: its exit code.
        output: the lines of its standard output.
        errors: what it has written to its standard error.
    """

    code: int
    output: list[str]
    errors: str


class Outcome(NamedTuple):
    """
    What came of a program that was to end at some step.

    Attributes:
        is_met: whether it was ended there; if not, it had fewer steps than the run that they were counted in.
        problems: what is wrong with its end, and what is left of it.
    """

    is_met: bool
    problems: list[str]


async def run_program(family: Family, *arguments: str) -> Ended:
    """Run the program to its end."""
    process = await start_program(family, *arguments)
    return await ended(process)


async def start_program(family: Family, *arguments: str) -> asyncio.subprocess.Process:
    """Start the program."""
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments, env=family.environment, cwd=os.fspath(PROGRAM.parents[2]),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the program's end; kill it if it has none."""
    try:
        async with asyncio.timeout(2 * PATIENCE):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise AssertionError(f"the program did not end within {2 * PATIENCE:g} s") from None
    assert process.returncode is not None
    return Ended(process.returncode, output.decode().splitlines(), errors.decode())


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ["?"]
