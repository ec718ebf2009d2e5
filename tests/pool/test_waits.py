"""The reasons for which a pool waits, as displays show them: with real workers, each reason once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs.pool.scheduler import PendingCall, Retry, Scheduler, WorkerState
from tests.pool.fakes import PLAIN, FakeClient
from tests.support.jobs import EventRecorder, job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

NOW = 1000.0


def reasons(recorder: EventRecorder) -> list[str]:
    return [event[1].waits for event in recorder.events if event[0] == "pooled"]


@pytest.mark.slow
async def test_an_async_iterable_without_items() -> None:
    recorder, items = EventRecorder(), asyncio.Queue[int]()

    async def source() -> AsyncIterator[int]:
        while (item := await items.get()) >= 0:
            yield item

    async with job(recorder=recorder) as runner, runner.pool("crunch", 2) as pool:
        results = asyncio.ensure_future(pool.map(source()))
        items.put_nowait(3)
        await until(lambda: reasons(recorder)[-1] == "waits for items of its iterable")
        items.put_nowait(-1)
        assert await results == [9]
    assert reasons(recorder)[-1] == "", "it waits for nothing when it is over"


@pytest.mark.slow
async def test_results_that_are_not_taken() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", 1) as pool:
        results = pool.imap(range(2000))
        assert await anext(results) == 0
        await until(lambda: reasons(recorder)[-1] == "waits for its results to be taken")
        assert [result async for result in results] == [i * i for i in range(1, 2000)]
        await until(lambda: reasons(recorder)[-1] == "")


@pytest.mark.slow
async def test_a_rate_and_a_pause_before_a_retry() -> None:
    recorder = EventRecorder()
    retry = Retry(1, (Exception,), 0.5)
    async with job(recorder=recorder) as runner:
        async with runner.pool("crunch", 1, rate=5) as pool:
            await pool.map(range(4))
        assert "waits for its rate limit" in reasons(recorder)
        async with runner.pool("crunch", 1, retries=retry) as pool:
            assert isinstance((await pool.map(["x"], return_exceptions=True))[0], Exception)
    assert any(reason.startswith("waits 0.") and reason.endswith(" s for a retry") for reason in reasons(recorder))


@pytest.mark.slow
async def test_a_call_that_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.pool.scheduler.status._SLOW", 0.2)
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("functions", 2) as pool:
        worker = next(iter(pool._dispatcher.workers.up))
        call = pool.submit(str(tmp_path / "go"), function="wait_for")
        await until(lambda: "has run for" in reasons(recorder)[-1])
        assert reasons(recorder)[-1].startswith("call of wait_for: ('/")
        assert f" has run for 0 s in worker {worker}" in "".join(reasons(recorder))
        (tmp_path / "go").touch()
        await call
        await until(lambda: reasons(recorder)[-1] == "")


def test_a_worker_that_does_not_read() -> None:
    scheduler = Scheduler(Retry(0))
    state = WorkerState(7, concurrency=1)
    scheduler.add_worker(state, NOW)
    state.is_writable = False
    assert scheduler.status.waits(NOW) == "waits for worker 7 to read what it was sent"


def test_a_busy_pool_waits_for_nothing() -> None:
    scheduler, client = Scheduler(Retry(0)), FakeClient(5, PLAIN)
    scheduler.add_worker(WorkerState(0, concurrency=1), NOW)
    assert scheduler.status.waits(NOW) == ""
    (call,) = client.take(1)
    call.call_id = 1
    assert scheduler.sent(0, [call], [], NOW) is not None
    assert scheduler.status.waits(NOW + 4.9) == ""
    assert scheduler.status.waits(NOW + 5.1) == "item 0: () has run for 5 s in worker 0"


def test_the_text_of_a_call_is_short() -> None:
    scheduler, client = Scheduler(Retry(0)), FakeClient(1, PLAIN)
    scheduler.add_worker(WorkerState(0, concurrency=1), NOW)
    arguments: dict[str, Any] = {f"name{i}": "x" * 1000 for i in range(100)}
    call = PendingCall(client, 3, PLAIN, (), arguments)
    call.call_id = 1
    scheduler.sent(0, [call], [], NOW)
    assert len(scheduler.status.waits(NOW + 100)) < 150
