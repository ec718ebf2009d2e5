"""Jobs on a real Swarm: the images that they run, and a runner that leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioparcs import Runner, Settings
from aioparcs.engine import observer
from aioparcs.swarm import SwarmEngine
from tests.command import COMMAND, execute
from tests.jobs import MODULES, Witness
from tests.live import Cluster, left

__all__ = ["Job", "images", "job"]

Job = Callable[..., Any]


@pytest.fixture(scope="module")
def images(cluster: Cluster) -> None:
    """Have the modules of the tests as images in the registry."""
    modules = ("talker", "probe", "printer", "crunch")
    command = [*COMMAND, "build", *modules, "--modules", str(MODULES), "--push"]
    done = execute(command, None, **cluster.environment)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def job(cluster: Cluster, images: None, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Enter a runner on the Swarm; when it is left, nothing of its job is."""
    monkeypatch.setenv("PARCS_REGISTRY", cluster.registry)

    @asynccontextmanager
    async def enter(
        *, witness: Witness | None = None, overlay: bool | None = None, **settings: Any
    ) -> AsyncIterator[Runner]:
        token = observer.set(witness or Witness())
        try:
            engine = SwarmEngine(cluster.leader_url, overlay=overlay)
            runner = Runner(engine=engine, modules=[MODULES], settings=Settings(**settings))
        finally:
            observer.reset(token)
        async with runner:
            yield runner
        assert await asyncio.to_thread(left, cluster, runner.job) == []

    return enter
