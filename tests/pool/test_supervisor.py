"""Pools whose workers are started, retired and lost at the same time: none is left, and no call waits forever."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest

from aioparcs import Runner, StartError, WorkerLost
from aioparcs.engine import WorkerSpec
from aioparcs.events import PoolState
from aioparcs.pool import Pool
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.pool.scheduler import WorkerPhase, worker_state
from aioparcs.task import WorkerHandle
from aioparcs.wire import HEADER_SIZE, FrameType
from tests.support.jobs import EventRecorder, family, job, live, module
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop

LAUNCHER = 2  # processes of a launcher, which live as long as the job: itself and its agent


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.pool.supervision.supervisor._FIRST_PAUSE", 0.01)


class GatedProvider:
    """
    A pool's provider of workers, with a gate before it.

    Attributes:
        refusals: how many requests it refuses from now on.
        is_open: set while requests pass; at first they do.
        waiting: how many requests wait at the gate.
        placed: set when workers were placed.
    """

    def __init__(self, pool: Pool) -> None:
        self.refusals = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.waiting = 0
        self.placed = asyncio.Event()
        self._provider = pool._supervisor._startup.provider
        pool._supervisor._startup.provider = self

    async def default_size(self, spec: WorkerSpec) -> int:
        return await self._provider.default_size(spec)

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        await self._wait()
        self._refuse(spec)
        tasks = await self._provider.place(spec, count)
        self.placed.set()
        return tasks

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        self._refuse(spec)
        await self._wait()
        return await self._provider.replace(spec, task)

    def discard(self, task: WorkerHandle) -> None:
        self._provider.discard(task)

    def release(self) -> None:
        self._provider.release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self.is_open.wait()
        finally:
            self.waiting -= 1

    def _refuse(self, spec: WorkerSpec) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StartError(spec.module, "there is no room")


async def pids(pool: Pool) -> set[int]:
    found: set[int] = set()
    while len(found) < pool.size:
        found |= set(await pool.map(range(100), function="pid"))
    return found


def kill(pids: set[int]) -> None:
    for pid in pids:
        psutil.Process(pid).kill()


def workers() -> int:
    return len(live(family())) - LAUNCHER


# Sizes


async def test_concurrent_resizes_run_one_after_the_other(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        growing = asyncio.ensure_future(pool.resize(4))
        await asyncio.sleep(0)
        await pool.resize(2)
        assert growing.done()
        assert pool.size == 2
        await until(lambda: workers() == 2)
        await asyncio.gather(pool.resize(3), pool.resize(1), pool.resize(2))
        assert pool.size == 2


async def test_replacements_that_are_no_longer_wanted_are_ended(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        provider = GatedProvider(pool)
        provider.is_open.clear()
        kill(await pids(pool))
        await until(lambda: provider.waiting == 2)
        await pool.resize(1)
        provider.is_open.set()
        await until(lambda: not pool._replicas.starting)
        assert pool.size == 1
        await until(lambda: workers() == 1)


async def test_cancelling_a_resize_keeps_the_size(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        provider = GatedProvider(pool)
        growing = asyncio.ensure_future(pool.resize(4))
        await provider.placed.wait()
        growing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await growing
        assert (pool.size, pool._replicas.wanted, workers()) == (1, 1, 1)


LIMITED = """
import pathlib
from aioparcs import serve

def setup(folder):
    if (pathlib.Path(folder) / "full").exists():
        raise ValueError("there are enough")

def same(x):
    return x

serve(same, setup)
"""


async def test_nothing_is_left_of_workers_that_did_not_start(tmp_path: Path) -> None:
    async with (
        job(module(tmp_path, "limited", LIMITED)) as runner,
        runner.pool("limited", 1, setup={"folder": str(tmp_path)}) as pool,
    ):
        (tmp_path / "full").touch()
        with pytest.raises(ValueError, match="there are enough"):
            await pool.resize(4)
        assert (pool.size, pool._replicas.wanted, len(pool._supervisor._tasks), workers()) == (1, 1, 1, 1)


async def test_a_pool_whose_last_worker_can_not_be_replaced_says_why(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with (
        job(module(tmp_path, "limited", LIMITED), recorder=recorder) as runner,
        runner.pool("limited", 1, setup={"folder": str(tmp_path)}) as pool,
    ):
        (tmp_path / "full").touch()
        await next(iter(pool._dispatcher.workers.up.values())).task.kill()
        with pytest.raises(
            StartError, match=r"^limited did not start: no worker of the pool is left: .*enough"
        ) as caught:
            await pool.map([1])
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(StartError, match="there are enough"):
            await pool.map([2])
    assert not [note for note in recorder.notes if "goes on" in note]


# Leaving


async def test_leaving_the_pool_ends_workers_that_are_starting(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        provider = GatedProvider(pool)
        growing = asyncio.ensure_future(pool.resize(4))
        queued = asyncio.ensure_future(pool.resize(2))
        await provider.placed.wait()
    await asyncio.wait([growing, queued])
    assert growing.cancelled()
    assert queued.cancelled()
    assert workers() == 0


async def test_a_cancelled_leave_kills_the_workers(runner: Runner, tmp_path: Path) -> None:
    ending, never = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ending.set()
            await never.wait()

    async def use() -> None:
        async with runner.pool("crunch", 2) as pool:
            await anext(pool.imap(source()))

    using = asyncio.ensure_future(use())
    await ending.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    await until(lambda: workers() == 0)


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(0, 24, 3))
async def test_leaving_may_be_cancelled_at_any_step(runner: Runner, tmp_path: Path, steps: int) -> None:
    entered = asyncio.Event()

    async def use() -> None:
        async with runner.pool("crunch", 2) as pool:
            await pool.resize(1)
            pool.submit(str(tmp_path / "never"), function="wait_for")
            entered.set()

    using = asyncio.ensure_future(use())
    await entered.wait()
    for _ in range(steps):
        await asyncio.sleep(0)
    using.cancel()
    await asyncio.wait([using])
    await until(lambda: workers() == 0)


# Replacing


@pytest.mark.slow
async def test_without_retries_nothing_runs_twice_when_the_launchers_agent_is_killed(
    runner: Runner, tmp_path: Path
) -> None:
    async with runner.pool("crunch", 4) as pool:
        workers = await pids(pool)
        launcher = psutil.Process(min(workers)).parent()
        assert launcher is not None
        (agent,) = {process.pid for process in launcher.children()} - workers
        names = [str(i) for i in range(4000)]
        mapping = asyncio.ensure_future(
            pool.starmap([(str(tmp_path), name) for name in names], function="note", return_exceptions=True)
        )
        await until(lambda: len(list(tmp_path.iterdir())) > 400)
        kill({agent})
        results = await mapping
    assert any(isinstance(result, WorkerLost) for result in results)
    assert all(result == name or isinstance(result, WorkerLost) for name, result in zip(names, results, strict=True))
    marks = {path.read_text() for path in tmp_path.iterdir()}  # noqa: ASYNC240  # quick
    assert marks <= {"x", ""}, "one call ran twice"  # one that is killed may not have written its mark


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.slow
async def test_results_that_a_dying_worker_had_sent_count_also_when_a_write_to_it_fails_first(
    tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_state, "_SLOW", 2 * PATIENCE)  # calls behind the first one stay where they are
    folder, names = str(tmp_path), ["first", "second", "third"]
    async with job(tls=tls) as runner, runner.pool("crunch", 1) as pool:
        (worker,) = pool._dispatcher.workers.up.values()
        (state,) = pool._scheduler.workers.values()
        (pid,) = await pids(pool)
        running = [asyncio.ensure_future(pool.submit(folder, "first", function="hold"))]
        running += [asyncio.ensure_future(pool.submit(folder, name, function="note")) for name in names[1:]]
        outbox = worker.task.channel.connection.outbox
        await until(lambda: len(state.calls) == 3 and outbox.empty and (tmp_path / "first").exists())
        finish_and_die(worker, pid, tmp_path)  # while the loop waits, so that it reads nothing
        assert await asyncio.gather(*running) == names
    marks = {path.name: path.read_text() for path in tmp_path.iterdir()}  # noqa: ASYNC240  # quick
    assert marks == {"go": "", **dict.fromkeys(names, "x")}


def finish_and_die(worker: PoolWorker, pid: int, folder: Path) -> None:
    """Allow a worker to finish three calls and to send the results, kill it, and write to it."""
    connection = worker.task.channel.connection
    tls = connection.transport.get_extra_info("sslcontext") is not None
    (folder / "go").touch()
    with socket.socket(fileno=os.dup(connection.transport.get_extra_info("socket").fileno())) as ours:
        deadline = monotonic() + PATIENCE
        while count_sent(ours, tls=tls) < 3:
            assert monotonic() < deadline
        kill({pid})
        watched = select.poll()
        watched.register(ours, 0)  # for the hang-up
        assert watched.poll(1000 * PATIENCE)
    connection.post_frame(FrameType.PING)
    assert connection.transport.is_closing() != tls, "over TLS nothing is written to a peer that has hung up"


def count_sent(sock: socket.socket, *, tls: bool) -> int:
    """Return how many frames, or records of TLS, a socket holds."""
    try:
        held = sock.recv(1 << 16, socket.MSG_PEEK)
    except BlockingIOError:
        return 0
    count = at = 0
    while at < len(held):
        at += 5 + int.from_bytes(held[at + 3 : at + 5]) if tls else HEADER_SIZE + int.from_bytes(held[at + 2 : at + 8])
        count += 1
    return count


async def test_a_refused_replacement_is_requested_again() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", 2) as pool:
        provider = GatedProvider(pool)
        provider.refusals = 3
        kill({(await pids(pool)).pop()})
        await until(lambda: pool.size == 1)
        await until(lambda: pool.size == 2)
        assert provider.refusals == 0
        assert await pool.map(range(10)) == [i * i for i in range(10)]
    assert [note for note in recorder.notes if "goes on" in note] == [
        "the pool goes on with 1 of 2 workers: crunch did not start: there is no room"
    ]


async def test_a_pool_fails_when_only_retiring_workers_are_left(runner: Runner, tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    async with runner.pool("crunch", 2) as pool:
        provider = GatedProvider(pool)
        running = [pool.submit(never, function="wait_for") for _ in range(2)]
        await until(lambda: pool._scheduler.status.running == 2)
        await pool.resize(1)
        (staying,) = [state.id for state in pool._scheduler.workers.values() if state.phase is WorkerPhase.ACTIVE]
        mapping = asyncio.ensure_future(pool.map(range(5)))
        provider.refusals = 1
        await pool._dispatcher.workers.up[staying].task.kill()
        with pytest.raises(StartError, match="there is no room"):
            await mapping
        assert all(isinstance(lost, WorkerLost | StartError) for lost in await _outcomes(running))


async def test_a_pool_fails_when_its_last_starting_workers_fail(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        provider = GatedProvider(pool)
        last = await pids(pool)
        provider.is_open.clear()
        growing = asyncio.ensure_future(pool.resize(2))
        await until(lambda: provider.waiting == 1)
        provider.refusals = 1000
        kill(last)
        await until(lambda: provider.refusals < 1000)
        mapping = asyncio.ensure_future(pool.map(range(5)))
        provider.is_open.set()
        with pytest.raises(StartError, match="there is no room"):
            await growing
        with pytest.raises(StartError, match="there is no room"):
            await mapping


async def test_an_error_of_a_replacement_fails_the_pool_and_cancels_no_resize(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        raise OSError(24, "too many open files")

    async with runner.pool("crunch", 1) as pool:
        provider = GatedProvider(pool)
        monkeypatch.setattr(provider, "replace", fail)
        last = await pids(pool)
        provider.is_open.clear()
        growing = asyncio.ensure_future(pool.resize(2))
        await until(lambda: provider.waiting == 1)
        kill(last)
        await until(lambda: pool._dispatcher.workers.error)
        provider.is_open.set()
        await asyncio.wait([growing])
        assert not growing.cancelled(), "no task has cancelled it"
        with pytest.raises(OSError, match="too many open files"):
            await pool.map(range(5))
        with pytest.raises(OSError, match="too many open files"):
            await pool.resize(3)


async def _outcomes(futures: list[asyncio.Future[Any]]) -> list[Any]:
    return await asyncio.gather(*futures, return_exceptions=True)


DISCONNECTED = """
import os, socket, time
from aioparcs import serve

async def cut_off(folder):  # in the loop, which must not touch what is closed here
    with open(f"{folder}/pid", "w") as file:
        file.write(str(os.getpid()))
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(descriptor))) as connection:
                if connection.getpeername():
                    os.close(int(descriptor))
        except OSError:
            pass
    time.sleep(600)

def same(x):
    return x

serve(cut_off, same)
"""


async def test_a_worker_without_its_connection_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.deadlines.POOL_LOSS", 0.1)
    recorder = EventRecorder()
    async with (
        job(module(tmp_path, "disconnected", DISCONNECTED), recorder=recorder) as runner,
        runner.pool("disconnected", 1) as pool,
    ):
        with pytest.raises(WorkerLost, match="killed by SIGKILL"):
            await pool.submit(str(tmp_path))
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
        assert await pool.map([7], function="same") == [7]
    assert [note for note in recorder.notes if "went on without its connection, and was killed" in note]


# What watchers see of it


async def test_items_of_abandoned_results_do_not_count() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", 2) as pool:
        async for _ in pool.imap(range(1_000_000)):
            break
        results = pool.imap(range(1_000_000))
        await anext(results)
        await results.aclose()
        with pytest.raises(ValueError, match="is odd"):
            await pool.map(range(1_000_000), function="refuse_odd")
        await pool.map(range(3))
        await until(lambda: not pool._scheduler.status.running)
    last: PoolState = [event[1] for event in recorder.events if event[0] == "pooled"][-1]
    assert last.total == last.done
