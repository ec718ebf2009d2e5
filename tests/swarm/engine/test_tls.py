"""The network between the nodes: messages are readable there without TLS, and not with it."""

import asyncio
import secrets
from pathlib import Path

import pytest

from tests.cluster.image import download
from tests.support.capture import Capture, capture
from tests.support.jobs import MODULES, module
from tests.support.live import PATIENCE, Cluster
from tests.support.submitted import build, own, running_job, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

COPIES = 2000  # of the marker in each message: some of them are whole within a packet


@pytest.fixture(scope="module")
def talker(cluster: Cluster) -> str:
    return build(own(cluster), MODULES / "talker", "tests-tls")


@pytest.fixture
def marker() -> str:
    """Return a random text, which is in no other message and can't be compressed."""
    return f"marker-{secrets.token_hex(24)}-"


def check(found: Capture, tls: bool, messages: int, marker: str) -> None:
    assert found.size > messages * len(marker) * COPIES, "all messages have passed"
    assert found.seen == 0 if tls else found.seen > messages * COPIES * len(marker) // 66_000


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "host"])
async def test_a_runner_outside_the_overlay(
    cluster: Cluster, talker: str, marker: str, tls: bool, overlay: bool
) -> None:
    with capture(marker) as found:
        async with running_job(cluster.leader_url, tls=tls, overlay=overlay) as (runner, job, recorder):
            assert bool(job.address.fingerprint) == tls
            tasks = await runner.start_many(talker, 3)
            await until(lambda: len({event[-1] for event in recorder.events if event[0] == "placed"}) == 3)
            await asyncio.gather(*(task.send(["echo", marker * COPIES]) for task in tasks))
            assert await asyncio.gather(*(task.recv() for task in tasks)) == [marker * COPIES] * 3
            assert runner.rejected_connections == 0
    check(found, tls, 6, marker)


INSIDE = """
import asyncio, json, os
from aioparcs import Runner

async def main():
    async with Runner(tls=bool(os.environ["TLS"])) as runner:
        tasks = await runner.start_many("talker", 2, swarm={"constraints": ["node.role==worker"]})
        text = os.environ["MARKER"][::-1] * int(os.environ["COPIES"])
        for task in tasks:
            await task.send(["echo", text])
        print(json.dumps([await task.recv() == text for task in tasks]), flush=True)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gather what the image of the runner needs."""
    folder = tmp_path_factory.mktemp("wheels")
    download(folder, "cryptography")
    return folder


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_runner_inside_the_overlay(cluster: Cluster, wheels: Path, marker: str, tls: bool, tmp_path: Path) -> None:
    folder = module(tmp_path, "inside", INSIDE) / "inside"
    (folder / "requirements.txt").write_text("cryptography\n")  # who listens makes the certificate; who dials doesn't
    # The runner's environment travels between managers and nodes too: the marker's is not the message's.
    variables = ("-e", f"MARKER={marker[::-1]}", "-e", f"COPIES={COPIES}", "-e", f"TLS={'1' * tls}")
    arguments = ("--modules", str(MODULES), *variables)
    with (
        capture(marker) as found,
        submitted(own(cluster), folder, "tests-tls", *arguments, PARCS_WHEELS=str(wheels)) as job,
    ):
        assert job.line() == [True, True]
        assert job.process.wait(PATIENCE) == 0
    check(found, tls, 4, marker)
