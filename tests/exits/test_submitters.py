"""The ends of ``aioparcs run --on swarm`` while Docker makes its runner."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from aioparcs.swarm import SwarmClient, open_swarm
from aioparcs.swarm.docker.labels import runner_identity
from aioparcs.swarm.jobs.jobs import find_jobs, remove_job
from aioparcs.swarm.jobs.orphans import leftover
from aioparcs.swarm.jobs.submit import RunnerService, Submission
from tests.exits.gate import Gate, serve
from tests.exits.leader import IMAGE, Leader
from tests.exits.processes import Family

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

JOB = "a1b2c3d4"


class Scene(NamedTuple):
    leader: Leader
    swarm: SwarmClient
    gate: Gate


class Submitter:
    """A task in the place of a process."""

    returncode = None

    def __init__(self, task: "asyncio.Task[RunnerService]") -> None:
        self._task = task

    def send_signal(self, _number: int) -> None:
        self._task.cancel()


@asynccontextmanager
async def stopped_at(folder: Path, step: str) -> AsyncIterator[Scene]:
    """Submit a runner, and stop that at a request, with which Docker takes its time."""
    leader = Leader(folder, Family(folder))
    gate = Gate(leader.answer, "stop", step)
    try:
        async with serve(gate) as url, open_swarm(url) as swarm:
            image = IMAGE.format("functions")
            submission = Submission(JOB, "runner", image, {}, (), time.time() + 60, (image,))
            submitting = asyncio.ensure_future(RunnerService.submit(swarm, submission))
            gate.process = Submitter(submitting)
            await asyncio.wait([submitting])
            assert submitting.cancelled()
            yield Scene(leader, swarm, gate)
    finally:
        await leader.aclose()


@pytest.fixture(autouse=True)
def _credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide credentials for the registry of the image."""
    auth = base64.b64encode(b"user:password").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry:5000": {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.mark.parametrize("step", ["POST /secrets/create 1", "POST /services/create 1"])
async def test_ctrl_c_while_docker_makes_the_runner_leaves_nothing(tmp_path: Path, step: str) -> None:
    async with stopped_at(tmp_path, step) as (leader, swarm, gate):
        await remove_job(swarm, JOB)  # as the command does when it is stopped
        await gate.settle()
        await leader.settle()
        assert leader.remains() == []


async def test_the_credentials_of_a_submitter_that_died_are_left_over(tmp_path: Path) -> None:
    async with stopped_at(tmp_path, "POST /secrets/create 1") as (leader, swarm, gate):
        await gate.settle()
        (job,) = await find_jobs(swarm)
        assert (job.identity, job.runner_service) == (runner_identity(), None)
        assert not leftover(job, True, time.time()).secrets
        assert [one["Spec"]["Name"] for one in leftover(job, False, time.time()).secrets] == leader.remains()
