"""The removal of a job from the Swarm while its leader is restarted."""

from types import SimpleNamespace
from typing import Any

from aioparcs.errors import ClusterError
from aioparcs.events import EventBus, Notice
from aioparcs.swarm import SwarmEngine


class Away:
    """A leader that can't be reached some times, and then removes what it is to."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.removed: list[str] = []

    async def remove_all(self) -> list[ClusterError]:
        self.times -= 1
        if self.times >= 0:
            return [ClusterError("tcp://leader:4321", "can't be reached: Connection refused")]
        self.removed.append("services")
        return []

    async def remove_secret(self, name: str) -> None:
        self.removed.append(name)


async def test_a_job_that_ends_while_its_leader_is_restarted_leaves_nothing() -> None:
    leader: Any = Away(2)
    events: list[Any] = []
    bus = EventBus(events.append)
    engine = SwarmEngine("tcp://leader:4321")
    engine._job = SimpleNamespace(id="0011aabb", events=bus)  # type: ignore[assignment]  # all that is read
    engine._services = engine._swarm = leader
    engine._created = ["token"]
    await engine._remove_services()
    assert leader.removed == ["services", "token"]
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert "can't be reached: Connection refused; trying again for 10 s" in notice.text
