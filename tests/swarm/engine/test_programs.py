"""Functions and services of the runner's own program on a Swarm: its image is that of its workers."""

import json
import secrets
import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND, execute
from tests.support.jobs import module
from tests.support.live import Cluster, left

pytestmark = pytest.mark.one_loop

MAIN = """
import os
import socket
import sys

import helper
from aioparcs import Runner, Service, run

N = int(os.environ["N"])


def multiply(x):
    return [x * N, socket.gethostname()]


class Leaf(Service):
    async def run(self):
        await self.send(await self.recv() + N)


class Branch(Service):
    async def run(self):
        async with self.start(Leaf) as t:
            await t.send(await self.recv())
            await self.send(await t.recv())


async def main(runner: Runner) -> None:
    async with runner.pool(multiply, 3) as pool:
        found = await pool.map(range(30))
        print([value for value, _ in found] == [x * N for x in range(30)])
        print(socket.gethostname() in {host for _, host in found})
        print(await pool.map([1], function=helper.negate))
    async with runner.pool(helper.negate, 2) as pool:
        print(await pool.map([1, 2]))
    if len(sys.argv) < 2:  # workers of services must be on the overlay, as they are when the runner is there
        async with runner.start(Branch) as t:
            await t.send(4)
            print(await t.recv())


run(main)
"""
HELPER = "def negate(x):\n    return -x\n"
POOLS = "True\nFalse\n[-1]\n[-1, -2]\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Write a program of two files, with a name that no other test has."""
    name = f"p{secrets.token_hex(3)}"
    module(tmp_path, name, MAIN)
    (tmp_path / name / "helper.py").write_text(HELPER)
    return tmp_path / name


def test_a_program_that_is_submitted_with_variables(cluster: Cluster, program: Path) -> None:
    command = [*COMMAND, "run", str(program), "--on", "swarm", "-e", "N=7"]
    done = execute(command, None, **cluster.environment)
    assert (done.returncode, done.stdout) == (0, f"{POOLS}11\n"), done.stderr


def test_a_program_outside_needs_its_image_to_be_built_from_its_files(cluster: Cluster, program: Path) -> None:
    variables = cluster.environment | {"PARCS_ENGINE": "swarm", "PARCS_RUN": secrets.token_hex(4)}
    command = [*COMMAND, "run", "-q", str(program), "-e", "N=7"]
    missing = execute(command, None, **variables)
    assert missing.returncode == 1
    assert f"there is no image of the current files in {program}" in missing.stderr
    assert f"build it: aioparcs build {program} --push" in missing.stderr

    built = execute([*COMMAND, "build", str(program), "--push"], None, **cluster.environment)
    assert built.returncode == 0, built.stderr
    done = execute([sys.executable, str(program / "main.py"), "outside"], None, **variables, N="7",
                   PARCS_PROGRAM_VARIABLES='["N"]')  # fmt: skip
    assert (done.returncode, done.stdout) == (0, POOLS), done.stderr
    assert left(cluster, variables["PARCS_RUN"]) == []


OTHER = """
import asyncio

import helper
from aioparcs import Runner


async def main():
    async with Runner(engine="swarm") as runner, runner.pool(helper.negate, 2) as pool:
        print(await pool.map([1, 2]))


asyncio.run(main())
"""


def test_a_program_that_names_its_image(cluster: Cluster, program: Path) -> None:
    built = execute([*COMMAND, "build", str(program), "--push", "--json"], None, **cluster.environment)
    assert built.returncode == 0, built.stderr
    image = json.loads(built.stdout)[0]["digest"]
    (program / "app.py").write_text(OTHER)
    (program / "main.py").unlink()
    command = [sys.executable, str(program / "app.py")]
    refused = execute(command, None, **cluster.environment)
    assert "a Swarm runs images, and none of this program is known: name it in PARCS_PROGRAM_IMAGE" in refused.stderr
    done = execute(command, None, **cluster.environment, PARCS_PROGRAM_IMAGE=image)
    assert (done.returncode, done.stdout) == (0, "[-1, -2]\n"), done.stderr
