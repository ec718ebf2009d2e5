"""The same message to all workers: from one to the next when it is large, and also when some are lost."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import pytest

from aioparcs import DecodeError, EncodeError, RemoteError, Runner, Task, WorkerLost, broadcast, gather
from aioparcs.collectives import broadcasts
from aioparcs.collectives.tree import broadcast_tree
from tests.support.jobs import job, module
from tests.support.transports import enter, kinds
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

MIB = 1 << 20


@asynccontextmanager
async def relaying(kind: str = "tls", **settings: Any) -> AsyncIterator[Runner]:
    """Enter a runner whose broadcasts go from one worker to the next, as if each had a launcher of its own."""
    with patch.object(broadcasts, "_SEVERAL", 1000):
        async with enter(kind, **settings) as runner:
            yield runner


def digest(value: Any) -> list[Any]:
    """Describe a value as the workers do."""
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest(), True]
    if isinstance(value, bytes):
        return ["bytes", len(value), hashlib.sha256(value).hexdigest()]
    return [value]


def array(size: int) -> Any:
    return np.random.default_rng(size).integers(0, 256, size, "u1").view("f4")


async def request_all(tasks: list[Task], *request: Any) -> None:
    await asyncio.gather(*(task.send(list(request)) for task in tasks))


async def each_works(tasks: list[Task]) -> None:
    await request_all(tasks, "echo", "still here")
    assert await gather(tasks) == ["still here"] * len(tasks)


async def pids(tasks: list[Task]) -> list[int]:
    await request_all(tasks, "pid")
    return await gather(tasks)


@contextmanager
def stopped(*pids: int) -> Iterator[Callable[[], None]]:
    """Stop processes, and provide a function that continues them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    def go_on() -> None:
        for pid in pids:
            with suppress(ProcessLookupError):  # the test has killed it
                os.kill(pid, signal.SIGCONT)

    try:
        yield go_on
    finally:
        go_on()


# The tree


def test_each_node_is_entered_once_and_left_once() -> None:
    nodes = [f"node{number % 5}" for number in range(60)]
    parents = broadcast_tree(nodes)
    crossing = [(nodes[parent], nodes[child]) for child, parent in enumerate(parents) if parent >= 0]
    assert [pair for pair in crossing if pair[0] != pair[1]] == [(f"node{i}", f"node{i + 1}") for i in range(4)]
    assert parents.count(-1) == 1
    assert max(map(parents.count, range(60))) <= 5


@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_each_worker_of_a_broadcast_tree_has_a_parent_in_it(count: int) -> None:
    parents = broadcast_tree([""] * count)
    for number in range(count):
        way = [number]
        while parents[way[-1]] >= 0:
            way.append(parents[way[-1]])
        assert len(way) == len(set(way)) <= 6


# Messages


@kinds
@pytest.mark.parametrize("enter", [enter, relaying], ids=["shared", "relayed"])
async def test_a_large_broadcast_is_received_in_its_place_by_all(kind: str, enter: Any) -> None:
    value = array(8 * MIB)
    async with enter(kind) as runner, runner.start_many("chorus", 12) as tasks:
        await request_all(tasks, "recv_many", 4)
        await broadcast(tasks, "before")
        await broadcast(tasks, value)
        await broadcast(tasks, value[:100])
        await request_all(tasks, "behind")
        assert await gather(tasks) == [["before"]] * 12
        assert await gather(tasks) == [digest(value)] * 12
        assert await gather(tasks) == [digest(value[:100])] * 12
        assert await gather(tasks) == [[["behind"]]] * 12
        await each_works(tasks)


VALUES = {
    "bytes": bytes(range(256)) * 10_000,
    "bytearray": bytearray(b"ab" * MIB),
    "array": np.arange(600_000.0).reshape(300, 2000).T,
    "empty arrays and large ones": {"a": np.empty((0, 3)), "b": [np.arange(300_000), np.arange(MIB)], "c": "text"},
    "a large text": "x" * (2 * MIB),
    "small": [1, 2, {"three": 3}],
    "many buffers": [bytes([number]) * 20_000 for number in range(200)],
    "many integers": list(range(20_000)),
}


async def test_a_broadcast_value_arrives_unchanged() -> None:
    async with job() as runner, runner.start_many("chorus", 5) as tasks:
        for name, value in [*VALUES.items()] * 2:
            await request_all(tasks, "recv_many", 1)
            await broadcast(tasks, value)
            want = digest(bytes(value) if isinstance(value, bytearray) else value)
            if isinstance(value, dict):
                want = [{key: value[key] for key in value}]
            for got in await gather(tasks):
                np.testing.assert_equal(got, want, name)


async def test_a_broadcast_array_is_writable_by_its_receiver() -> None:
    async with job() as runner, runner.start_many("chorus", 6) as tasks:
        await request_all(tasks, "recv_many", 1)
        await broadcast(tasks, array(2 * MIB))
        assert all(got[-1] is True for got in await gather(tasks)), "it can be written to"


async def test_a_broadcast_can_be_received_by_recv_into() -> None:
    value = bytes(range(256)) * 8192
    async with job() as runner, runner.start_many("chorus", 6) as tasks:
        await request_all(tasks, "recv_into_buffer", len(value))
        await broadcast(tasks, value)
        assert await gather(tasks) == [digest(value)] * 6
        await broadcast(tasks[:1], ["recv_into_buffer", 5])
        await broadcast(tasks[:1], b"small")
        assert await tasks[0].recv() == digest(b"small")


async def test_no_tasks_and_one_task() -> None:
    await broadcast([], array(2 * MIB))
    async with job() as runner, runner.start("chorus") as task:
        await task.send(["recv_many", 1])
        await broadcast([task], array(2 * MIB))
        assert await task.recv() == digest(array(2 * MIB))


async def test_a_broadcast_that_cannot_be_encoded_or_is_too_large_is_sent_to_no_worker() -> None:
    async with job(max_buffers=3 * MIB) as runner, runner.start_many("chorus", 4) as tasks:
        for value in (object(), [array(2 * MIB)] * 2):
            with pytest.raises(EncodeError):
                await broadcast(tasks, value)
        await each_works(tasks)


async def test_broadcasts_at_once_keep_the_order_in_which_they_began() -> None:
    values = [array((number + 1) * MIB) for number in range(4)]
    async with job() as runner, runner.start_many("chorus", 8) as tasks:
        await request_all(tasks, "recv_many", 4)
        await asyncio.gather(*(broadcast(tasks, value) for value in values))
        for value in values:
            assert await gather(tasks) == [digest(value)] * 8


async def test_a_broadcast_arrives_while_no_worker_receives(tmp_path: Path) -> None:
    async with job() as runner, runner.start_many("chorus", 6) as tasks:
        await request_all(tasks, "wait_for", str(tmp_path / "gate"))
        await request_all(tasks, "recv_many", 1)
        await broadcast(tasks, array(4 * MIB))
        (tmp_path / "gate").touch()
        assert await gather(tasks) == [digest(array(4 * MIB))] * 6


async def test_a_stopped_worker_keeps_a_broadcast_from_no_other() -> None:
    value = array(4 * MIB)
    async with job() as runner, runner.start_many("chorus", 4) as tasks:
        (pid, *_) = await pids(tasks)
        await request_all(tasks, "recv_many", 1)
        with stopped(pid):
            sending = asyncio.ensure_future(broadcast(tasks, value))
            assert await gather(tasks[1:]) == [digest(value)] * 3
            assert not sending.done()
        await sending
        assert await tasks[0].recv() == digest(value)


async def test_each_worker_has_one_copy_of_a_broadcast() -> None:
    value = array(64 * MIB)
    async with relaying() as runner, runner.start_many("chorus", 6) as tasks:
        await request_all(tasks, "peak")
        before = await gather(tasks)
        await request_all(tasks, "recv_one")
        await broadcast(tasks, value)
        await request_all(tasks, "peak")
        after = await gather(tasks)
        # Less than a second copy: TLS keeps what a worker has not passed on yet, a quarter of this value and more.
        assert all(value.nbytes < end - start < 1.7 * value.nbytes for start, end in zip(before, after, strict=True))


async def test_receiving_can_be_cancelled_and_one_alone_receives() -> None:
    async with relaying() as runner, runner.start_many("chorus", 6) as tasks:
        others = [tasks[number] for number in (0, 2, 3, 4, 5)]
        (pid,) = await pids(tasks[:1])
        await request_all(others[1:], "cancel_recv")
        with stopped(pid) as go_on:  # it feeds the others, so they wait
            sending = asyncio.ensure_future(broadcast(tasks, array(4 * MIB)))
            assert await gather(others[1:]) == [False] * 4
            assert await gather(others[1:]) == ["BusyError"] * 4
            go_on()
            await tasks[0].send(["pid"])
            assert await gather(others[1:]) == [digest(array(4 * MIB))] * 4
            await sending


async def test_memory_for_broadcasts_is_bounded_and_goes_to_receivers(tmp_path: Path) -> None:
    value = array(4 * MIB)
    async with relaying(receive_budget=6 * MIB) as runner, runner.start_many("chorus", 5) as tasks:
        await request_all(tasks, "wait_for", str(tmp_path / "gate"))
        await request_all(tasks, "recv_many", 6)
        sending = [asyncio.ensure_future(broadcast(tasks, value)) for _ in range(6)]
        done, waiting = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        assert not (await asyncio.wait(waiting, timeout=0.2))[0], "one fills the memory that there is"
        assert len(done) == 1
        (tmp_path / "gate").touch()
        for _ in range(6):
            assert await gather(tasks) == [digest(value)] * 5
        await asyncio.gather(*sending)
        await each_works(tasks)


async def test_a_broadcast_to_functions_is_an_error() -> None:
    async with relaying() as runner:
        tasks = await runner.start_many("functions", 4)
        with pytest.raises(RemoteError, match="only answers calls"):
            await broadcast(tasks, array(2 * MIB))
        with pytest.raises(RemoteError, match="only answers calls"):
            await tasks[0].recv()


PARENT = """
from operator import add
import numpy
from aioparcs import Service, barrier, broadcast, gather, reduce, scatter, serve
class Parent(Service):
    async def run(self):
        async with self.start_many("child", 7) as tasks:
            value = numpy.random.default_rng(1).integers(0, 1000, 1 << 18)
            await broadcast(tasks, value)
            await scatter(tasks, range(7))
            await barrier(tasks)
            await self.send([await reduce(tasks, add), await gather(tasks) == [int(value.sum())] * 7])
serve(Parent)
"""
CHILD = """
import numpy
from aioparcs import Service, serve
class Child(Service):
    async def run(self):
        value, number = await self.recv(), await self.recv()
        await self.barrier()
        await self.send_all(number, int(value.sum()))
serve(Child)
"""


@pytest.mark.parametrize("tls", [False, True])
async def test_a_service_broadcasts_to_its_own_workers(tls: bool, tmp_path: Path) -> None:
    module(tmp_path, "child", CHILD)
    async with job(module(tmp_path, "parent", PARENT), tls=tls) as runner, runner.start("parent") as task:
        assert await task.recv() == [21, True]


# Losses. Of ten workers on one node the first feeds 1 to 4, the second 5 to 8, the third 9.


async def test_the_children_of_a_lost_worker_still_get_the_broadcast() -> None:
    value = array(4 * MIB)
    async with relaying() as runner:
        tasks = await runner.start_many("chorus", 10)
        lost = (await pids(tasks))[1]
        others = [task for task in tasks if task.rank != 1]
        await request_all(tasks, "recv_many", 1)
        with stopped(lost):
            sending = asyncio.ensure_future(broadcast(tasks, value))
            assert await gather([task for task in tasks if task.rank in (0, 2, 3, 4, 9)][1:]) == [digest(value)] * 4
            os.kill(lost, signal.SIGKILL)
            with pytest.raises(WorkerLost, match="chorus:1"):
                await sending
        assert await gather([task for task in others if task.rank in (0, 5, 6, 7, 8)]) == [digest(value)] * 5
        await each_works(others)


async def test_a_worker_lost_during_a_broadcast_does_not_affect_the_others() -> None:
    value = array(64 * MIB)
    async with relaying() as runner:
        tasks = await runner.start_many("chorus", 10)
        numbers = await pids(tasks)
        others = [task for task in tasks if task.rank != 1]
        await request_all(tasks, "recv_many", 1)
        child = psutil.Process(numbers[5])
        before = child.memory_info().rss
        with stopped(numbers[8]) as go_on:  # so that it can't be over
            sending = asyncio.ensure_future(broadcast(tasks, value))
            await until(lambda: child.memory_info().rss > before + 16 * MIB)
            os.kill(numbers[1], signal.SIGKILL)
            go_on()
            with pytest.raises(WorkerLost, match="chorus:1 was killed by SIGKILL"):
                await sending
        assert await gather(others) == [digest(value)] * 9
        await each_works(others)


@pytest.mark.parametrize("end, error", [("leave", WorkerLost), ("fail", RemoteError)])
async def test_a_broadcast_names_the_worker_that_ends_and_reaches_the_others(end: str, error: type[Exception]) -> None:
    value = array(4 * MIB)
    async with relaying() as runner:
        tasks = await runner.start_many("chorus", 6)
        others = tasks[1:]
        (pid,) = await pids(tasks[:1])
        await request_all(others, "recv_many", 1)
        with stopped(pid) as go_on:
            await tasks[0].send([end])
            sending = asyncio.ensure_future(broadcast(tasks, value))
            go_on()
            try:
                await sending  # it may have had it, and then ended
            except (WorkerLost, RemoteError) as caught:
                assert isinstance(caught, error)  # noqa: PT017  # not raised when the worker was quick
        assert await gather(others) == [digest(value)] * 5
        await each_works(others)


async def test_a_broadcast_that_is_cancelled_leaves_an_error_in_its_place_and_the_rest() -> None:
    value = array(4 * MIB)
    async with relaying() as runner, runner.start_many("chorus", 6) as tasks:
        (pid,) = await pids(tasks[:1])
        await request_all(tasks[1:], "try_recv_many", 2)
        with stopped(pid) as go_on:
            sending = asyncio.ensure_future(broadcast(tasks, value))
            await asyncio.sleep(0.05)  # whether they have been told of it or not, all is well
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await request_all(tasks[1:], "next")
            go_on()
            first, second = await gather(tasks[1:]), await gather(tasks[1:])
        for error, text in first:
            assert error == DecodeError.__name__
            assert "a broadcast message did not arrive" in text
        assert second == [[["next"]]] * 5
        await each_works(tasks[1:])


async def test_workers_in_a_broadcast_end_with_their_runner() -> None:
    async with relaying() as runner:
        tasks = await runner.start_many("chorus", 6)
        (pid,) = await pids(tasks[:1])
        with stopped(pid):
            sending = asyncio.ensure_future(broadcast(tasks, array(4 * MIB)))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    assert all(task.state == "gone" for task in tasks)
