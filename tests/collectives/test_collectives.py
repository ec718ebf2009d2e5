"""One message to all, one of all, and barriers, over the tasks of a real job; also when one of them is lost."""

import asyncio
import random
from operator import add
from pathlib import Path
from typing import Any

import pytest

from aioparcs import ParcsError, RemoteError, Task, WorkerLost, barrier, gather, reduce, scatter
from aioparcs.collectives.barriers import wait_barrier
from tests.support.jobs import job
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


async def request_all(tasks: list[Task], *request: Any) -> None:
    await asyncio.gather(*(task.send(list(request)) for task in tasks))


async def each_works(tasks: list[Task]) -> None:
    """Check that every channel is as it was: nothing that is left over comes first."""
    await scatter(tasks, [["echo", f"still {task.rank}"] for task in tasks])
    assert await gather(tasks) == [f"still {task.rank}" for task in tasks]


# Messages


async def test_scatter_and_gather_keep_the_order_of_tasks() -> None:
    async with job() as runner, runner.start_many("chorus", 20) as tasks:
        await scatter(tasks, [["echo", [i, i * i]] for i in range(20)])
        assert await gather(tasks) == [[i, i * i] for i in range(20)]
        some = [tasks[i] for i in (7, 3, 11)]
        await scatter(some, [["echo", "a"], ["echo", "b"], ["echo", "c"]])
        assert await gather(some) == ["a", "b", "c"]


async def test_scatter_sends_nothing_unless_each_task_has_one_item() -> None:
    async with job() as runner, runner.start_many("chorus", 2) as tasks:
        for items in ([], [1], [1, 2, 3]):
            with pytest.raises(ValueError, match=f"{len(items)} items for 2 tasks"):
                await scatter(tasks, items)
        await each_works(tasks)


async def test_collectives_over_no_tasks_return_at_once() -> None:
    await scatter([], [])
    assert await gather([]) == []
    await barrier([])
    with pytest.raises(ValueError, match="no tasks"):
        await reduce([], add)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
async def test_neighbours_are_combined_in_the_order_of_their_ranks(count: int) -> None:
    def pairs(first: int, count: int) -> str:
        if count == 1:
            return str(first)
        left = max(power for power in (1, 2, 4, 8) if power < count)
        return f"({pairs(first, left)}+{pairs(first + left, count - left)})"

    async with job() as runner, runner.start_many("chorus", count) as tasks:
        for _ in range(3):
            for task in random.sample(tasks, count):
                await task.send(["echo", str(task.rank)])
            assert await reduce(tasks, lambda left, right: f"({left}+{right})") == pairs(0, count)


async def test_gather_names_the_lost_worker_and_the_others_go_on() -> None:
    async with job() as runner:
        tasks = await runner.start_many("chorus", 5)
        await tasks[3].send(["die"])
        with pytest.raises(WorkerLost, match="chorus:3"):
            await tasks[3].recv()
        others = [task for task in tasks if task.rank != 3]
        with pytest.raises(WorkerLost, match="chorus:3"):
            await scatter(tasks, [["echo", task.rank] for task in tasks])
        answers = await gather(tasks, return_exceptions=True)
        assert isinstance(answers.pop(3), WorkerLost)
        assert answers == [0, 1, 2, 4]
        for lost in (gather(tasks), reduce(tasks, add)):
            with pytest.raises(WorkerLost, match="chorus:3"):
                await lost
        await each_works(others)


async def test_an_error_of_the_reduce_function_is_raised() -> None:
    async with job() as runner, runner.start_many("chorus", 4) as tasks:
        await scatter(tasks, [["echo", value] for value in (1, 2, "three", 4)])
        await until(lambda: all(task.is_ready for task in tasks))  # else some would stay in line
        with pytest.raises(TypeError):
            await reduce(tasks, add)
        await each_works(tasks)


async def test_a_cancelled_gather_leaves_later_messages() -> None:
    async with job() as runner, runner.start_many("chorus", 4) as tasks:
        for wait in (gather(tasks), reduce(tasks, add)):
            waiting = asyncio.ensure_future(wait)
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await each_works(tasks)


# Barriers


async def test_no_worker_passes_a_barrier_before_all_have_reached_it(tmp_path: Path) -> None:
    count, times, path = 12, 20, tmp_path / "log"
    async with job() as runner, runner.start_many("chorus", count) as tasks:
        await request_all(tasks, "wait_at_barriers", times, str(path))
        for _ in range(times):
            await barrier(tasks)
        assert await gather(tasks) == ["met"] * count
    lines = path.read_text().splitlines()
    assert len(lines) == 2 * count * times
    for number in range(times):
        before, after = (number * 2 * count, (number + 1) * 2 * count)
        first = lines.index(f"{number} went")
        assert lines[:first].count(f"{number} came") == count
        assert f"{number + 1} came" not in lines[before : first + 1]
        assert lines[:after].count(f"{number} came") == count


async def test_a_worker_that_reaches_the_barrier_first_waits_for_the_runner() -> None:
    async with job() as runner, runner.start_many("chorus", 3) as tasks:
        await request_all(tasks, "wait_at_barriers", 1)
        await asyncio.gather(*(wait_barrier(task) for task in tasks))
        assert not any(task.is_ready for task in tasks)
        await barrier(tasks)
        assert await gather(tasks) == ["met"] * 3


async def test_a_cancelled_barrier_releases_no_worker_and_can_be_repeated() -> None:
    async with job() as runner, runner.start_many("chorus", 3) as tasks:
        await request_all(tasks[:2], "wait_at_barriers", 2)
        waiting = asyncio.ensure_future(barrier(tasks))
        await wait_barrier(tasks[0])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await request_all(tasks[2:], "wait_at_barriers", 2)
        await barrier(tasks)
        await barrier(tasks)
        assert await gather(tasks) == ["met"] * 3


ENDS = {
    "die": (WorkerLost, "was killed by SIGKILL"),
    "leave": (WorkerLost, "ended before it reached the barrier"),
    "fail": (RemoteError, "out of tune"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_lost_worker_breaks_the_barrier_for_all(end: str, tmp_path: Path) -> None:
    kind, reason = ENDS[end]
    gate = tmp_path / "gate"
    async with job() as runner:
        tasks = await runner.start_many("chorus", 5)
        early, victim, late = tasks[:2], tasks[2], tasks[3:]
        await request_all(early, "wait_at_barriers", 1)
        await request_all(late, "wait_for", str(gate))
        await request_all(late, "wait_at_barriers", 1)
        await asyncio.gather(*(wait_barrier(task) for task in early))
        await victim.send([end])
        with pytest.raises(kind, match=reason):
            await barrier(tasks)
        gate.touch()
        for error, text in await gather([*early, *late]):
            assert "Error" in error
            assert reason in text
        others = [*early, *late]
        await request_all(others, "wait_at_barriers", 3)
        for _ in range(3):
            await barrier(others)
        assert await gather(others) == ["met"] * 4


async def test_a_barrier_waits_for_nothing_that_is_unread_on_either_side() -> None:
    async with job(send_queue=64 << 10, receive_queue=64 << 10, receive_budget=1 << 20) as runner:
        tasks = await runner.start_many("chorus", 2)
        await request_all(tasks, "send_many", 30, 100_000)  # not received before the barrier
        await request_all(tasks, "send_many", 2, 3 << 20)
        await request_all(tasks, "wait_at_barriers", 1)
        sending = [asyncio.ensure_future(task.send(["echo", bytes(2 << 20)])) for task in tasks for _ in range(3)]
        await barrier(tasks)
        await asyncio.gather(*sending)
        for task in tasks:
            assert [len(await task.recv()) for _ in range(32)] == [100_000] * 30 + [3 << 20] * 2
            assert await task.recv() == "met"
            assert [len(await task.recv()) for _ in range(3)] == [2 << 20] * 3
        await each_works(tasks)


async def test_workers_at_a_barrier_end_with_their_runner() -> None:
    async with job() as runner:
        tasks = await runner.start_many("chorus", 3)
        await request_all(tasks, "wait_at_barriers", 1)
        await asyncio.gather(*(wait_barrier(task) for task in tasks))
    assert all(task.state == "gone" for task in tasks)


async def test_two_lost_workers_break_a_barrier_once() -> None:
    async with job() as runner:
        tasks = await runner.start_many("chorus", 4)
        await request_all(tasks[:2], "die")
        await until(lambda: all(task.state == "gone" for task in tasks[:2]))
        with pytest.raises(ParcsError):
            await barrier(tasks)
        await request_all(tasks[2:], "wait_at_barriers", 1)
        assert all("was killed" in text for _, text in await gather(tasks[2:]))
