"""A sample of the ends of runners; ``python -m tests.exits`` goes through all."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exits import docker_requests, turns
from tests.support.jobs import ENVIRONMENT, MODULES

pytestmark = [pytest.mark.slow, pytest.mark.one_loop]


async def test_a_runner_ends_at_any_turn_of_its_loop_and_leaves_nothing(tmp_path: Path) -> None:
    count = await turns.whole(tmp_path / "whole")
    ends = [("cancel", 1), ("kill", count // 4), ("cancel", count // 2), ("kill", count * 3 // 4)]
    found = await asyncio.gather(*(turns.end_at(tmp_path / f"{way} {turn}", way, turn) for way, turn in ends))
    assert not any(outcome.problems for outcome in found), found
    assert all(outcome.is_met for outcome in found[:3]), found  # a run may have fewer turns than another


@pytest.mark.parametrize(
    "way, step",
    [
        ("stop", "POST /secrets/create 1"),
        ("cut after", "POST /services/create 1"),
        ("cut before", "DELETE /secrets/* 1"),
    ],
)
async def test_a_runner_of_the_swarm_leaves_nothing_whichever_request_it_ends_at(
    tmp_path: Path, way: str, step: str
) -> None:
    assert await docker_requests.end_at(tmp_path / "job", way, step) == (True, [])


@pytest.mark.parametrize(
    "way, step",
    [("kill after", "POST /secrets/create 2"), ("kill before", "DELETE /services/* 1"), ("lose", "GET /tasks 1")],
)
async def test_what_a_runner_of_the_swarm_leaves_at_any_request_is_swept(tmp_path: Path, way: str, step: str) -> None:
    assert await docker_requests.end_at(tmp_path / "job", way, step) == (True, [])


FULL = """
import asyncio
import subprocess
import sys
from aioparcs import run

async def main(runner):
    async with runner.start_many("printer", 2) as tasks:
        await asyncio.gather(*(task.call("both", 50) for task in tasks))

run(main)
"""


@pytest.mark.parametrize("full", ["output", "errors", "both"])
def test_a_full_disk_for_the_output_does_not_change_how_a_job_ends(full: str) -> None:
    with open("/dev/full", "w") as disk:
        done = subprocess.run(
            [sys.executable, "-c", FULL], env=ENVIRONMENT | {"PARCS_MODULES": str(MODULES)}, timeout=60,
            stdout=subprocess.PIPE if full == "errors" else disk,
            stderr=subprocess.PIPE if full == "output" else disk,
        )  # fmt: skip
    assert done.returncode == 0, done
