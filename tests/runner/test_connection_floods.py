"""Starting workers while other processes of this machine hold the runner's listener."""

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from aioparcs.channel.handshake import refusals
from aioparcs.engine import Job
from tests.support.dialling import check_echo, dialled, running_job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

FLOOD = """
import os, select, socket, sys, time
name, count, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if user: os.setresuid(user, user, user)
poll, held = select.poll(), {}
def connect_one():
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try: sock.connect("\\0" + name)
    except BlockingIOError: return False
    held[sock.fileno()] = sock
    poll.register(sock, select.POLLIN)
    return True
refused = 0
print("here", flush=True)
poll.register(0, select.POLLIN)
while True:
    while len(held) < count and connect_one(): pass
    time.sleep(0.05)
    for number, _ in poll.poll(0):
        if number == 0: print(refused); sys.exit()
        poll.unregister(number)
        held.pop(number).close()
        refused += 1
"""


@asynccontextmanager
async def flood(job: Job, count: int, user: int = 0) -> AsyncIterator[None]:
    """Open silent connections in another process, which replaces those that are closed."""
    arguments = job.address.host[1:], str(count), str(user)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLOOD, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )
    try:
        assert process.stdin
        assert process.stdout
        assert await process.stdout.readline() == b"here\n"
        yield
    finally:
        await process.communicate(b"")  # the end of its input is the end of it


class Attack(NamedTuple):
    """Connections that attack, and what they have got when they have ended."""

    made: int
    let_in: int


@asynccontextmanager
async def attack(job: Job, count: int) -> AsyncIterator[Callable[[], Awaitable[Attack]]]:
    """Attack a listener with connections of all kinds; gives what ends that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.peers.attack", str(job.address), job.id, str(count),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip

    async def end() -> Attack:
        output, _ = await process.communicate(b"\n")
        return Attack(**json.loads(output))

    try:
        assert process.stdout
        assert await process.stdout.readline() == b"here\n"
        yield end
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def resident() -> float:
    """Return the MiB of this process that are in memory."""
    gc.collect()
    return psutil.Process().memory_info().rss / (1 << 20)


@pytest.mark.slow
@pytest.mark.untraced
async def test_connections_of_all_kinds_that_attack_get_nothing_and_leave_nothing() -> None:
    async with running_job(start_timeout=60.0) as (runner, job, _), runner.start_many("talker", 4) as tasks:
        await asyncio.gather(*map(check_echo, tasks))
        descriptors = psutil.Process().num_fds()
        async with attack(job, 200) as end:
            await until(lambda: runner.rejected_connections > 100)
            before = resident()
            await asyncio.gather(*map(check_echo, tasks))
            async with runner.start("talker") as another:
                await check_echo(another)
            await until(lambda: runner.rejected_connections > 400)
            assert resident() - before < 8
            attacked = await end()
        assert attacked.made > 400
        assert attacked.let_in == 0
        await until(lambda: psutil.Process().num_fds() < descriptors + 10)  # a loop keeps some for its first child


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


@pytest.mark.slow
@pytest.mark.parametrize("user", [0, pytest.param(54321, marks=needs_root)])
async def test_workers_start_while_others_hold_the_listener(user: int) -> None:
    async with (
        running_job(max_unauthenticated=200, start_timeout=60.0) as (runner, job, recorder),
        flood(job, 300, user),
    ):
        begun = time.monotonic()
        await until(lambda: runner.rejected_connections > 100)
        async with runner.start_many("talker", 4) as tasks:
            await asyncio.gather(*map(check_echo, tasks))
        assert len(recorder.notes) <= 5 + (time.monotonic() - begun) / refusals._PERIOD + 2
        assert all(note.endswith("too many connections are in their handshake") for note in recorder.notes)


@needs_root
async def test_another_users_connections_make_room_first() -> None:
    async with running_job(max_unauthenticated=5) as (runner, job, _):
        t = await runner.start("talker")
        async with dialled(job) as (reader, _):
            await check_echo(t)
            async with flood(job, 20, 54321):
                await until(lambda: runner.rejected_connections > 50)
            reading = asyncio.ensure_future(reader.read(1))
            await check_echo(t)
            assert not reading.done()
            reading.cancel()
            await asyncio.wait([reading])


async def test_silent_connections_leave_enough_descriptors_for_the_program() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running_job(start_timeout=60.0) as (runner, job, _):
        t = await runner.start("talker")
        full = [os.open(os.devnull, os.O_RDONLY) for _ in range(200)]
        limit = full[-1] + 40
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            async with flood(job, 60):
                await until(lambda: runner.rejected_connections > 50)
                spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(15)]
                for descriptor in spare:
                    os.close(descriptor)
                await check_echo(t)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for descriptor in full:
                os.close(descriptor)
