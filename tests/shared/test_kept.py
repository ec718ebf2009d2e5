"""Memory that launchers keep for their workers, which map it although the runner is elsewhere, or speaks TLS."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from aioparcs import ConnectionLost, Pool, ProtocolError, Runner, Task, WorkerLost, broadcast, gather
from aioparcs.channel import Channel
from aioparcs.channel.connection import FrameConnection
from aioparcs.channel.connection.loans import mapped_frame
from aioparcs.launcher.agent.keeper import MemoryKeeper
from aioparcs.messages.keeping import LONGEST_PART, Keep, Kept
from aioparcs.pool.supervision.constants import KeptConstants
from aioparcs.runner.launchers import LauncherClient
from aioparcs.runner.launchers.kept_memories import KeptMemories
from aioparcs.shared import KeptMemory, SharedPart, own_probe, place_of
from aioparcs.wire import FrameType
from tests.support.channels import pair, waits
from tests.support.jobs import job
from tests.support.sharing import is_mapped, memory_of
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop]

SIZE = 1 << 18  # numbers of 8 bytes
MIB = 1 << 20


def launcher_bytes(runner: Runner) -> int:
    """Return how many bytes the runner has sent to launchers."""
    clients = runner._job.registry.launchers.values()
    return sum(client.memories._connection.outbox.written for client in clients)


def worker_bytes(runner: Runner) -> int:
    """Return how many bytes the runner has sent to workers that are there."""
    tasks = runner._job.registry.tasks.values()
    return sum(task.channel.connection.outbox.written for task in tasks if task.is_connected)


def kept() -> list[str]:
    """Return the memory that launchers of this process keep: their agents, beside their workers, which have none."""
    return [path for child in psutil.Process().children(recursive=True) for path in memory_of(child.pid)]


async def answers(pool: Pool, size: int, function: str = "where_constant") -> dict[int, list[Any]]:
    """Return what the workers of a pool answer, by their processes."""
    found: dict[int, list[Any]] = {}
    while len(found) < size:
        found |= {answer[-1]: answer for answer in await pool.map(range(20), function=function)}
    return found


@pytest.mark.slow
async def test_constants_reach_a_launcher_once_and_its_workers_share_them() -> None:
    array = np.random.default_rng(1).random(SIZE)
    other = {"nested": [array[::2], {"again": array}], "bytes": bytes(3 * MIB), "small": np.arange(10)}
    size = array.nbytes + array[::2].nbytes + 3 * MIB
    async with job(tls=True) as runner:
        async with runner.pool("arrays", 4, setup={"array": array, "other": other}) as pool:
            found = await answers(pool, 4)
            assert {(total, writeable) for _, total, writeable, _ in found.values()} == {(float(array.sum()), True)}
            assert {place for place, *_ in found.values()} != {0}
            assert len({place for place, *_ in found.values()}) == 1
            assert size < launcher_bytes(runner) < size + MIB
            assert worker_bytes(runner) < MIB
            assert array.flags.writeable
            assert len(kept()) == 1
            (same,) = await pool.map([None], function="constants_are_right")
            assert same

            victim = min(found)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: pool.size < 4)
            await until(lambda: pool.size == 4)
            after = await answers(pool, 4)
            (new,) = after.keys() - found.keys()
            assert after[new][:3] == found[victim][:3]
            assert launcher_bytes(runner) < size + MIB
            assert worker_bytes(runner) < MIB
        await until(lambda: not kept())
        async with runner.pool("arrays", 1, setup={"array": array}) as pool:  # one worker is sent a copy of its own
            assert [place for place, *_ in (await answers(pool, 1)).values()] == [0]


@pytest.mark.slow
async def test_each_launcher_keeps_constants_and_pools_may_start_at_once() -> None:
    arrays = [np.random.default_rng(seed).random(SIZE) for seed in range(2)]
    async with job(tls=True) as runner:
        pools = [
            runner.pool("arrays", 2, setup={"array": array}, env={"NUMBER": str(number // 2)})
            for number, array in enumerate([*arrays, *arrays])
        ]
        async with asyncio.TaskGroup() as group:
            for pool in pools:
                group.create_task(pool.__aenter__())
        try:
            found = [await answers(pool, 2) for pool in pools]
            for array, answer in zip([*arrays, *arrays], found, strict=True):
                assert {total for _, total, *_ in answer.values()} == {float(array.sum())}
            places = [{place for place, *_ in answer.values()} for answer in found]
            assert [len(place) for place in places] == [1] * 4
            assert len(set.union(*places) - {0}) == 4
        finally:
            for pool in pools:
                await pool.__aexit__(None, None, None)
        await until(lambda: not kept())


async def test_what_launchers_keep_that_are_gone_is_forgotten() -> None:
    released: list[int] = []

    async def keep(worker: Any, views: Any) -> KeptMemory:
        return KeptMemory((1, 2, b""), {}, lambda: released.append(worker.launcher))

    def worker(launcher: int) -> Any:
        return SimpleNamespace(launcher=launcher, owner=SimpleNamespace(keep=keep))

    workers = [worker(1), worker(1)]
    constants: Any = KeptConstants({"array": np.ones(SIZE)}, workers)
    assert await constants.by_launcher_of(workers[0])
    assert await constants.by_launcher_of(worker(2)) is None
    workers[:] = [worker(2), worker(2)]
    assert await constants.by_launcher_of(workers[0])
    assert released == [1]
    constants.release()
    assert released == [1, 2]


@pytest.mark.slow
async def test_a_cancelled_start_leaves_nothing_in_the_launcher() -> None:
    async with job(tls=True) as runner, runner.pool("arrays", 2):
        starting = asyncio.ensure_future(runner.pool("arrays", 2, setup={"array": np.ones(1 << 24)}).__aenter__())
        await until(kept)
        starting.cancel()
        await asyncio.wait([starting])
        await until(lambda: not kept())


@pytest.mark.slow
async def test_a_launcher_of_an_earlier_version_is_sent_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def earlier(*args: Any, control: int, **options: Any) -> LauncherClient:
        return LauncherClient(*args, control=FrameType.USAGE, **options)

    monkeypatch.setattr("aioparcs.runner.job.LauncherClient", earlier)
    async with job(tls=True) as runner, runner.pool("arrays", 2, setup={"array": np.ones(SIZE)}) as pool:
        assert {tuple(answer[:2]) for answer in (await answers(pool, 2)).values()} == {(0, SIZE)}


# The messages of a control connection


def held(reports: list[Kept]) -> list[tuple[int, int, bool]]:
    return [(memory, taken, place is not None) for memory, taken, place in reports]


@contextmanager
def keeper() -> Iterator[tuple[MemoryKeeper, list[Kept]]]:
    reports: list[Kept] = []
    keeper = MemoryKeeper(reports.append)
    yield keeper, reports
    keeper.close()
    assert not memory_of()


def test_a_keeper_takes_pieces_and_releases_memory() -> None:
    with keeper() as (one, reports):
        one.handle(Keep(1, 8192, b"a" * 4096))
        one.handle(Keep(2, 5, b"other"))
        one.handle(Keep(1, 8192, b"b" * 4096))
        assert held(reports) == [(1, 4096, True), (2, 5, True), (1, 8192, True)]
        place = reports[-1].place
        assert place
        assert os.pread(place.descriptor, 9000, 0) == b"a" * 4096 + b"b" * 4096
        with pytest.raises(OSError, match="not permitted"):
            os.pwrite(place.descriptor, b"c", 0)
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(place.descriptor, 0)
        one.handle(Keep(1, 0))
        one.handle(Keep(7, 0))
        assert not memory_of()


def test_a_keeper_without_room_says_so_and_one_that_gets_too_much_ends() -> None:
    with keeper() as (one, reports):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            for _ in range(2):
                one.handle(Keep(1, 2, b"a"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert held(reports) == [(1, 0, False)] * 2
        with pytest.raises(ProtocolError, match="more than its 3 bytes"):
            one.handle(Keep(2, 3, b"long"))


async def test_a_runner_sends_few_pieces_ahead_and_gives_up_without_room_or_connection() -> None:
    async with pair("tcp") as (here, there):
        launcher: FrameConnection = there.connection
        memories = KeptMemories(here.connection, own_probe())
        keeping = asyncio.ensure_future(memories.keep([memoryview(bytes(20 * LONGEST_PART))]))
        pieces = [await launcher.recv_frame() for _ in range(8)]
        await waits(keeping)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(launcher.recv_frame(), 0.05)
        number = Keep.decode(pieces[0].body).memory
        memories.handle(Kept(number, LONGEST_PART, None))
        assert await keeping is None
        assert Keep.decode((await launcher.recv_frame()).body) == Keep(number, 0)

        keeping = asyncio.ensure_future(memories.keep([memoryview(bytes(MIB))]))
        assert Keep.decode((await launcher.recv_frame()).body).memory > number
        memories.lose()
        assert await keeping is None


async def places(tasks: list[Task], array: Any) -> set[int]:
    """Broadcast an array; return in which memory the workers have it."""
    await asyncio.gather(*(task.send(["place"]) for task in tasks))
    await broadcast(tasks, {"array": array})
    found = await gather(tasks)
    assert {total for _, total in found} == {float(array.sum())}
    return {place for place, _ in found}


@pytest.mark.slow
async def test_a_broadcast_reaches_a_launcher_once_and_is_released_when_its_workers_have_it() -> None:
    array = np.random.default_rng(1).random(SIZE)
    async with job(tls=True) as runner, runner.start_many("chorus", 4) as tasks:
        found = [await places(tasks, array) for _ in range(2)]
        assert [len(one) for one in found] == [1, 1]
        assert 0 not in found[0] | found[1]
        assert 2 * array.nbytes < launcher_bytes(runner) < 2 * array.nbytes + MIB
        assert worker_bytes(runner) < MIB
        await until(lambda: not kept())


@pytest.mark.slow
async def test_a_broadcast_that_is_cancelled_is_kept_for_the_worker_that_has_not_mapped_it_yet() -> None:
    array = np.random.default_rng(1).random(SIZE)
    async with job(tls=True) as runner, runner.start_many("chorus", 3) as tasks:
        await tasks[0].send(["pid"])
        pid = await tasks[0].recv()
        await places(tasks, array)
        await until(lambda: not kept())
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.gather(*(task.send(["place"]) for task in tasks))
            sending = asyncio.ensure_future(broadcast(tasks, {"array": array}))
            ((place, _), _) = await gather(tasks[1:])
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert kept()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await tasks[0].recv() == [place, float(array.sum())]
        await until(lambda: not kept())


@contextmanager
def stopped(processes: set[psutil.Process]) -> Iterator[None]:
    assert processes
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def test_a_launcher_that_stands_still_keeps_a_broadcast_from_its_own_workers_only() -> None:
    array = np.random.default_rng(1).random(SIZE)
    async with job(tls=True) as runner, runner.start_many("chorus", 2) as quick:
        others = set(psutil.Process().children(recursive=True))
        async with runner.start_many("chorus", 2, env={"NUMBER": "1"}) as slow:  # another environment, another launcher
            await asyncio.gather(*(task.send(["pid"]) for task in slow))
            workers = {psutil.Process(pid) for pid in await gather(slow)}
            with stopped(set(psutil.Process().children(recursive=True)) - others - workers):
                await asyncio.gather(*(task.send(["place"]) for task in (*quick, *slow)))
                sending = asyncio.ensure_future(broadcast([*slow, *quick], {"array": array}))
                found = await gather(quick)
                assert [total for _, total in found] == [float(array.sum())] * 2
                assert len({place for place, _ in found} - {0}) == 1
                await broadcast(quick, ["echo", array])  # waits for none of the others
                assert all(np.array_equal(answer, array) for answer in await gather(quick))
                later = asyncio.ensure_future(broadcast(slow, ["echo", "later"]))
                await waits(later)
                assert not sending.done()
            await asyncio.gather(sending, later)
            assert [total for _, total in await gather(slow)] == [float(array.sum())] * 2
            assert await gather(slow) == ["later"] * 2
        await until(lambda: not kept())


# The reference that a worker gets


@contextmanager
def lent(channel: Channel, array: Any, secret: bytes | None = None) -> Iterator[Any]:
    """Keep an array in this process, as a launcher would, and lend it to the peer of a channel."""
    probe = own_probe()
    assert probe
    with keeper() as (one, reports):
        view = memoryview(array.reshape(-1).view("u1"))
        for begin in range(0, len(view), LONGEST_PART):
            one.handle(Keep(1, len(view), bytes(view[begin : begin + LONGEST_PART])))
        place, where = reports[-1].place, place_of(view)
        assert place
        assert where
        memory = KeptMemory(
            probe._replace(secret=secret or probe.secret), {where: SharedPart(*place, 0, len(view))}, lambda: None
        )
        with channel.connection.outbox.loans.lending(memory):
            yield memory
        del view


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix"])
async def test_what_is_kept_is_mapped_over_any_transport(kind: str) -> None:
    array, other = np.random.default_rng(2).random(SIZE), np.ones(SIZE)
    async with pair(kind) as (here, there):
        loans = here.connection.outbox.loans
        with lent(here, array) as memory:
            assert not await loans.are_possible()
            asking = asyncio.ensure_future(loans.are_possible(memory.keeper))
            assert await asking
            assert not await loans.are_possible()
            sending = asyncio.ensure_future(here.send([array, other, array[1:]]))
            mapped, plain, part = await there.recv()
            await sending
            assert [is_mapped(one) for one in (mapped, plain, part)] == [True, False, False]
            assert np.array_equal(mapped, array)
            assert np.array_equal(part, array[1:])
            mapped += 1
            assert array.flags.writeable
            assert await loans.wait_returned()
        sending = asyncio.ensure_future(here.send(array))
        assert not is_mapped(await there.recv())
        await sending


async def test_a_peer_that_is_gone_is_not_waited_for() -> None:
    async with pair("tcp") as (here, there):
        there.abort()
        with pytest.raises(ConnectionLost):
            await here.recv()
        assert not await here.connection.outbox.loans.are_possible(own_probe())


@pytest.mark.slow
async def test_a_worker_that_dies_while_its_launcher_gets_constants_fails_their_start() -> None:
    async with job(tls=True) as runner, runner.pool("arrays", 1) as pool:
        (bystander,) = await pool.map([None], function="pid")
        starting = asyncio.ensure_future(runner.pool("arrays", 2, setup={"array": np.ones(1 << 24)}).__aenter__())
        await until(kept)
        agent = psutil.Process(int(kept()[0].split("/")[2]))
        server = agent.parent()
        assert server
        workers = [child for child in server.children() if child.pid not in (agent.pid, bystander)]
        workers[0].kill()
        with pytest.raises(WorkerLost):
            await starting
        await until(lambda: not kept())


async def test_who_cannot_open_it_gets_bytes() -> None:
    array = np.random.default_rng(3).random(SIZE)
    async with pair("tcp") as (here, there):
        with lent(here, array, secret=bytes(16)) as memory:
            assert not await here.connection.outbox.loans.are_possible(memory.keeper)
            sending = asyncio.ensure_future(here.send(array))
            received = await there.recv()
            await sending
        assert np.array_equal(received, array)
        assert not is_mapped(received)


@pytest.mark.parametrize(
    "keeper", [(1, 2, b"short"), (1,), (-1, 1, bytes(16)), ("1", 1, bytes(16)), (1 << 62, 1, bytes(16))]
)
async def test_a_question_for_what_is_no_process_is_answered(keeper: Any) -> None:
    async with pair("tcp") as (here, there):
        here.connection.outbox.put(mapped_frame(keeper))
        assert not await here.connection.outbox.loans.are_possible()
        loans = here.connection.outbox.loans
        assert not loans.is_possible
        await here.send("after")
        assert await there.recv() == "after"
