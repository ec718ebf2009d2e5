"""Calls that a second worker gets, too: when that is, which answer counts, and what becomes of the other one."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from aioparcs import CallTimeout, Retry, Runner, WorkerLost
from aioparcs.events import PoolState
from aioparcs.pool import Pool
from aioparcs.pool.scheduler import Assign, PendingCall, Pull, Scheduler, WorkerState
from aioparcs.pool.scheduler.hedging import Hedging
from tests.pool.fakes import PLAIN, FakeClient
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import until

# Decisions


def running(hedging: Hedging, ages: list[float], now: float = 100.0) -> tuple[WorkerState, list[PendingCall]]:
    """Return a worker with calls that have run for so long."""
    client, worker = FakeClient(len(ages), PLAIN), WorkerState(0, concurrency=len(ages))
    calls = client.take(len(ages))
    for number, (call, age) in enumerate(zip(calls, ages, strict=True)):
        call.call_id = number
        worker.add([call], now - age)
        hedging.begin([call], now - age)
    return worker, calls


def finish(hedging: Hedging, seconds: list[float], *, ok: bool = True) -> None:
    """Finish calls that have taken so long."""
    worker, calls = running(hedging, seconds)
    settles, _, _ = worker.take_results([(call.call_id, ok, None) for call in calls])
    assert not hedging.settle(settles, {0: worker}, 100.0)


def test_a_call_is_late_after_so_many_times_the_median_of_those_that_have_finished() -> None:
    hedging = Hedging(2.0)
    worker, calls = running(hedging, [1.9, 2.1, 30.0, 0.1])
    finish(hedging, [1.0, 1.0, 1.0, 90.0])
    assert hedging.stragglers([worker], 100.0) == [], "that's too few to know"
    finish(hedging, [50.0] * 9, ok=False)
    assert hedging.stragglers([worker], 100.0) == [], "failures don't count"
    finish(hedging, [1.0])
    assert hedging.stragglers([worker], 100.0) == [calls[2], calls[1]], "the oldest first"
    hedging.copy(calls[2])
    assert hedging.stragglers([worker], 100.0) == [calls[1]], "once is enough"


def test_quick_calls_are_not_late_after_an_instant() -> None:
    hedging = Hedging(2.0)
    worker, calls = running(hedging, [0.04, 0.06])
    finish(hedging, [0.001] * 5)
    assert hedging.stragglers([worker], 100.0) == calls[1:]


def test_only_the_last_calls_count() -> None:
    hedging = Hedging(2.0)
    worker, calls = running(hedging, [3.0])
    finish(hedging, [10.0] * 60)
    assert hedging.stragglers([worker], 100.0) == []
    finish(hedging, [1.0] * 100)
    assert hedging.stragglers([worker], 100.0) == calls


@pytest.mark.parametrize(
    "nodes, number",
    [(["a", "a", "b"], 2), (["a", "b", "a"], 1), (["a", "a", "a"], 1), (["", "", ""], 1), (["a"], None)],
    ids=range(5),
)
def test_a_worker_on_another_node_comes_first(nodes: list[str], number: int | None) -> None:
    scheduler = Scheduler(Retry(0), hedge=2.0)
    client = FakeClient(1, PLAIN)
    actions = scheduler.add_client(client, 0.0)
    for worker, node in enumerate(nodes):
        state = WorkerState(worker, concurrency=1)
        state.node = node
        actions += scheduler.add_worker(state, 0.0)
    assigned: list[Assign] = []
    for action in actions:  # grows meanwhile
        if isinstance(action, Pull):
            actions += scheduler.pulled(client.take(action.most), client.supply, 0.0)
        elif isinstance(action, Assign):
            assigned.append(action)
            action.calls[0].call_id = 0
            actions += scheduler.sent(action.worker, action.calls, (), 0.0)
    assert scheduler._hedging is not None
    finish(scheduler._hedging, [1.0] * 5)
    assert [action.worker for action in assigned] == [0]
    copies = [action for action in scheduler.tick(3.0) if isinstance(action, Assign)]
    assert [action.worker for action in copies] == ([] if number is None else [number])


@pytest.mark.parametrize("hedge", [0, 0.5, -1, float("nan"), float("inf"), "2x", [], True], ids=range(8))
async def test_an_impossible_factor_is_refused(runner: Runner, hedge: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"hedge=.*: it must be a number, at least 1"):
        runner.pool("crunch", 1, hedge=hedge)


# On processes


STRAGGLER = """
import asyncio, os, pathlib, time
from aioparcs import serve

def first(folder, name):
    try:
        (pathlib.Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        (pathlib.Path(folder) / f"{name} again").touch()
        return False
    (pathlib.Path(folder) / f"{name} pid").write_text(str(os.getpid()))
    return True

def wait(folder, name):
    while not (pathlib.Path(folder) / f"go {name}").exists():
        time.sleep(0.002)

def slow(folder, name):
    '''Wait for a file if it is the first of its name.'''
    if first(folder, name):
        wait(folder, name)
        return "first"
    return "second"

def both_slow(folder, name):
    '''Wait for one file if it is the first of its name, and for another one if it is the second.'''
    if first(folder, name):
        wait(folder, name)
        return "first"
    wait(folder, f"{name} again")
    return "second"

def fail_second(folder, name):
    if first(folder, name):
        wait(folder, name)
        return "first"
    raise OSError(f"{name} has failed")

async def slow_coroutine(folder, name):
    if first(folder, name):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            (pathlib.Path(folder) / f"{name} cancelled").touch()
            raise
    return "second"

def quick(_):
    time.sleep(0.001)

serve(quick, slow, both_slow, fail_second, slow_coroutine)
"""


def learn(pool: Pool, *functions: str) -> None:
    """Record calls of functions, so that it's known how long they take."""
    hedging: Any = pool._scheduler._hedging
    for function in functions:
        hedging._durations[function] = [0.001] * 5


@pytest.fixture
async def straggling(tmp_path: Path) -> Any:
    async with job(module(tmp_path, "straggler", STRAGGLER)) as runner:
        yield runner


async def test_the_second_workers_answer_counts_if_it_is_the_first(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, hedge=2.0, timeout=60) as pool:
        await pool.map(range(10))
        learn(pool, "slow")
        assert await pool.submit(str(tmp_path), "a", function="slow") == "second"
        (tmp_path / "go a").touch()  # a plain function can't be cancelled: this worker is busy until then
        assert await pool.starmap([(str(tmp_path), "b")], function="slow") == ["second"]
        (tmp_path / "go b").touch()
        assert len(await pool.map(range(10))) == 10
        await until(lambda: not pool._scheduler.status.running)
        assert pool._progress.done == 22, "each call counts once"
    assert not list(tmp_path.glob("* again again"))  # noqa: ASYNC240  # quick


async def test_what_is_learnt_from_calls_that_have_finished(straggling: Runner, tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"go {number}").touch()
    async with straggling.pool("straggler", 3, function="slow", hedge=2) as pool:
        results = pool.istarmap_unordered([(str(tmp_path), str(number)) for number in range(9)])
        assert {result async for result in results} == {"first", "second"}
    assert (tmp_path / "8 again").exists()


async def test_the_first_workers_answer_counts_if_the_second_is_not_quicker(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="both_slow", hedge=2.0) as pool:
        learn(pool, "both_slow")
        future = pool.submit(str(tmp_path), "a")
        await until(lambda: (tmp_path / "a again").exists())
        (tmp_path / "go a").touch()
        assert await future == "first"
        (tmp_path / "go a again").touch()
        assert await pool.map([1, 2, 3], function="quick") == [None] * 3
        await until(lambda: not pool._scheduler.status.running)


async def test_a_coroutine_function_that_is_no_longer_needed_is_cancelled(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="slow_coroutine", hedge=2.0, concurrency=3) as pool:
        learn(pool, "slow_coroutine")
        assert await pool.submit(str(tmp_path), "a") == "second"
        await until(lambda: (tmp_path / "a cancelled").exists())
        await until(lambda: not pool._scheduler.status.running)


@pytest.mark.slow
@pytest.mark.parametrize("retries", [0, Retry(1, on=OSError)], ids=["no retries", "retries"])
async def test_an_error_counts_if_it_is_the_first_answer(
    straggling: Runner, tmp_path: Path, retries: int | Retry
) -> None:
    async with straggling.pool("straggler", 3, function="fail_second", hedge=2.0, retries=retries) as pool:
        learn(pool, "fail_second")
        with pytest.raises(OSError, match="a has failed") as caught:
            await pool.submit(str(tmp_path), "a")
        tries = [note for note in caught.value.__notes__ if note.startswith("try ")]
        assert len(tries) == (1 if retries else 0)
        (tmp_path / "go a").touch()
        assert await pool.map([1, 2, 3], function="quick") == [None] * 3
        await until(lambda: not pool._scheduler.status.running)


@pytest.mark.slow
async def test_a_worker_that_dies_is_no_answer(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="both_slow", hedge=2.0) as pool:
        learn(pool, "both_slow")
        for name in ("a", "b"):
            future = pool.submit(str(tmp_path), name)
            await until(lambda: (tmp_path / f"{name} again").exists())  # noqa: B023  # it is awaited here
            first = int((tmp_path / f"{name} pid").read_text())
            if name == "a":
                os.kill(first, signal.SIGKILL)
                (tmp_path / f"go {name} again").touch()
                assert await future == "second"
            else:
                copy: Any = next(iter(pool._scheduler._hedging._originals))  # type: ignore[union-attr]  # it hedges
                await pool._dispatcher.workers.up[copy.worker].task.kill()
                (tmp_path / f"go {name}").touch()
                assert await future == "first"
            await until(lambda: pool.size == 2)


@pytest.mark.slow
async def test_a_call_is_lost_if_both_of_its_workers_die(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="both_slow", hedge=2.0) as pool:
        learn(pool, "both_slow")
        future = pool.submit(str(tmp_path), "a")
        await until(lambda: (tmp_path / "a again").exists())
        await asyncio.gather(*(worker.task.kill() for worker in list(pool._dispatcher.workers.up.values())))
        with pytest.raises(WorkerLost, match="both_slow"):
            await future
        await until(lambda: pool.size == 2)
        assert await pool.map([1], function="quick") == [None]


@pytest.mark.slow
async def test_a_time_limit_is_an_answer(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="both_slow", hedge=1.0) as pool:
        learn(pool, "both_slow")
        with pytest.raises(CallTimeout):
            await pool.submit_within(2.0, str(tmp_path), "a")
        assert (tmp_path / "a again").exists()
        (tmp_path / "go a again").touch()
        await until(lambda: pool.size == 2)
        assert await pool.map([1, 2], function="quick") == [None] * 2


async def test_cancelling_a_call_cancels_both(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="both_slow", hedge=2.0) as pool:
        learn(pool, "both_slow")
        future = pool.submit(str(tmp_path), "a")
        await until(lambda: (tmp_path / "a again").exists())
        future.cancel()
        (tmp_path / "go a").touch()
        (tmp_path / "go a again").touch()
        await until(lambda: not pool._scheduler.status.running)
        assert await pool.map([1], function="quick") == [None]


async def test_copies_count_as_calls_of_their_workers(straggling: Runner, tmp_path: Path) -> None:
    async with straggling.pool("straggler", 2, function="slow", hedge=2.0, max_calls=2) as pool:
        learn(pool, "slow")
        for number in range(4):
            assert await pool.submit(str(tmp_path), str(number)) == "second"
            (tmp_path / f"go {number}").touch()
        await until(lambda: pool.size == 2 and not pool._scheduler.status.running)


async def test_watchers_see_each_call_once(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with (
        job(module(tmp_path, "straggler", STRAGGLER), recorder=recorder) as runner,
        runner.pool("straggler", 3, function="slow", hedge=2.0) as pool,
    ):
        learn(pool, "slow")
        assert await pool.starmap([(str(tmp_path), "a"), (str(tmp_path), "b")]) == ["second"] * 2
        (tmp_path / "go a").touch()
        (tmp_path / "go b").touch()
    last: PoolState = [event[1] for event in recorder.events if event[0] == "pooled"][-1]
    assert (last.done, last.failed, last.total, last.repeats) == (2, 0, 2, 0)
