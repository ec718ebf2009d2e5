"""Large arrays on a real Swarm: constants and broadcasts reach each container once, and its workers share them."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import Task, broadcast, gather
from aioparcs.pool import Pool
from tests.cluster.image import download
from tests.support.jobs import MODULES
from tests.support.live import Cluster
from tests.support.submitted import build, containers, own, running_job

pytestmark = pytest.mark.one_loop

MIB = 1 << 20
SIZE = 64 * MIB


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    download(folder, "numpy")
    return folder


@pytest.fixture(scope="module")
def arrays(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> str:
    return image(cluster, "arrays", tmp_path_factory.mktemp("arrays"), wheels)


@pytest.fixture(scope="module")
def chorus(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> str:
    return image(cluster, "chorus", tmp_path_factory.mktemp("chorus"), wheels)


def image(cluster: Cluster, module: str, folder: Path, wheels: Path) -> str:
    """Build a module with NumPy in a folder; return its reference."""
    shutil.copy(MODULES / module / "main.py", folder)
    (folder / "requirements.txt").write_text("numpy\n")
    return build(own(cluster), folder, f"tests-{module}-numpy", PARCS_WHEELS=str(wheels))


async def shares(pool: Pool, size: int) -> dict[tuple[str, int], list[Any]]:
    """Return what all workers of the pool answer, by their containers and ids."""
    found: dict[tuple[str, int], list[Any]] = {}
    while len(found) < size:
        for host, pid, *rest in await pool.map(range(60), function="share"):
            found[host, pid] = rest
    return found


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_large_array_reaches_each_container_once(cluster: Cluster, arrays: str, tls: bool) -> None:
    array = np.arange(float(SIZE // 8))
    async with (
        running_job(cluster.leader_url, tls=tls) as (runner, _, _),
        runner.pool(arrays, 6, setup={"array": array}, retries=1) as pool,
    ):
        before = await shares(pool, 6)
        assert len({host for host, _ in before}) == 3
        assert all(is_right for is_right, *_ in before.values())
        for host in {host for host, _ in before}:
            one, other = (rest for (place, _), rest in before.items() if place == host)
            (_, number, share, arrived), (_, same, other_share, _) = one, other
            assert number == same != 0
            assert share + other_share <= SIZE + MIB, "what two processes have mapped counts for half in each"
            assert SIZE < arrived < SIZE + 8 * MIB

        victim = min(before)
        container = next(one for one in containers(cluster, runner.job) if one.id.startswith(victim[0]))
        container.run("python", "-c", f"import os; os.kill({victim[1]}, 9)")
        after = await shares(pool, 6)  # with the one in its place, which may be there at once
        (new,) = after.keys() - before.keys()
        assert new[0] == victim[0]
        is_right, number, _, arrived = after[new]
        assert (is_right, number) == (True, before[victim][1])
        assert arrived - before[victim][3] < 8 * MIB, "it was there"


async def arrived(tasks: list[Task]) -> dict[str, int]:
    """Return how many bytes have come to each container over the network."""
    await asyncio.gather(*(task.send(["arrived"]) for task in tasks))
    return dict(await gather(tasks))


async def test_a_broadcast_reaches_each_container_once(cluster: Cluster, chorus: str) -> None:
    array = np.arange(float(SIZE // 8))
    async with running_job(cluster.leader_url) as (runner, _, _):
        tasks = await runner.start_many(chorus, 6, per_container=2)
        before = await arrived(tasks)
        assert len(before) == 3
        await asyncio.gather(*(task.send(["place"]) for task in tasks))
        await broadcast(tasks, {"array": array})
        found = await gather(tasks)
        after = await arrived(tasks)
    assert {total for _, total in found} == {float(array.sum())}
    for launcher in {task.launcher for task in tasks}:
        one, other = (place for task, (place, _) in zip(tasks, found, strict=True) if task.launcher == launcher)
        assert one == other != 0
    assert all(SIZE < after[host] - before[host] < SIZE + 8 * MIB for host in before)
