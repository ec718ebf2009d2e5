"""The removal of a job from the Swarm while its leader is restarted, is silent, or refuses."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiodocker import DockerError

from aioparcs import deadlines
from aioparcs.errors import ClusterError
from aioparcs.events import EventBus, Notice
from aioparcs.swarm import SwarmEngine
from aioparcs.swarm.docker.endpoint import find_leader, to_cluster_error
from aioparcs.swarm.engine import engine as engine_module
from tests.support.waiting import PATIENCE


class Away:
    """A leader that can't be reached some times, and then removes what it is to."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.removed: list[str] = []

    leader = find_leader("tcp://leader:4321")

    async def remove_all(self, removed: Any) -> list[ClusterError]:
        self.times -= 1
        if self.times >= 0:
            return [ClusterError("tcp://leader:4321", "can't be reached: Connection refused")]
        self.removed.append("services")
        return []

    async def remove_secret(self, name: str) -> None:
        self.removed.append(name)


class Silent(Away):
    """A leader that takes a request, and never answers."""

    async def remove_secret(self, name: str) -> None:
        await asyncio.Event().wait()


class Refusing(Away):
    """A leader that refuses to remove a service, and counts how often it was to."""

    def __init__(self, status: int) -> None:
        super().__init__(0)
        self.status = status

    async def remove_all(self, removed: Any) -> list[ClusterError]:
        self.times += 1
        try:
            raise to_cluster_error(self.leader, DockerError(self.status, "no")) from DockerError(self.status, "no")
        except ClusterError as error:
            return [error]


def engine_of(leader: Any, events: list[Any]) -> SwarmEngine:
    engine = SwarmEngine("tcp://leader:4321")
    bus = EventBus(events.append)
    engine._job = SimpleNamespace(id="0011aabb", events=bus)  # type: ignore[assignment]  # all that is read
    engine._services = engine._swarm = leader
    engine._created = ["token"]
    return engine


async def test_a_job_that_ends_while_its_leader_is_restarted_leaves_nothing() -> None:
    leader: Any = Away(2)
    events: list[Any] = []
    await engine_of(leader, events)._remove_services()
    assert leader.removed == ["services", "token"]
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert "can't be reached: Connection refused; trying again for 10 s" in notice.text


async def test_a_leader_that_takes_requests_and_never_answers_holds_no_job_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "LEADER_RETURN", 0.2)
    monkeypatch.setattr(engine_module, "_GRACE", 0.1)
    removing = asyncio.ensure_future(engine_of(Silent(0), [])._remove_services())
    await asyncio.wait([removing], timeout=PATIENCE)
    assert removing.done() or not removing.cancel(), "it waits for an answer"
    with pytest.raises(ClusterError, match=r"^Docker at tcp://leader:4321: no answer for 0.3 s$"):
        await removing


@pytest.mark.parametrize("status", [400, 403, 409])
async def test_what_docker_refuses_is_not_tried_again(status: int) -> None:
    leader, events = Refusing(status), list[Any]()
    with pytest.raises(ClusterError, match="no"):
        await engine_of(leader, events)._remove_services()
    assert (leader.times, events) == (1, [])
