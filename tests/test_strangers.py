"""Who else dials a runner: each is refused with one note, and the job goes on as if nobody had come."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aioparcs import Channel, HandshakeError, Runner, Task
from aioparcs.auth import MAGIC, Hello, Role, new_nonce
from aioparcs.channel import introduce
from aioparcs.engine import Job
from aioparcs.local import LocalEngine
from aioparcs.transport import dial
from aioparcs.wire import FrameType, encode_header
from tests.jobs import MODULES, Witness, job, module, until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Open(LocalEngine):
    """The local engine, which tells what a stranger would have to find out."""

    job: Job

    async def open(self, job: Job) -> None:
        self.job = job
        await super().open(job)


class Scene(NamedTuple):
    runner: Runner
    job: Job
    witness: Witness


@asynccontextmanager
async def scene(*modules: Path, **settings: Any) -> AsyncIterator[Scene]:
    witness, engine = Witness(), Open(list(modules) or [MODULES])
    async with job(witness=witness, engine=engine, **settings) as runner:
        yield Scene(runner, engine.job, witness)


@asynccontextmanager
async def dialled(job: Job) -> AsyncIterator[Streams]:
    reader, writer = await dial(job.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def goes_on(task: Task) -> None:
    await task.send(["echo", "still here"])
    assert await task.recv() == "still here"


def hello(job: Job, role: str, number: int) -> Hello:
    return Hello(role, job.id, number, new_nonce(), "stranger", 1 << 20, 1 << 20)


# Those who don't know the token


def frame(type: int, body: bytes) -> bytes:
    return encode_header(type, len(body)) + body


STRANGERS = {
    b"": "the peer didn't finish the handshake within 1 s",
    b"PARCS": "the peer didn't finish the handshake within 1 s",
    MAGIC + encode_header(FrameType.HELLO, 100): "the peer didn't finish the handshake within 1 s",
    b"GET / HTTP/1.1\r\n\r\n": "the peer is no aioparcs program: it began with b'GET / HT'",
    b"SYNxxxxxxx": "the peer is no aioparcs program: it began with b'SYNxxxxx'",
    MAGIC + frame(FrameType.MSG, b"x"): "the peer sent a frame of type 1 and 1 bytes instead of HELLO",
    MAGIC + encode_header(FrameType.HELLO, 1 << 40): "the peer sent a frame of type 10 and 1,099,511,627,776 bytes",
    MAGIC + frame(FrameType.HELLO, b"\xff\xff"): "the peer's HELLO can't be read",
}


async def test_each_stranger_is_refused_with_one_note() -> None:
    async def be_a_stranger(job: Job, data: bytes) -> None:
        async with dialled(job) as (reader, writer):
            writer.write(data)
            await asyncio.gather(reader.read(), return_exceptions=True)  # what refuses it, if anything, and the end

    async with scene(handshake_timeout=1.0) as (runner, job, witness):
        t = await runner.start("talker")
        await asyncio.gather(*(be_a_stranger(job, data) for data in STRANGERS))
        assert runner.strangers == len(witness.notes) == len(STRANGERS)
        said = sorted(note.partition(" so far): ")[2] for note in witness.notes)
        for note, reason in zip(said, sorted(STRANGERS.values()), strict=True):
            assert note.startswith(reason)
        assert witness.notes[0].startswith("refused a connection (1 so far): ")
        await goes_on(t)


async def test_strangers_who_hang_up_at_once() -> None:
    async with scene() as (runner, job, witness):
        t = await runner.start("talker")
        for _ in range(30):
            async with dialled(job) as (_, writer):
                writer.transport.abort()
        await until(lambda: runner.strangers == 30)
        assert len(witness.notes) == 30
        assert "closed the connection during the handshake" in witness.notes[-1]
        await goes_on(t)


async def test_silent_strangers_are_let_go_of_when_the_runner_leaves() -> None:
    async with scene() as (runner, job, witness):
        t = await runner.start("talker")
        streams = [await dial(job.address) for _ in range(5)]
        await goes_on(t)
    for reader, writer in streams:
        assert await reader.read() == b""
        writer.close()
    assert runner.strangers == 0
    assert witness.notes == []


async def test_too_many_at_once_are_refused_at_once() -> None:
    async with scene(max_unauthenticated=2) as (runner, job, witness):
        t = await runner.start("talker")
        async with dialled(job), dialled(job), dialled(job) as (reader, _):
            with pytest.raises((ConnectionError, EOFError)):
                await reader.readexactly(1)
            assert witness.notes == ["refused a connection (1 so far): too many connections are in their handshake"]
            await goes_on(t)


# Those who do, or pretend to


def claims(job: Job) -> dict[str, tuple[Hello, bytes]]:
    """Make what is said by those who claim what is not theirs, by the reason that they are given."""
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
        "the peer ('stranger') speaks wire versions 3 to 9": (worker._replace(versions=(3, 9)), job.token),
        "the peer's nonce has 5 bytes instead of 32": (worker._replace(nonce=b"short"), job.token),
    }


async def test_who_claims_what_is_not_his_is_told_why() -> None:
    async with scene() as (runner, job, witness):
        t = await runner.start("talker")
        for count, (reason, (claim, token)) in enumerate(claims(job).items(), start=1):
            async with dialled(job) as (reader, writer):
                with pytest.raises(HandshakeError) as caught:
                    await introduce(reader, writer, claim, token, 10)
            assert str(caught.value).startswith(f"refused: {reason.rstrip('.')}")
            assert witness.notes[-1].startswith(f"refused a connection ({count} so far): {reason.rstrip('.')}")
            assert runner.strangers == len(witness.notes) == count
        await goes_on(t)


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


async def test_who_claims_a_place_that_is_not_taken_yet_without_the_token(tmp_path: Path) -> None:
    modules, gate, start = gated(tmp_path)
    async with scene(modules) as (runner, job, witness):
        starting = asyncio.ensure_future(start(runner))
        await until(lambda: witness.events)
        async with dialled(job) as (reader, writer):
            with pytest.raises(HandshakeError, match="the job's token is another one"):
                await introduce(reader, writer, hello(job, Role.WORKER, 0), bytes(32), 10)
        assert not starting.done()
        gate.touch()
        t = await starting
        await t.send("mine")
        assert await t.recv() == "mine"


async def test_who_knows_the_token_may_take_a_place_and_the_second_is_turned_away(tmp_path: Path) -> None:
    modules, gate, start = gated(tmp_path)
    async with scene(modules) as (runner, job, witness):
        starting = asyncio.ensure_future(start(runner))
        await until(lambda: witness.events)
        reader, writer = await dial(job.address)
        await introduce(reader, writer, hello(job, Role.WORKER, 0), job.token, 10)
        async with Channel(reader, writer) as channel:
            t = await starting
            await t.send("to whoever is there")
            assert await channel.recv() == "to whoever is there"
            gate.touch()
            await until(lambda: t.state == "gone")
            assert witness.lines[0] == ["error: refused: worker 0 is already connected"]
            assert runner.strangers == 1
            await t.kill()


async def test_a_stranger_on_an_encrypted_port() -> None:
    asyncio.get_running_loop().set_debug(False)  # in debug mode asyncio itself reports handshakes of TLS that fail
    witness, engine = Witness(), Open([MODULES])
    async with job(witness=witness, engine=engine, tls=True) as runner, runner.start("talker") as t:
        async with dialled(engine.job._replace(address=engine.job.address._replace(fingerprint=""))) as (
            reader,
            writer,
        ):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.gather(reader.read(), return_exceptions=True)
        with pytest.raises(HandshakeError, match="certificate"):
            await dial(engine.job.address._replace(fingerprint="00" * 32))
        await goes_on(t)
