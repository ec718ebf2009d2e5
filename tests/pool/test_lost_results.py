"""Results that a worker had sent, and that its connection loses with it: no call of them is made again."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import WorkerLost, wire
from aioparcs.channel import read_unsent
from tests.support.engines import CommandEngine
from tests.support.jobs import job, module
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop

MODULE = """
import os, time
from aioparcs import serve
def pid(): return os.getpid()
def several(item): return bytes(300)
def large(path, item):
    with open(path, "a") as file: file.write(f"{item} ")
    while item == 0 and not os.path.exists(path + ".go"): time.sleep(0.001)
    return bytes(20_000)
serve(large, pid, several)
"""


def wait(condition: Any) -> None:
    """Wait for a condition without a turn of the loop, as a runner that is stopped or busy."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


async def test_calls_whose_results_a_connection_loses_with_its_worker_are_not_made_again(tmp_path: Path) -> None:
    marks, go = tmp_path / "marks", tmp_path / "marks.go"
    marks.touch()
    engine = CommandEngine(modules=module(tmp_path, "sends", MODULE))  # over TCP
    async with job(engine=engine) as runner, runner.pool("sends", 1, function="large", concurrency=40) as pool:
        worker = await pool.submit(function="pid")  # it has up to 41 calls, and runs one of them at a time
        mapping = asyncio.ensure_future(
            pool.starmap([(str(marks), item) for item in range(40)], return_exceptions=True)
        )
        await until(lambda: marks.read_text())
        go.touch()
        wait(lambda: len(marks.read_text().split()) > 6)  # what it sends is not read
        os.kill(worker, signal.SIGSTOP)
        # It dies with something unread, so the kernel drops what it had sent and this side had no room for.
        (task,) = runner._job.registry.tasks.values()
        os.write(task.channel.connection.outbox.fd, wire.encode_header(wire.FrameType.PING, 0))
        os.kill(worker, signal.SIGKILL)
        wait(lambda: not psutil.pid_exists(worker))
        outcomes = await mapping
    begun = Counter(map(int, marks.read_text().split()))
    assert set(begun.values()) == {1}
    lost = [item for item, outcome in enumerate(outcomes) if isinstance(outcome, WorkerLost)]
    assert lost
    assert all(isinstance(outcome, bytes) for item, outcome in enumerate(outcomes) if item not in lost)


async def test_the_latest_results_are_logged_however_many_came_before_them(tmp_path: Path) -> None:
    engine = CommandEngine(modules=module(tmp_path, "sends", MODULE))
    async with job(engine=engine) as runner, runner.pool("sends", 1) as pool:
        worker = await pool.submit(function="pid")
        await pool.map(range(1000), function="several")  # more than the log has room for
        (task,) = runner._job.registry.tasks.values()
        os.kill(worker, signal.SIGKILL)
        await until(lambda: task.unsent_results)
        assert max(call_id for call_id, *_ in read_unsent(task.unsent_results) or ()) >= 1000
