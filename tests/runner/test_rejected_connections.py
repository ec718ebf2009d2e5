"""Connections to a runner that are rejected: each has one note, and the job goes on undisturbed."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Channel, HandshakeError, Runner, Task
from aioparcs.auth import MAGIC, Hello, Role, new_nonce
from aioparcs.channel import introduce
from aioparcs.channel.handshake import refusals
from aioparcs.engine import Job
from aioparcs.transport import dial, pending
from aioparcs.wire import FrameType, encode_header
from tests.support.dialling import ExposedEngine, check_echo, dialled, running_job
from tests.support.jobs import MODULES, EventRecorder, job, module
from tests.support.waiting import until


def hello(job: Job, role: str, number: int) -> Hello:
    return Hello(role, job.id, number, new_nonce(), "intruder", 1 << 20, 1 << 20)


# Without the token


def frame(type: int, body: bytes) -> bytes:
    return encode_header(type, len(body)) + body


UNAUTHENTICATED = {
    b"": "the peer didn't finish the handshake within 3 s",
    b"PARCS": "the peer didn't finish the handshake within 3 s",
    MAGIC + encode_header(FrameType.HELLO, 100): "the peer didn't finish the handshake within 3 s",
    b"GET / HTTP/1.1\r\n\r\n": "not an aioparcs peer (first bytes b'GET / HT')",
    b"SYNxxxxxxx": "not an aioparcs peer (first bytes b'SYNxxxxx')",
    MAGIC + frame(FrameType.MSG, b"x"): "the peer sent a frame of type 1 and 1 bytes instead of HELLO",
    MAGIC + encode_header(FrameType.HELLO, 1 << 40): "the peer sent a frame of type 10 and 1,099,511,627,776 bytes",
    MAGIC + frame(FrameType.HELLO, b"\xff\xff"): "the peer's HELLO can't be read",
}


async def send_unauthenticated(job: Job, data: bytes) -> None:
    async with dialled(job) as (reader, writer):
        writer.write(data)
        await asyncio.gather(reader.read(), return_exceptions=True)  # what refuses it, if anything, and the end


@pytest.mark.slow
@pytest.mark.parametrize("few", [list(UNAUTHENTICATED)[:4], list(UNAUTHENTICATED)[4:]])
async def test_each_of_a_few_unauthenticated_connections_is_rejected_with_one_note(few: list[bytes]) -> None:
    async with running_job(handshake_timeout=3.0) as (runner, job, recorder):
        t = await runner.start("talker")
        await asyncio.gather(*(send_unauthenticated(job, data) for data in few))
        assert runner.rejected_connections == len(recorder.notes) == len(few)
        reasons = sorted(note.partition(" so far): ")[2] for note in recorder.notes)
        for note, reason in zip(reasons, sorted(UNAUTHENTICATED[data] for data in few), strict=True):
            assert note.startswith(reason)
        assert recorder.notes[0].startswith("refused a connection (1 so far): ")
        await check_echo(t)


@pytest.mark.slow
async def test_many_rejected_connections_are_counted_in_few_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_PERIOD", 0.3)
    async with running_job() as (runner, job, recorder):
        t = await runner.start("talker")
        begun = time.monotonic()
        for count in (30, 60):
            for _ in range(30):
                async with dialled(job) as (_, writer):
                    writer.transport.abort()
            await until(lambda count=count: runner.rejected_connections == count)  # type: ignore[misc]  # mypy#6123
            await until(lambda count=count: f"({count} so far)" in recorder.notes[-1])  # type: ignore[misc]  # as above
        assert recorder.notes[0] == (
            "refused a connection (1 so far): the peer closed the connection during the handshake"
        )
        assert len(recorder.notes) <= 5 + (time.monotonic() - begun) / 0.3 + 1
        assert recorder.notes[-1].startswith("refused ")
        assert recorder.notes[-1].endswith(
            "(60 so far); the last one: the peer closed the connection during the handshake"
        )
        await check_echo(t)


async def test_rejected_connections_without_a_note_are_summed_up_at_the_end() -> None:
    async with running_job() as (runner, job, recorder):
        await runner.start("talker")
        for _ in range(8):
            await send_unauthenticated(job, b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: runner.rejected_connections == 8)
        assert len(recorder.notes) == 5
    assert recorder.notes[5:] == [
        "refused 3 more connections (8 so far); the last one: not an aioparcs peer (first bytes b'GET / HT')"
    ]


async def test_silent_connections_are_closed_when_the_runner_leaves() -> None:
    async with running_job() as (runner, job, recorder):
        t = await runner.start("talker")
        streams = [await dial(job.address) for _ in range(5)]
        await check_echo(t)
    for reader, writer in streams:
        assert await reader.read() == b""
        writer.close()
    assert runner.rejected_connections == 0
    assert recorder.notes == []


async def test_the_oldest_unauthenticated_connection_is_evicted_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "_GRACE", 0.0)
    async with running_job(max_unauthenticated=2) as (runner, job, recorder):
        t = await runner.start("talker")
        async with dialled(job) as (first, _), dialled(job), dialled(job):
            with pytest.raises((ConnectionError, EOFError)):
                await first.readexactly(1)
            assert runner.rejected_connections == 1
            assert recorder.notes == ["refused a connection (1 so far): too many connections are in their handshake"]
            await check_echo(t)


async def test_any_of_many_new_unauthenticated_connections_may_be_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_GRACE", 60.0)
    refused = set[int]()
    async with running_job(max_unauthenticated=2) as (runner, job, _):
        t = await runner.start("talker")
        while refused != {0, 1, 2}:  # each is the one in three of these rounds, sooner or later
            async with dialled(job) as (first, _), dialled(job) as (second, _), dialled(job) as (third, _):
                reading = [asyncio.ensure_future(reader.read(1)) for reader in (first, second, third)]
                (closed,), rest = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                refused.add(reading.index(closed))
                for one in rest:
                    one.cancel()
                await asyncio.wait(reading)
                closed.exception()  # an end or a reset: either is a refusal
        await check_echo(t)
        assert runner.rejected_connections >= 3


@pytest.mark.parametrize("who", ["launcher", "worker"])
@pytest.mark.slow
async def test_a_program_whose_connection_is_evicted_dials_again(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    # The newest, each time: by chance it could be the one that holds the only place.
    monkeypatch.setattr(pending.PendingHandshakes, "_victim", lambda pending: list(pending._entries)[-1])
    async with running_job(max_unauthenticated=1, start_timeout=60.0) as (runner, job, recorder):
        if who == "worker":
            await runner.start("talker")  # the next one's launcher is there already
        async with dialled(job):
            await until(lambda: len(runner._job.registry._acceptor._pending))
            starting = asyncio.ensure_future(runner.start("talker"))
            await until(lambda: runner.rejected_connections)
            assert "too many connections" in recorder.notes[0]
            assert not starting.done()
        await check_echo(await starting)


# Those who do, or pretend to


def claims(job: Job) -> dict[str, tuple[Hello, bytes]]:
    """Return the frames of peers that claim a wrong role, by the reason of their refusal."""
    worker = hello(job, Role.WORKER, 0)
    return {
        "the job's token is another one": (worker, bytes(32)),
        "the job's token is another one.": (hello(job, Role.LAUNCHER, 0), os.urandom(32)),
        "worker 0 is already connected": (worker, job.token),
        "launcher 0 is already connected": (hello(job, Role.LAUNCHER, 0), job.token),
        "unexpected worker 99": (hello(job, Role.WORKER, 99), job.token),
        "unexpected worker -1": (hello(job, Role.WORKER, -1), job.token),
        "unexpected launcher 99": (hello(job, Role.LAUNCHER, 99), job.token),
        "unexpected runner 0": (hello(job, Role.RUNNER, 0), job.token),
        "unexpected role 'spy', number 0": (hello(job, "spy", 0), job.token),
        f"this is job {job.id}, not 'other'": (worker._replace(job="other"), job.token),
        f"this is job {job.id}, not '\\x1b[2J'": (worker._replace(job="\x1b[2J"), job.token),
        "the peer ('intruder') speaks wire versions 3 to 9": (worker._replace(versions=(3, 9)), job.token),
        "the peer's nonce has 5 bytes instead of 32": (worker._replace(nonce=b"short"), job.token),
    }


async def test_a_peer_with_the_token_that_claims_a_wrong_role_is_rejected_with_the_reason() -> None:
    async with running_job() as (runner, job, recorder):
        t = await runner.start("talker")
        for count, (reason, (claim, token)) in enumerate(claims(job).items(), start=1):
            async with dialled(job) as (reader, writer):
                with pytest.raises(HandshakeError) as caught:
                    await introduce(reader, writer, claim, token, 10)
            assert str(caught.value).startswith(f"refused: {reason.rstrip('.')}")
            assert runner.rejected_connections == count
            if count <= 5:
                assert recorder.notes[-1].startswith(f"refused a connection ({count} so far): {reason.rstrip('.')}")
        await check_echo(t)


GATED = """
import os, time
while not os.path.exists(os.environ["GATE"]): time.sleep(0.005)
from aioparcs import Service, serve
class Gated(Service):
    async def run(self):
        async for message in self: await self.send(message)
serve(Gated)
"""


def gated(folder: Path) -> tuple[Path, Path, Callable[[Runner], Coroutine[Any, Any, Task]]]:
    """Write a module whose main.py waits for a file."""
    gate = folder / "gate"

    async def start(runner: Runner) -> Task:
        return await runner.start("gated", env={"GATE": str(gate)})

    return module(folder, "gated", GATED), gate, start


async def test_a_peer_without_the_token_cannot_claim_a_worker_that_has_yet_to_connect(tmp_path: Path) -> None:
    modules, gate, start = gated(tmp_path)
    async with running_job(modules) as (runner, job, recorder):
        starting = asyncio.ensure_future(start(runner))
        await until(lambda: recorder.events)
        async with dialled(job) as (reader, writer):
            with pytest.raises(HandshakeError, match="the job's token is another one"):
                await introduce(reader, writer, hello(job, Role.WORKER, 0), bytes(32), 10)
        assert not starting.done()
        gate.touch()
        t = await starting
        await t.send("mine")
        assert await t.recv() == "mine"


async def test_a_worker_that_is_being_killed_is_not_counted_as_rejected(tmp_path: Path) -> None:
    modules, gate, start = gated(tmp_path)
    async with running_job(modules) as (runner, job, recorder):
        starting = asyncio.ensure_future(start(runner))
        await until(lambda: recorder.events)
        starting.cancel()
        await asyncio.wait([starting])
        for role in (Role.WORKER, Role.LAUNCHER):
            async with dialled(job) as (reader, writer):
                writer.write(MAGIC + frame(FrameType.HELLO, hello(job, role, 0).encode()))
                await reader.readexactly(len(MAGIC))  # so it has been heard
        async with dialled(job) as (reader, writer):
            writer.write(MAGIC + frame(FrameType.HELLO, hello(job, Role.WORKER, 7).encode()))
            await reader.readexactly(len(MAGIC))
        await until(lambda: runner.rejected_connections)
        assert runner.rejected_connections == 1
        gate.touch()


async def test_the_first_peer_with_the_token_is_the_worker_and_the_second_is_rejected(tmp_path: Path) -> None:
    modules, gate, start = gated(tmp_path)
    async with running_job(modules) as (runner, job, recorder):
        starting = asyncio.ensure_future(start(runner))
        await until(lambda: recorder.events)
        reader, writer = await dial(job.address)
        await introduce(reader, writer, hello(job, Role.WORKER, 0), job.token, 10)
        async with Channel(reader, writer) as channel:
            t = await starting
            await t.send("to the first peer")
            assert await channel.recv() == "to the first peer"
            gate.touch()
            await until(lambda: t.state == "gone")
            assert recorder.lines[0] == ["error: refused: worker 0 is already connected"]
            assert runner.rejected_connections == 1
            await t.kill()


async def test_an_unauthenticated_connection_to_a_tls_port_is_rejected() -> None:
    asyncio.get_running_loop().set_debug(False)  # in debug mode asyncio itself reports handshakes of TLS that fail
    recorder, engine = EventRecorder(), ExposedEngine([MODULES])
    async with job(recorder=recorder, engine=engine, tls=True) as runner, runner.start("talker") as t:
        async with dialled(engine.job._replace(address=engine.job.address._replace(fingerprint=""))) as (
            reader,
            writer,
        ):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.gather(reader.read(), return_exceptions=True)
        with pytest.raises(HandshakeError, match="certificate"):
            await dial(engine.job.address._replace(fingerprint="00" * 32))
        await check_echo(t)
