"""The removal by the next command of what jobs have left whose runner is gone, and of what Docker refuses to remove."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from aioparcs.cli.jobs import _ps, _remove_orphans
from aioparcs.swarm import SwarmClient, open_swarm
from aioparcs.swarm.docker.labels import RUNNER, job_labels, runner_identity
from aioparcs.swarm.jobs.jobs import remove_job, sweep
from aioparcs.swarm.jobs.submit import RunnerService, Submission
from tests.exits.gate import Gate, serve
from tests.exits.leader import IMAGE, Leader
from tests.exits.processes import Family
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.one_loop

JOB = "a1b2c3d4"
DEAD = f"{runner_identity().rpartition('/')[0]}/1"  # another process had this one's number
REFUSED = "parcs-00000001_token"


class Scene(NamedTuple):
    leader: Leader
    swarm: SwarmClient


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Serve a leader that never removes one secret; there are credentials for the registry of its images."""
    auth = base64.b64encode(b"user:password").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry:5000": {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    leader = Leader(tmp_path, Family(tmp_path))

    async def answer(request: web.Request, body: bytes) -> web.Response:
        one = leader.secrets.get(request.path.rpartition("/")[2])
        if request.method == "DELETE" and one and one["Spec"]["Name"] == REFUSED:
            return web.Response(status=400, body=b'{"message": "it is refused"}', content_type="application/json")
        return await leader.answer(request, body)

    try:
        async with serve(Gate(answer)) as url, open_swarm(url) as swarm:
            monkeypatch.setenv("LEADER_URL", url)
            yield Scene(leader, swarm)
    finally:
        await leader.aclose()


async def create_token(swarm: SwarmClient, job: str, identity: str) -> None:
    await swarm.create_secret(f"parcs-{job}_token", "token", {**job_labels(job), RUNNER: identity})


async def test_a_submitted_runner_that_has_ended_keeps_the_secrets_that_it_mounts(scene: Scene) -> None:
    leader, swarm = scene
    image = IMAGE.format("functions")
    submission = Submission(JOB, "runner", image, {}, (), time.time() + 60, (image,), secrets={"password": b"x"})
    await RunnerService.submit(swarm, submission)
    await create_token(swarm, JOB, "elsewhere")
    assert await leader.left_running(PATIENCE) == []
    assert await sweep(swarm) == ([JOB], [])
    kept = {"parcs-a1b2c3d4_registries", "parcs-a1b2c3d4_secret-password"}
    assert {one["Spec"]["Name"] for one in leader.secrets.values()} == kept
    assert await sweep(swarm) == ([], [])
    assert kept < set(await remove_job(swarm, JOB))
    await leader.settle()
    assert leader.remains() == []


async def test_a_job_that_can_not_be_swept_keeps_no_other_from_it_and_all_are_listed(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    for job in ("00000001", "00000002"):
        await create_token(scene.swarm, job, DEAD)
    await _ps(None, as_json=True)
    shown = capsys.readouterr()
    failure = "could not remove what is left of job 00000001: it is refused"
    assert set(shown.err.splitlines()) == {"removed what was left of job 00000002", failure}
    assert [job["job"] for job in json.loads(shown.out)] == ["00000001"]
    with pytest.raises(Exception, match=failure):
        await _remove_orphans()
