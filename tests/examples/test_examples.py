"""The examples run, as their READMEs say."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.command import EXAMPLES, execute, run

pytestmark = pytest.mark.slow


def test_every_example_has_a_main_and_a_readme() -> None:
    folders = [folder for folder in EXAMPLES.iterdir() if (folder / "main.py").exists()]
    assert {folder.name for folder in folders} >= {"factor", "runner", "echo", "sleeper"}
    for folder in folders:
        assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")


@pytest.mark.parametrize("n, p", [(1, 1), (97, 2), (5040, 8), (3, 5)])
def test_the_divisors_are_right(n: int, p: int) -> None:
    done = run("run", "runner", "--modules", EXAMPLES, "-e", f"N={n}", "-e", f"P={p}")
    assert done.returncode == 0, done.stderr
    divisors = [i for i in range(1, n + 1) if n % i == 0]
    first, second = done.stdout.splitlines()
    assert first == f"{n} has {len(divisors)} divisors: {', '.join(map(str, divisors))}"
    assert re.fullmatch(rf"{p} workers took \d+\.\d\d s", second)


@pytest.mark.parametrize("variable", ["N=", "N=0", "P=-1", "P=many"])
def test_a_bad_number_is_one_clear_line(variable: str) -> None:
    done = run("run", "runner", "--modules", EXAMPLES, "-e", variable)
    name, _, value = variable.partition("=")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{name}={value!r} is not a positive whole number\n"


def test_the_example_runs_without_the_command_line_too() -> None:
    done = execute([sys.executable, str(EXAMPLES / "runner" / "main.py")], N="12", P="2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("12 has 6 divisors: 1, 2, 3, 4, 6, 12\n")


TALKING = """
import asyncio
from aioparcs import Runner, run

async def main(runner: Runner) -> None:
    async with runner.start("echo") as echo, runner.start_many("sleeper", 2) as sleepers:
        for message in (1, "two", [3.5, None], {"four": b"4"}):
            await echo.send(message)
            print(await echo.recv())
        await asyncio.gather(*(task.send(0.01) for task in sleepers))
        print(await asyncio.gather(*(task.recv() for task in sleepers)))

run(main)
"""


def test_echo_and_sleeper_answer(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(TALKING)
    done = run("run", tmp_path, "--modules", EXAMPLES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1", "two", "[3.5, None]", "{'four': b'4'}", "[0.01, 0.01]"]
