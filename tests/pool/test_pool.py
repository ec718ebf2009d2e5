"""Pools on this machine: what they return, in which order, and what happens when something goes wrong."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs import BusyError, EncodeError, RemoteError, Runner, SettingError, StartError, WorkerLost
from aioparcs.engine import LauncherState, WorkerGroup
from aioparcs.events import PoolState
from aioparcs.local import LocalEngine
from aioparcs.pool import Pool
from aioparcs.task import WorkerHandle
from tests.support.jobs import MODULES, EventRecorder, children, family, job, live, module
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


class Counting:
    """Integers, and how many of them were taken."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        while self.taken < self.end:
            self.taken += 1
            yield self.taken - 1


async def counting(end: int) -> AsyncIterator[int]:
    for i in range(end):
        await asyncio.sleep(0)
        yield i


def _marks(folder: Path) -> dict[str, int]:
    """Return how often each call has left a mark."""
    return {path.name: len(path.read_text()) for path in folder.iterdir() if path.name != "go"}


def _tasks(pool: Pool) -> set[WorkerHandle]:
    return {worker.task for worker in pool._dispatcher.workers.up.values()}


# What they return


async def test_map_gives_all_results_in_order(runner: Runner) -> None:
    async with runner.pool("crunch", 3) as pool:
        assert await pool.map(range(1000)) == [i * i for i in range(1000)]
        assert await pool.map(counting(100)) == [i * i for i in range(100)]
        assert await pool.map([]) == []
        assert await pool.map(iter([7])) == [49]


async def test_misuse_in_the_style_of_multiprocessing_is_explained(runner: Runner) -> None:
    pool: Any = runner.pool("crunch", 1)
    with pytest.raises(TypeError, match=r"async with runner.pool\(\.\.\.\) as pool"), pool:
        raise AssertionError("entered")
    async with pool:
        results: Any = pool.imap(range(3))
        with pytest.raises(TypeError, match="async for result in"):
            list(results)
        assert [result async for result in results] == [0, 1, 4]
    starting: Any = runner.start("crunch")
    with pytest.raises(AttributeError, match=r"a worker that is starting has no 'send': t = await runner.start"):
        starting.send(1)


async def test_starmap_spreads_the_items(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="add") as pool:
        assert await pool.starmap((i, 1) for i in range(50)) == list(range(1, 51))
        assert await pool.starmap([[1, 2]]) == [3]


async def test_imap_is_in_order_and_imap_unordered_as_they_come(runner: Runner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("crunch", 2) as pool:
        assert [r async for r in pool.imap(range(300))] == [i * i for i in range(300)]
        unordered = [r async for r in pool.imap_unordered(counting(300))]
        assert sorted(unordered) == [i * i for i in range(300)]

        slow_and_quick = pool.imap_unordered([str(go), str(tmp_path)], function="wait_for")
        assert await anext(slow_and_quick) == str(tmp_path)  # the second: that path exists
        go.touch()
        assert [r async for r in slow_and_quick] == [str(go)]


async def test_submit_gives_a_future(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        futures = [pool.submit(i) for i in range(20)]
        assert await asyncio.gather(*futures) == [i * i for i in range(20)]
        assert await pool.submit(1, b=2, function="add") == 3


async def test_several_maps_share_the_workers(runner: Runner) -> None:
    async with runner.pool("crunch", 3) as pool:
        both = await asyncio.gather(pool.map(range(500)), pool.map(range(500), function="scale"), pool.submit(9))
    assert both == [[i * i for i in range(500)], list(range(500)), 81]


@pytest.mark.slow
async def test_the_work_is_spread_over_all_workers(runner: Runner) -> None:
    async with runner.pool("crunch", 4) as pool:
        assert pool.size == 4
        assert len(set(await pool.map(range(2000), function="pid"))) == 4
        assert len(set(await pool.map([0.01] * 4, function="count_concurrent"))) == 1


async def test_setup_is_called_once_in_each_worker_before_all_else(runner: Runner) -> None:
    async with runner.pool("crunch", 3, function="scale", setup={"factor": 7}) as pool:
        assert await pool.map(range(200)) == [7 * i for i in range(200)]


async def test_a_setup_that_fails_keeps_the_block_from_being_entered(runner: Runner) -> None:
    with pytest.raises(ValueError, match="-1 is negative") as caught:
        async with runner.pool("crunch", 3, setup={"factor": -1}):
            raise AssertionError("entered")
    assert any("setup()" in note for note in caught.value.__notes__)


async def test_a_function_that_is_not_served_keeps_the_block_from_being_entered(runner: Runner) -> None:
    with pytest.raises(
        LookupError, match=r"no function 'sqare' is served here; did you mean 'square'\? There are: square, "
    ) as caught:
        async with runner.pool("crunch", 3, function="sqare", setup={"factor": -1}):
            raise AssertionError("entered")
    assert not hasattr(caught.value, "__notes__") or not any("setup()" in note for note in caught.value.__notes__)


async def test_coroutine_functions_run_at_once_as_often_as_they_may(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="count_concurrent", concurrency=10) as pool:
        assert max(await pool.map([0.05] * 40)) == 10
    async with runner.pool("crunch", 2, function="count_concurrent") as pool:
        assert max(await pool.map([0.01] * 20)) == 1


# Laziness


@pytest.mark.slow
async def test_a_huge_generator_holds_only_what_is_in_flight(runner: Runner) -> None:
    numbers = Counting(10_000_000)
    async with runner.pool("crunch", 2) as pool:
        results = pool.imap(numbers)
        for i in range(2000):
            assert await anext(results) == i * i
        assert numbers.taken <= 2000 + 2 * 256


async def test_results_that_are_not_consumed_stop_the_calls(runner: Runner) -> None:
    numbers = Counting(100_000)
    async with runner.pool("crunch", 2) as pool:
        results = pool.imap_unordered(numbers)
        await anext(results)
        for _ in range(5):
            await pool.map(range(300))  # others go on
        assert numbers.taken <= 1 + 2 * 256


async def test_an_async_source_that_waits_for_a_result_gets_it(runner: Runner) -> None:
    result_received = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 3
        await result_received.wait()  # the pool must not wait for more items before it gives the first result
        yield 4

    async with runner.pool("crunch", 2) as pool:
        results = pool.imap(source())
        assert await anext(results) == 9
        result_received.set()
        assert [r async for r in results] == [16]


async def test_a_failing_source_ends_the_iteration_after_its_results(runner: Runner) -> None:
    def broken() -> Iterator[int]:
        yield from range(3)
        raise KeyError("the source")

    async with runner.pool("crunch", 2) as pool:
        results = pool.imap(broken())
        assert [await anext(results) for _ in range(3)] == [0, 1, 4]
        with pytest.raises(KeyError, match="the source"):
            await anext(results)
        with pytest.raises(KeyError, match="the source"):
            await pool.map(broken())
        assert await pool.map([5]) == [25]


# Failures


async def test_an_exception_is_raised_at_its_item_and_the_iteration_goes_on(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="refuse_odd") as pool:
        results = pool.imap(range(4))
        assert await anext(results) == 0
        with pytest.raises(ValueError, match="1 is odd") as caught:
            await anext(results)
        assert isinstance(caught.value, RemoteError)
        assert "refuse_odd" in caught.value.traceback
        assert caught.value.worker.startswith("crunch:")
        assert caught.value.__notes__[-1] == "item 1: (1)"
        assert await anext(results) == 2
        with pytest.raises(ValueError, match="3 is odd"):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)


async def test_map_raises_the_first_failure_or_gives_them_all(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", 2) as pool:
        with pytest.raises(ValueError, match="1 is odd"):
            await pool.map([0, 1, 2], function="refuse_odd")
        results = await pool.map(range(4), function="refuse_odd", return_exceptions=True)
        assert (results[0], results[2]) == (0, 2)
        assert [str(results[i].message) for i in (1, 3)] == ["1 is odd", "3 is odd"]
        assert isinstance(results[3], ValueError)
        unordered = [r async for r in pool.imap_unordered(range(4), function="refuse_odd", return_exceptions=True)]
        assert sum(isinstance(r, ValueError) for r in unordered) == 2
        with pytest.raises(LookupError, match="no function 'nope'"):
            await pool.map([1], function="nope")
        with pytest.raises(ValueError, match="1 is odd"):
            await pool.submit(1, function="refuse_odd")


async def test_an_item_that_cannot_be_encoded_fails_alone(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        results = await pool.map([1, object(), 3], return_exceptions=True)
        assert (results[0], results[2]) == (1, 9)
        assert isinstance(results[1], EncodeError)


async def test_a_worker_killed_by_an_item_fails_that_item_only(runner: Runner) -> None:
    async with runner.pool("crunch", 3, function="die_at") as pool:
        results = await pool.starmap([(i, 13) for i in range(200)], return_exceptions=True)
        lost = results[13]
        assert isinstance(lost, WorkerLost)
        assert lost.call == "item 13: (13, 13)"
        assert lost.signal == signal.SIGKILL
        assert "was killed by SIGKILL, at item 13: (13, 13); its last lines:\n    13 is my end" in str(lost)
        assert results[:13] + results[14:] == [i for i in range(200) if i != 13]
        await until(lambda: pool.size == 3)
        assert await pool.starmap([(i, -1) for i in range(50)]) == list(range(50))


@pytest.mark.slow
async def test_each_item_that_kills_its_worker_fails_alone(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="leave") as pool:
        results = await pool.map([-1 if i % 10 == 5 else i for i in range(100)], return_exceptions=True)
    assert [isinstance(r, WorkerLost) for r in results] == [i % 10 == 5 for i in range(100)]
    assert "ended with exit code 0" in str(results[5])


@pytest.mark.slow
async def test_no_call_runs_twice_without_retries(runner: Runner, tmp_path: Path) -> None:
    def calls() -> Iterator[tuple[str, str]]:
        for i in range(300):
            yield str(tmp_path), str(i)

    async with runner.pool("crunch", 3, function="note") as pool:
        pids = await pool.map(range(300), function="pid")
        results = pool.imap(map(list, ()), function="pid")  # a source without items
        assert [r async for r in results] == []
        running = asyncio.ensure_future(pool.starmap(calls(), return_exceptions=True))
        for pid in set(pids):
            await until(lambda: len(os.listdir(tmp_path)) > 20)
            os.kill(pid, signal.SIGKILL)
        outcome = await running
    marks = _marks(tmp_path)
    assert max(marks.values()) == 1
    lost = [i for i, r in enumerate(outcome) if isinstance(r, WorkerLost)]
    assert len(lost) <= 3
    assert {str(i) for i in range(300)} - set(map(str, lost)) <= set(marks)


@pytest.mark.slow
async def test_retries_make_the_call_again(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", 2, function="note_and_die_once", retries=1) as pool:
        names = [str(i) for i in range(10)]
        assert await pool.starmap([(str(tmp_path), name) for name in names]) == names
        assert set(_marks(tmp_path).values()) == {2}


@pytest.mark.slow
async def test_an_item_that_always_kills_its_worker_fails_after_its_retries(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="die_at", retries=12) as pool:
        results = await pool.starmap([(i, 3) for i in range(8)], return_exceptions=True)
        assert isinstance(results.pop(3), WorkerLost)
        assert results == [0, 1, 2, 4, 5, 6, 7]
        assert await pool.submit(1, 0) == 1


async def test_a_worker_that_dies_with_nothing_to_do_is_replaced(runner: Runner) -> None:
    async with runner.pool("crunch", 2, setup={"factor": 5}, function="scale") as pool:
        pids = set(await pool.map(range(200), function="pid"))
        before = _tasks(pool)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.size == 2 and not before & _tasks(pool))
        assert await pool.map(range(10)) == [5 * i for i in range(10)]
        assert not pids & set(await pool.map(range(200), function="pid"))


@pytest.mark.slow
async def test_a_pool_without_a_launcher_gets_another_one(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        before = _tasks(pool)
        for process in family():
            if process.is_running():
                process.kill()
        await until(lambda: pool.size == 2 and not before & _tasks(pool))
        assert await pool.map(range(100)) == [i * i for i in range(100)]


BREAKS_LATER = """
import os, pathlib
from aioparcs import serve

if (pathlib.Path(__file__).parent / "broken").exists():
    raise SystemExit("no more")

def leave(x):
    os._exit(1)

serve(leave)
"""


@pytest.mark.slow
async def test_a_pool_that_can_start_no_worker_fails_all_calls(tmp_path: Path) -> None:
    folder = module(tmp_path, "breaks", BREAKS_LATER)
    recorder = EventRecorder()
    async with job(folder, recorder=recorder) as runner, runner.pool("breaks", 1, retries=1000) as pool:
        (launcher,) = children()
        (folder / "breaks" / "broken").touch()
        launcher.kill()
        waiting = [asyncio.ensure_future(pool.map(range(10))), pool.submit(1), pool.submit(2)]
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        for _ in range(2):
            with pytest.raises(StartError, match="breaks did not start") as caught:
                await pool.submit(1)
            errors.append(caught.value)
        assert {str(error) for error in errors} == {str(errors[0])}
        assert len({id(error) for error in errors}) == 5, "each caller has an error of its own"
    assert any("the pool has failed: breaks did not start" in note for note in recorder.notes)


async def test_a_pool_whose_module_does_not_start_is_not_entered(runner: Runner) -> None:
    with pytest.raises(StartError, match="nothing_there"):
        async with runner.pool("nothing_there", 2):
            raise AssertionError("entered")


# Slow items


@pytest.mark.slow
async def test_a_slow_item_does_not_block_those_queued_behind_it(runner: Runner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("crunch", 2) as pool:
        await pool.map(range(2000))  # both have long queues in front of them now
        slow = pool.submit(str(go), function="wait_for")
        assert await pool.map(range(500)) == [i * i for i in range(500)]
        assert not slow.done()
        go.touch()
        assert await slow == str(go)


async def test_slow_workers_prefetch_no_calls(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", 3, function="hold") as pool:
        holding = asyncio.ensure_future(pool.starmap((str(tmp_path), str(i)) for i in range(20)))
        await until(lambda: len(_marks(tmp_path)) == pool._scheduler.status.running == 3)
        (tmp_path / "go").touch()
        assert await holding == [str(i) for i in range(20)]


@pytest.mark.slow
async def test_items_that_come_one_by_one_each_get_a_worker_of_their_own(runner: Runner, tmp_path: Path) -> None:
    go, begun = tmp_path / "go", tmp_path / "begun"
    begun.mkdir()

    async def paths() -> AsyncIterator[tuple[str, str]]:
        for i in range(6):
            yield str(begun / str(i)), str(go)
        await until(go.exists)

    async with runner.pool("crunch", 6, function="mark_and_wait_for") as pool:
        calls = asyncio.ensure_future(pool.starmap(paths()))
        await until(lambda: len(os.listdir(begun)) == 6)
        go.touch()
        assert await calls == [str(go)] * 6


@pytest.mark.slow
async def test_items_queued_behind_a_slow_one_are_given_to_others_while_the_source_lasts(
    runner: Runner, tmp_path: Path
) -> None:
    go = tmp_path / "go"

    def calls() -> Iterator[Any]:
        for i in range(3000):
            yield (str(go), str(tmp_path))[i != 1000]

    async with runner.pool("crunch", 2, function="wait_for") as pool:
        done = 0
        async for _ in pool.imap_unordered(calls()):
            done += 1
            if done == 2999:
                go.touch()
    assert done == 3000


# Ends


async def test_leaving_the_block_kills_running_calls_and_cancels_queued_ones(runner: Runner, tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    async with runner.pool("crunch", 2, function="wait_for") as pool:
        before = family()
        running = [pool.submit(never) for _ in range(5)]
        waiting = asyncio.ensure_future(pool.map([never] * 3))
        await until(lambda: pool._scheduler.status.running >= 2 and pool._scheduler._rotations.usual.clients)
    assert all(future.cancelled() for future in running)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RuntimeError, match="inside the pool's block"):
        pool.submit(never)
    assert pool.size == 0
    assert len(live(before)) == 2  # the launcher and its agent, which live as long as the job


async def test_results_that_were_not_taken_are_gone_with_the_block(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", 2) as pool:
        taken, some, all_there = pool.imap([1, 2]), pool.imap(range(10_000)), pool.imap_unordered([3])
        assert [await anext(taken), await anext(taken), await anext(some)] == [1, 4, 0]
        waiting = asyncio.ensure_future(anext(pool.imap([str(tmp_path / "never")], function="wait_for")))
        await until(lambda: pool._scheduler.status.running == 1)
    assert [result async for result in taken] == []
    assert [result async for result in all_there] == [9]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the pool's block was left"):
            await anext(some)
    with pytest.raises(RuntimeError, match="the pool's block was left"):
        await waiting


async def test_the_first_finder_wins(runner: Runner, tmp_path: Path) -> None:
    paths = [str(tmp_path / "never")] * 5 + [str(tmp_path)]
    async with runner.pool("crunch", 6, function="wait_for") as pool:
        async for found in pool.imap_unordered(paths):
            assert found == str(tmp_path)
            break


async def test_cancelling_a_future_revokes_its_call(runner: Runner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("crunch", 1) as pool:
        slow = pool.submit(str(go), function="wait_for")
        unwanted = [pool.submit(str(tmp_path), f"unwanted{i}", function="note") for i in range(5)]
        for future in unwanted:
            future.cancel()
        await until(lambda: pool._scheduler.status.running == 1)  # the worker has given back what it had of them
        go.touch()
        assert await slow == str(go)
        assert await pool.submit(3) == 9
    assert not _marks(tmp_path)


async def test_cancelling_the_future_of_a_coroutine_function_cancels_it(runner: Runner, tmp_path: Path) -> None:
    started, cancelled = tmp_path / "started", tmp_path / "cancelled"
    async with runner.pool("crunch", 1) as pool:
        future = pool.submit(str(started), str(cancelled), function="touch_if_cancelled")
        await until(started.exists)
        future.cancel()
        await until(cancelled.exists)
        assert await pool.submit(3) == 9


async def test_cancelling_map_takes_no_more_items(runner: Runner, tmp_path: Path) -> None:
    numbers = Counting(1_000_000)
    async with runner.pool("crunch", 2) as pool:
        mapping = asyncio.ensure_future(pool.map(numbers))
        await until(lambda: numbers.taken > 500)
        mapping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mapping
        taken = numbers.taken
        assert await pool.map(range(500)) == [i * i for i in range(500)]
        assert numbers.taken == taken


async def test_closing_an_iteration_ends_it(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        results = pool.imap(counting(1000))
        assert await anext(results) == 0
        await results.aclose()
        assert [r async for r in results] == []


async def test_cancelling_a_wait_for_a_result_loses_none(runner: Runner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("crunch", 1, function="wait_for") as pool:
        results = pool.imap([str(go)])
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await anext(results)
        waiting.cancel()
        await asyncio.wait([waiting])
        go.touch()
        assert await anext(results) == str(go)


# Size


@pytest.mark.slow
async def test_resize_while_it_works(runner: Runner) -> None:
    numbers = Counting(1_000_000)
    async with runner.pool("crunch", 2) as pool:
        results = pool.imap_unordered(numbers)
        total = 0
        for step, size in enumerate((5, 1, 3)):
            await pool.resize(size)
            assert pool.size == size
            for _ in range(500):
                total += await anext(results)
            if step == 1:
                await until(lambda: len(pool._dispatcher.workers.up) == 1)
        await results.aclose()
        pids: set[int] = set()
        while len(pids) < 3:  # two may have answered all quick calls before the third gets one
            pids |= set(await pool.map(range(2000), function="pid"))
        assert len(pool._dispatcher.workers.up) == len(pids) == 3


async def test_workers_that_leave_finish_what_they_run(runner: Runner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("crunch", 3, function="wait_for") as pool:
        running = [pool.submit(str(go)) for _ in range(3)]
        await pool.resize(1)
        assert pool.size == 1
        go.touch()
        assert await asyncio.gather(*running) == [str(go)] * 3
        await until(lambda: len(pool._dispatcher.workers.up) == 1)


@pytest.mark.parametrize("option", [{"size": 0}, {"size": "2"}, {"retries": -1}, {"concurrency": 0}])
async def test_impossible_numbers_are_refused(runner: Runner, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises((TypeError, ValueError), match=f"{name}="):
        runner.pool("crunch", **{"size": 1, **option})
    with pytest.raises(ValueError, match="per_container='many'"):
        runner.pool("crunch", 1, per_container="many")


@pytest.mark.parametrize("setup", [3, ["factor"], {1: 2}])
async def test_a_setup_that_is_no_dict_of_arguments_is_refused_when_the_pool_is_made(
    runner: Runner, setup: Any
) -> None:
    with pytest.raises(TypeError, match=re.escape(f"setup={setup!r}: it must be a dict of arguments")):
        runner.pool("crunch", 1, setup=setup)


async def test_a_progress_that_is_no_name_and_a_swarm_that_is_no_dict_are_refused(runner: Runner) -> None:
    wrong: Any
    for wrong in (3, None, ["name"]):
        with pytest.raises(TypeError, match=re.escape(f"progress={wrong!r}: it must be True, False, or a name")):
            runner.pool("crunch", 1, progress=wrong)
    for wrong in (3, "labels", ["labels"], {1: 2}):
        for start in (lambda: runner.pool("crunch", 1, swarm=wrong), lambda: runner.start("crunch", swarm=wrong)):  # noqa: B023
            with pytest.raises(SettingError, match=re.escape(f"swarm={wrong!r}: it must be a dict of options")):
                start()


async def test_functions_of_a_module_are_named_and_do_not_travel(runner: Runner) -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="function=<built-in function repr>: it must be the name of a function that "):
        runner.pool("crunch", 1, function=repr)
    with pytest.raises(TypeError, match="function=3: it must be a function, or the name of one that the module serves"):
        runner.pool("crunch", 1, function=wrong)
    async with runner.pool("crunch", 1) as pool:
        with pytest.raises(TypeError, match="it must be the name of a function that the module crunch serves"):
            await pool.map([1], function=repr)
        with pytest.raises(EncodeError, match=r"argument 0: .* cannot be sent; send its name, as text"):
            await pool.submit(repr, 1)
        with pytest.raises(EncodeError, match=r"argument b\.c\[1\]: object cannot be sent"):
            await pool.submit(1, b={"c": [1, object()]}, function="add")


async def test_a_pool_is_entered_once_and_used_inside(runner: Runner) -> None:
    pool = runner.pool("crunch", 1)
    with pytest.raises(RuntimeError, match="inside the pool's block"):
        await pool.map([1])
    async with pool:
        with pytest.raises(ValueError, match="size=0"):
            await pool.resize(0)
    with pytest.raises(RuntimeError, match="entered only once"):
        async with pool:
            pass


# What watchers see


async def test_subscribers_get_items_failures_and_workers() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", 2, progress="odd ones") as pool:
        await pool.map(range(10), function="refuse_odd", return_exceptions=True)
        async for _ in pool.imap(counting(5)):
            pass
    states: list[PoolState] = [event[1] for event in recorder.events if event[0] == "pooled"]
    assert {state.name for state in states} == {"odd ones"}
    assert len({state.id for state in states}) == 1
    last = states[-1]
    assert (last.done, last.failed, last.total, last.running, last.workers, last.wanted) == (15, 5, None, 0, 0, 0)
    assert max(state.workers for state in states) == 2


async def test_a_pool_with_progress_off_publishes_no_events() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", 1, progress=False) as pool:
        await pool.map(range(10))
    assert not [event for event in recorder.events if event[0] == "pooled"]


@pytest.mark.slow
async def test_large_arguments_wait_for_room(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="big") as pool:
        assert await pool.map(bytes(1 << 20) for _ in range(60)) == [1 << 20] * 60


# Other ways to a worker


async def test_over_tls_an_item_that_kills_its_worker_fails_alone() -> None:
    async with job(tls=True) as runner, runner.pool("crunch", 2, function="die_at") as pool:
        results = await pool.starmap([(i, 13) for i in range(60)], return_exceptions=True)
        assert isinstance(results.pop(13), WorkerLost)
        assert results == [i for i in range(60) if i != 13]


FRESH = """
import os, signal
from aioparcs import serve

def die_at(x, poison):
    if x == poison:
        os.kill(os.getpid(), signal.SIGKILL)
    return x

serve(die_at, fork=False)
"""


@pytest.mark.slow
async def test_in_fresh_interpreters_an_item_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    async with job(module(tmp_path, "fresh", FRESH)) as runner, runner.pool("fresh", 2) as pool:
        results = await pool.starmap([(i, 13) for i in range(60)], return_exceptions=True)
        assert isinstance(results.pop(13), WorkerLost)
        assert results == [i for i in range(60) if i != 13]


@pytest.mark.slow
async def test_results_of_every_size_come_whole(runner: Runner) -> None:
    sizes = [0, 1, 200, 255, 256, 257, 5000, 70_000, 3_000_000]
    async with runner.pool("crunch", 2, function="repeat") as pool:
        assert await pool.starmap([("x", size) for size in sizes * 20]) == ["x" * size for size in sizes * 20]
        assert await pool.starmap([(b"x", size) for size in sizes * 5]) == [b"x" * size for size in sizes * 5]


class OnANode(LocalEngine):
    """The local engine, whose launchers are on a node with a name, as those of a Swarm are."""

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        async for state in super().states(group):
            yield state._replace(node="here")


async def test_a_replacement_worker_is_on_the_same_node() -> None:
    recorder = EventRecorder()
    engine = OnANode([MODULES])
    async with job(recorder=recorder, engine=engine) as runner, runner.pool("crunch", 2) as pool:
        before = _tasks(pool)
        os.kill(await pool.submit(function="pid"), signal.SIGKILL)
        await until(lambda: pool.size == 2 and before != _tasks(pool))
    started = {worker for event in recorder.events if event[0] == "started" for worker in event[2]}
    placed = [worker for event in recorder.events if event[0] == "placed" for worker in event[2]]
    assert len(started) == 3
    assert sorted(placed) == sorted(started)


async def test_a_pool_and_results_that_are_awaited_by_mistake(runner: Runner) -> None:
    with pytest.raises(TypeError, match=r"a pool waits for its workers: async with runner\.pool"):
        await runner.pool("functions", 1)  # type: ignore[misc]  # on purpose
    async with runner.pool("functions", 1) as pool:
        with pytest.raises(TypeError, match=r"use async for .* or await pool\.map\(\.\.\.\)"):
            await pool.imap([1])  # type: ignore[misc]  # on purpose
        with pytest.raises(TypeError, match=r"Pool\.map\(\) takes 2 positional arguments but 3 were given"):
            await pool.map(len, [1])  # type: ignore[call-overload]  # on purpose
        with pytest.raises(TypeError, match=r"to have a pool call it: pool\.submit\(\.\.\., function=f\)"):
            await pool.submit(len, [1])
        assert await pool.map([2]) == [3]
