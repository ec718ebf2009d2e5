"""A runner that requires packages: `aioparcs run` gives it an environment of its own."""

import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND, execute
from tests.support.jobs import module
from tests.support.wheels import wheel

pytestmark = pytest.mark.slow

RUNNER = """
import sys
from aioparcs import run
async def main(runner):
    async with runner.start("here") as t:
        print({what}, sys.prefix, sys.flags.optimize, await t.recv(), *sys.argv[1:])
run(main)
"""
SERVICE = """
import sys
from aioparcs import Service, serve
class Here(Service):
    async def run(self): await self.send(sys.prefix)
serve(Here)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    module(tmp_path, "here", SERVICE)
    return module(tmp_path, "runner", RUNNER.format(what="__import__('thing').VALUE")) / "runner"


def require(runner: Path, requirements: str) -> dict[str, str]:
    (runner / "requirements.txt").write_text(requirements)
    return {"XDG_CACHE_HOME": str(runner.parent / "cache"), "PIP_NO_INDEX": "1"}


def test_a_runner_runs_in_an_environment_with_what_it_requires(runner: Path) -> None:
    env = require(runner, wheel(runner, 1))
    first = execute([sys.executable, "-O", "-m", "aioparcs", "run", str(runner)], None, **env)
    assert first.returncode == 0, first.stderr
    made = ["runner: making its environment: ./thing-1.0-py3-none-any.whl", "runner: its environment is ready"]
    assert first.stderr.splitlines()[:2] == made
    value, prefix, optimize, service = first.stdout.split()
    assert (value, optimize) == ("1", "1")
    assert prefix == service, "services start from the runner's own packages"
    assert Path(prefix).is_relative_to(runner.parent / "cache")

    again = execute([*COMMAND, "run", "-q", str(runner)], None, **env)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"1 {prefix} 0 {prefix}\n", "")


@pytest.mark.parametrize("requirements", ["", "# nothing\n", "msgpack>=1\nclick\n", "msgpack; python_version < '3'\n"])
def test_a_runner_whose_packages_are_all_here_runs_here(runner: Path, requirements: str) -> None:
    env = require(runner, requirements)
    (runner / "main.py").write_text(RUNNER.format(what="'here'"))
    done = execute([*COMMAND, "run", "-q", str(runner)], None, **env)
    assert (done.returncode, done.stdout) == (0, f"here {sys.prefix} 0 {sys.prefix}\n"), done.stderr
    assert not Path(env["XDG_CACHE_HOME"]).exists()


@pytest.mark.parametrize("requirements", ["msgpack>=99\n", "no-such-package\n", "./missing.whl\n"])
def test_a_runner_whose_packages_cannot_be_installed_is_one_error_message(runner: Path, requirements: str) -> None:
    done = execute([*COMMAND, "run", "-q", str(runner)], None, **require(runner, requirements))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: runner: its requirements can't be installed (pip install failed); its")


def test_a_runner_in_an_image_has_its_packages(runner: Path) -> None:
    env = require(runner, "no-such-package\n") | {"PARCS_IMAGES": "{}"}
    (runner / "main.py").write_text(RUNNER.format(what="'here'"))
    done = execute([*COMMAND, "run", "-q", str(runner)], None, **env)
    assert (done.returncode, done.stdout) == (0, f"here {sys.prefix} 0 {sys.prefix}\n"), done.stderr
