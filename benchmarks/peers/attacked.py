"""
A runner whose workers are asked, calm and while connections attack its listener: ``WORKERS CONNECTIONS SECONDS``.

It prints what it took, by name, as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvloop

from aioparcs import Address, Runner, Settings, Task
from aioparcs.engine import Job
from aioparcs.events import Event, EventBus, program_events
from aioparcs.local import LocalEngine
from aioparcs.transport import Listener, listen
from benchmarks.peers import control

_PAUSE = 0.05  # seconds between two messages to a worker
_SETTLED = 1.0  # seconds until the attack has its full strength
_EMPTIED = 15.0  # seconds until what still waits in the kernel was accepted and has ended

Taken = dict[str, float]


class _Engine(LocalEngine):
    """The local engine, behind a TCP port of the loopback interface; it shows its job."""

    job: Job

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        return await listen(Address("tcp", "127.0.0.1"), on_connect, tls=tls)

    async def open(self, job: Job) -> None:
        self.job = job
        await super().open(job)


async def _round_trips(tasks: list[Task], seconds: float) -> list[float]:
    taken: list[float] = []
    end = time.monotonic() + seconds

    async def ask(task: Task) -> None:
        while time.monotonic() < end:
            begun = time.perf_counter()
            await task.send("hello")
            control.expect((await task.recv())[-1] == "hello", "an echo differs")
            taken.append(time.perf_counter() - begun)
            await asyncio.sleep(_PAUSE)

    await asyncio.gather(*map(ask, tasks))
    return taken


@asynccontextmanager
async def _attacked(job: Job, connections: int, taken: Taken) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.peers.attack", str(job.address), job.id, str(connections),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    control.expect(await process.stdout.readline() == b"here\n", "there is no attack")
    yield
    output, _ = await process.communicate(b"\n")
    taken |= json.loads(output)


def _resident() -> float:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _measure(workers: int, connections: int, seconds: float) -> Taken:
    taken: Taken = {}
    engine, ignored = _Engine(), list[Event]()
    token = program_events.set(EventBus(lambda event: ignored.clear()))
    runner = Runner(engine=engine, settings=Settings(start_timeout=100.0))
    program_events.reset(token)
    async with runner, runner.start_many("echo", workers) as tasks:
        await _round_trips(tasks, _SETTLED)
        cpu, descriptors = time.process_time(), _descriptors()
        calm = await _round_trips(tasks, seconds)
        taken["calm_cpu"] = (time.process_time() - cpu) / seconds
        async with _attacked(engine.job, connections, taken):
            await _round_trips(tasks, _SETTLED)
            resident, refused = _resident(), runner.rejected_connections
            cpu = time.process_time()
            attacked = await _round_trips(tasks, seconds)
            taken["attacked_cpu"] = (time.process_time() - cpu) / seconds
            taken["refused_per_s"] = (runner.rejected_connections - refused) / seconds
            taken["grown_mib"] = _resident() - resident
        end = time.monotonic() + _EMPTIED
        while (left := _descriptors() - descriptors) and time.monotonic() < end:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.1)
        taken["descriptors"] = left
    taken["calm_ms"], taken["attacked_ms"] = (1000 * statistics.median(one) for one in (calm, attacked))
    taken["attacked_p99_ms"] = 1000 * sorted(attacked)[len(attacked) * 99 // 100]
    return taken


def main(workers: int, connections: int, seconds: float) -> None:
    """Measure once, before other programs of this machine if that is allowed."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        print(json.dumps(loop.run(_measure(workers, connections, seconds))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
