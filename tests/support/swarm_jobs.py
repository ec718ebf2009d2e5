"""Jobs on a real Swarm, in tests that use the fixture ``job``: their pools, containers and Swarm services."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aioparcs import Pool, Runner
from tests.support.live import Cluster
from tests.support.submitted import Container, containers
from tests.support.waiting import until as until_true

__all__ = ["PATIENCE", "SHARED", "Job", "holding", "kill", "marks", "mounts", "running", "services", "until"]

Job = Callable[..., Any]
"""The type of the fixture ``job``."""

PATIENCE = 60.0  # seconds: Docker takes some to start a container, and to end one
SHARED = "/shared"  # where containers have the folder of a test


async def until(condition: Callable[[], Any]) -> None:
    await until_true(condition, PATIENCE, pause=0.05)  # most of them ask Docker


async def running(cluster: Cluster, runner: Runner) -> list[Container]:
    return await asyncio.to_thread(containers, cluster, runner.job)


async def services(cluster: Cluster, runner: Runner) -> list[str]:
    """Name the job's Swarm services."""
    mark = ("--filter", f"label=io.aioparcs.job={runner.job}")
    return (await asyncio.to_thread(cluster.docker, "service", "ls", "--format", "{{.Name}}", *mark)).split()


async def kill(container: Container) -> None:
    await asyncio.to_thread(container.cluster.docker, "kill", container.id, node=container.node)


def mounts(folder: Path) -> dict[str, list[str]]:
    """Return what mounts a folder in containers, for ``swarm=``."""
    return {"mounts": [f"{folder}:{SHARED}"]}


@asynccontextmanager
async def holding(runner: Runner, folder: Path, size: int | tuple[int, int], **options: Any) -> AsyncIterator[Pool]:
    """Enter a pool whose functions see the folder."""
    pool = runner.pool("crunch", size, function="hold", swarm=mounts(folder), **options)
    async with asyncio.timeout(PATIENCE), pool:
        yield pool


def marks(folder: Path) -> dict[str, int]:
    """Return how often each call has begun."""
    return {path.name: len(path.read_text()) for path in folder.iterdir() if path.name != "go"}
