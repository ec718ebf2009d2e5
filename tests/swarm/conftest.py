"""
The fixtures of tests on a real Swarm: the one that the environment names, else one of three nodes on this machine.

Tests that use the fixture ``cluster`` have the marker of that name.
"""

import asyncio
import faulthandler
import os
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioparcs import Runner, Settings
from aioparcs.events import EventBus, program_events
from aioparcs.settings import VERSION
from aioparcs.swarm import SwarmEngine
from tests.cluster import Cluster as OwnCluster
from tests.cluster import ClusterError, down, obstacle, up
from tests.support.command import COMMAND, execute
from tests.support.jobs import MODULES, EventRecorder
from tests.support.live import NAMED, Cluster, left
from tests.support.swarm_jobs import Job
from tests.support.turns import Turns

_TIMEOUT = 400.0  # seconds for a test on the cluster: the first one brings it up, on a new machine from nothing
_NO_SWARM = "no Swarm to test with"


@pytest.hookimpl(tryfirst=True)  # before pytest looks at `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(_TIMEOUT))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around all fixtures, and before pytest-timeout begins to count
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep a test that needs the cluster for itself apart from those of another process."""
    if "cluster" not in getattr(item, "fixturenames", ()):
        return (yield)
    factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]  # as fixtures get it
    with Turns(factory.getbasetemp()).turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the Swarm that the environment names, or one that is up for the time of all tests."""
    if "LEADER_URL" in NAMED and "PARCS_REGISTRY" in NAMED:
        registry = NAMED["PARCS_REGISTRY"]
        base = NAMED.get("PARCS_BASE_IMAGE", f"{registry}/aioparcs/python:{VERSION}")
        own = OwnCluster.here()
        nodes = own.nodes if own and own.leader.url == NAMED["LEADER_URL"] else ()
        yield Cluster(NAMED["LEADER_URL"], registry, base, nodes)
        return
    reason = obstacle()
    if reason:
        pytest.skip(f"{_NO_SWARM}: {reason}")
    # It would end the whole run in the middle: from nothing this may take longer, and has deadlines of its own.
    faulthandler.cancel_dump_traceback_later()
    turns = Turns(tmp_path_factory.getbasetemp())
    used = turns.use()
    try:
        try:
            with turns.users():
                if OwnCluster.here() is None:
                    turns.brought_up.touch()
                own = up(3, lambda step: None)
        except ClusterError as error:
            pytest.skip(f"{_NO_SWARM}: {error}")
        yield Cluster(own.leader.url, own.registry.address, own.image, own.nodes)
    finally:
        with turns.users():
            if turns.brought_up.exists() and turns.is_last(used):
                down()
        os.close(used)


@pytest.fixture
def renewed_node3(cluster: Cluster) -> Iterator[None]:
    """Restart Docker on the third node after a test that cuts it off."""
    yield
    cluster.nodes[2].renew()


@pytest.fixture(scope="session")
def images(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Build the modules of the tests as images, and push them to the registry."""
    modules = ("talker", "probe", "printer", "crunch", "limited", "streams")
    command = [*COMMAND, "build", *modules, "--modules", str(MODULES), "--push"]
    with Turns(tmp_path_factory.getbasetemp()).users():  # another process that has built them leaves nothing to do
        done = execute(command, None, **cluster.environment)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def job(cluster: Cluster, images: None, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return a context manager that enters a runner on the Swarm, and fails if anything of its job is left."""
    monkeypatch.setenv("PARCS_REGISTRY", cluster.registry)

    @asynccontextmanager
    async def enter(
        *, recorder: EventRecorder | None = None, overlay: bool | None = None, **settings: Any
    ) -> AsyncIterator[Runner]:
        token = program_events.set(EventBus(recorder or EventRecorder()))
        try:
            engine = SwarmEngine(cluster.leader_url, overlay=overlay)
            runner = Runner(engine=engine, modules=[MODULES], settings=Settings(**settings))
        finally:
            program_events.reset(token)
        async with runner:
            yield runner
        assert await asyncio.to_thread(left, cluster, runner.job) == []

    return enter
