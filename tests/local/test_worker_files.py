"""Files of the runner's folder for workers of this machine: they are there, or the start says what to do."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.jobs import module

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

MODULE = "from aioparcs import serve\ndef words(name): return open(name).read().split()\nserve(words)\n"
PROGRAM = """
import os
import sys
from aioparcs import Service, StartError, run

def words(name):
    return open(name).read().split()

class Starts(Service):
    async def run(self):
        try:
            await self.start(Starts, files=["data"])
        except StartError as error:
            await self.send(str(error))

async def main(runner):
    if "service" in sys.argv:
        async with runner.start(Starts, files=["data"]) as task:
            print(await task.recv())
        return
    what = "reader" if "module" in sys.argv else words
    async with runner.pool(what, 2, files=[os.environ["NAME"]]) as pool:
        print(await pool.map(["data/words.txt"]))

run(main)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Create a runner and a module in a folder, with a file for both."""
    module(tmp_path, "reader", MODULE)
    module(tmp_path, "main", PROGRAM)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("apple bean")
    return tmp_path


@pytest.mark.parametrize("name", ["data", "./data/words.txt", "{here}/data"])
def test_workers_of_the_program_have_the_files_of_its_folder(here: Path, name: str) -> None:
    done = run("run", "main", "-e", f"NAME={name.format(here=here)}", cwd=here)
    assert (done.returncode, done.stdout) == (0, "[['apple', 'bean']]\n"), done.stderr


def test_what_is_missing_is_an_error(here: Path) -> None:
    done = run("run", "-q", "main", "-e", "NAME=nothing", cwd=here)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"words did not start: files=: there is no {here}/nothing\n" in done.stderr


def test_workers_of_a_module_have_them_by_a_link(here: Path) -> None:
    done = run("run", "-q", "main", "-e", "NAME=data/words.txt", "--", "module", cwd=here)
    assert (done.returncode, done.stdout) == (1, "")
    link = re.search("which has no data/words.txt; make a link to it: (ln .*)", done.stderr)
    assert link, done.stderr
    (here / "reader" / "data").mkdir()
    subprocess.run(shlex.split(link[1]), check=True)
    done = run("run", "-q", "main", "-e", "NAME=data/words.txt", "--", "module", cwd=here)
    assert (done.returncode, done.stdout) == (0, "[['apple', 'bean']]\n"), done.stderr


def test_a_service_may_not_choose_files_of_its_runner(here: Path) -> None:
    done = run("run", "-q", "main", "--", "service", cwd=here)
    assert (done.returncode, done.stdout) == (
        0, "Starts did not start: files= can only be set by its runner, not by a service\n"
    ), done.stderr  # fmt: skip
