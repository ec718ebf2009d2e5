"""Packages that modules share, on this machine: a runner, a service and the runner's own functions import them."""

from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.jobs import module

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

SERVICE = """
from shared.sums import total
from aioparcs import serve
serve(total)
"""
RUNNER = """
import importlib.util
from shared import sums
from aioparcs import run

def own(items): return sums.total(items) + 1

async def main(runner):
    async with runner.pool("adder", 1) as pool:
        print(await pool.map([[1, 2]]))
    async with runner.pool(own, 1) as pool:
        print(await pool.map([[1, 2]]))
    async with runner.pool(sums.total, 1) as pool:
        print(await pool.map([[1, 2]]))
    print(importlib.util.find_spec("beside"))

run(main)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a runner and a service that share a package, and another package beside it."""
    for name, text in (("main", RUNNER), ("adder", SERVICE)):
        module(tmp_path, name, text)
        (tmp_path / name / "aioparcs.toml").write_text('include = ["../common/shared"]\n')
    for name in ("shared", "beside"):
        (tmp_path / "common" / name).mkdir(parents=True)
        (tmp_path / "common" / name / "__init__.py").touch()
    (tmp_path / "common" / "shared" / "sums.py").write_text("def total(items): return sum(items)\n")
    return tmp_path


def test_a_runner_its_services_and_its_functions_import_what_they_share(folder: Path) -> None:
    done = run("run", folder / "main", XDG_CACHE_HOME=str(folder / "cache"))
    assert (done.returncode, done.stdout) == (0, "[3]\n[4]\n[3]\nNone\n"), done.stderr
    again = run("run", folder / "main", XDG_CACHE_HOME=str(folder / "cache"))
    assert again.stdout == done.stdout
    assert len(list((folder / "cache" / "aioparcs" / "include").iterdir())) == 1, "both share the same"


def test_edited_shared_code_runs_at_the_next_start(folder: Path) -> None:
    text = "from pathlib import Path\nfrom aioparcs import run\nasync def main(runner):\n"
    for edit in ("return sum(items)", "return 100 * sum(items)"):
        text += f"    Path({str(folder / 'common/shared/sums.py')!r}).write_text('def total(items): {edit}')\n"
        text += "    async with runner.pool('adder', 1) as pool: print(await pool.map([[1, 2]]))\n"
    module(folder, "main", f"{text}run(main)\n")
    done = run("run", folder / "main", XDG_CACHE_HOME=str(folder / "cache"))
    assert (done.returncode, done.stdout) == (0, "[3]\n[300]\n"), done.stderr


def test_a_path_of_the_users_own_stays(folder: Path) -> None:
    (folder / "beside.py").write_text("X = 1\n")
    text = "import os, beside\nfrom shared.sums import total\nfrom aioparcs import serve\n"
    module(folder, "adder", f"{text}def f(n): return total([n, beside.X])\nserve(f)\n")
    module(
        folder, "main",
        "from aioparcs import run\nasync def main(runner):\n"
        "    async with runner.pool('adder', 1) as pool: print(await pool.map([1]))\nrun(main)\n",
    )  # fmt: skip
    done = run("run", folder / "main", PYTHONPATH=str(folder), XDG_CACHE_HOME=str(folder / "cache"))
    assert (done.returncode, done.stdout) == (0, "[2]\n"), done.stderr


def test_what_can_not_go_along_is_one_line(folder: Path) -> None:
    (folder / "adder" / "aioparcs.toml").write_text('include = ["../nowhere"]\n')
    done = run("run", folder / "main")
    assert done.returncode == 1
    assert (
        f"adder did not start: include '../nowhere' in its aioparcs.toml: there is no {folder}/nowhere" in done.stderr
    )
    (folder / "main" / "aioparcs.toml").write_text('include = ["../nowhere"]\n')
    done = run("run", folder / "main")
    message = f"error: main: include '../nowhere' in its aioparcs.toml: there is no {folder}/nowhere\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
