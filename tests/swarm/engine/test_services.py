"""The Swarm services of one job, without a Swarm: none is lost when a start is cancelled or an answer never comes."""

import asyncio
from typing import Any

import pytest

from aioparcs import ClusterError, StartError
from aioparcs.swarm.engine.services import JobServices


class Leader:
    """A leader that creates services when the test says so."""

    def __init__(self) -> None:
        self.may_create = asyncio.Event()
        self.there: set[str] = set()
        self.stuck: set[str] = set()

    async def create_service(self, spec: Any, headers: Any) -> str:
        await self.may_create.wait()
        self.there.add(spec["Name"])
        return f"id-of-{spec['Name']}"

    async def remove_service(self, name: str) -> None:
        if name in self.stuck:
            raise ClusterError("tcp://leader", f"{name} stays")
        self.there.discard(name.removeprefix("id-of-"))


def services(leader: Leader) -> JobServices:
    return JobServices(leader)  # type: ignore[arg-type]  # as much of a client as is used


def spec(name: str) -> Any:
    return {"Name": name}


async def test_a_cancelled_start_leaves_no_service() -> None:
    leader = Leader()
    there = services(leader)
    starting = asyncio.create_task(there.create(0, spec("a"), {}))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    there.close()
    removing = asyncio.create_task(there.remove_all(lambda name: None))
    await asyncio.sleep(0)
    assert not removing.done(), "the service is being created"
    leader.may_create.set()
    assert await removing == []
    assert not leader.there


async def test_a_closed_job_creates_nothing() -> None:
    leader = Leader()
    there = services(leader)
    there.close()
    with pytest.raises(StartError, match="its runner has ended"):
        await there.create(0, spec("a"), {})
    assert await there.remove_all(lambda name: None) == []


async def test_all_are_removed_though_one_stays() -> None:
    leader = Leader()
    leader.may_create.set()
    there = services(leader)
    for slot, name in enumerate("abc"):
        assert await there.create(slot, spec(name), {}) == f"id-of-{name}"
    assert there[1] == "id-of-b"
    await there.remove(0)
    there.forget(0)
    assert leader.there == {"b", "c"}
    leader.stuck.add("b")
    removed: list[str] = []
    (failure,) = await there.remove_all(removed.append)
    assert "b stays" in str(failure)
    assert removed == ["c"]
    assert leader.there == {"b"}
