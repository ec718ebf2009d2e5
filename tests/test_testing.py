"""The public fakes: connections in memory behave as a socket's do, and break as they are here_recorder to."""

import asyncio
import doctest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import aioparcs.testing
from aioparcs.testing import memory_channel_pair, memory_pair
from tests.support.channels import KINDS, Streams, both, streams
from tests.support.waiting import PATIENCE, until


def test_the_examples_in_its_documentation_run() -> None:
    outcome = doctest.testmod(aioparcs.testing)
    assert outcome.attempted > 5
    assert outcome.failed == 0


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.data = b""

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        return True

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(exc)


class Filler(asyncio.BufferedProtocol):
    def __init__(self, size: int) -> None:
        self.memory = bytearray(size)
        self.filled = 0
        self.lost = False

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.memory)[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self.filled += nbytes

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


# What a transport does, the one in memory like the real ones. TLS has neither a half-close nor a socket's buffers.
SOCKETS = pytest.mark.parametrize("kind", ["tcp", "unix", "memory"])


@asynccontextmanager
async def transports(kind: str) -> AsyncIterator[tuple[Any, Any, Recorder, Recorder]]:
    async with streams(kind) as ends:
        recorders = []
        for _, writer in ends:
            recorders.append(Recorder())
            writer.transport.set_protocol(recorders[-1])
            assert writer.transport.get_protocol() is recorders[-1]
        yield ends[0][1].transport, ends[1][1].transport, recorders[0], recorders[1]


@SOCKETS
async def test_bytes_arrive_in_order_whatever_they_were_written_as(kind: str) -> None:
    async with transports(kind) as (here, _, _, there):
        here.write(b"one ")
        here.write(bytearray(b"two "))
        here.write(memoryview(b"three "))
        here.write(b"")
        here.writelines([b"four ", b"", b"five"])
        await until(lambda: there.data == b"one two three four five")


@SOCKETS
async def test_writing_pauses_above_the_high_water_mark_and_resumes_at_the_low_one(kind: str) -> None:
    async with transports(kind) as (here, there, here_recorder, there_recorder):
        there.pause_reading()
        here.set_write_buffer_limits(high=100_000, low=0)
        assert here.get_write_buffer_limits() == (0, 100_000)
        written = 0
        while here.get_write_buffer_size() <= 100_000:
            assert here_recorder.events == []
            here.write(bytes(50_000))
            written += 50_000
            await asyncio.sleep(0)
        assert here_recorder.events == ["pause"]
        assert not there.is_reading()
        there.resume_reading()
        await until(lambda: here_recorder.events == ["pause", "resume"])
        await until(lambda: len(there_recorder.data) == written)
        with pytest.raises(ValueError, match="high"):
            here.set_write_buffer_limits(high=1, low=2)


@SOCKETS
async def test_a_buffered_protocol_is_received_into_its_memory(kind: str) -> None:
    async with transports(kind) as (here, there, _, there_recorder):
        here.write(b"head")
        await until(lambda: there_recorder.data == b"head")
        filler = Filler(200_001)
        there.set_protocol(filler)
        here.write(b"x" * 200_000)
        await until(lambda: filler.filled == 200_000)
        assert filler.memory == b"x" * 200_000 + b"\0"
        there.set_protocol(there_recorder)
        here.write(b"tail")
        await until(lambda: there_recorder.data == b"headtail")


@SOCKETS
async def test_one_direction_can_end_alone(kind: str) -> None:
    async with transports(kind) as (here, there, here_recorder, there_recorder):
        assert here.can_write_eof()
        here.write(b"x" * 1_000_000)
        here.write_eof()
        with pytest.raises(RuntimeError):
            here.write(b"more")
        await until(lambda: there_recorder.events == ["eof"])
        assert len(there_recorder.data) == 1_000_000
        there.write(b"answer")
        await until(lambda: here_recorder.data == b"answer")


@SOCKETS
async def test_closing_sends_what_waits_and_then_calls_connection_lost_at_both_ends(kind: str) -> None:
    async with transports(kind) as (here, there, here_recorder, there_recorder):
        here.write(b"x" * 2_000_000)
        here.close()
        assert here.is_closing()
        await until(lambda: here_recorder.events[-1:] == [None])
        await until(lambda: there_recorder.events == ["eof"])
        assert len(there_recorder.data) == 2_000_000
        there.close()
        await until(lambda: there_recorder.events == ["eof", None])


@SOCKETS
async def test_aborting_is_at_once(kind: str) -> None:
    async with transports(kind) as (here, there, here_recorder, _there_recorder):
        there.pause_reading()
        here.write(b"x" * 10_000_000)
        here.abort()
        await until(lambda: here_recorder.events[-1:] == [None])
        await until(
            lambda: here.get_write_buffer_size() == 0
        )  # libuv gives it back a moment after it has here_recorder


@SOCKETS
async def test_writing_to_a_closed_connection_is_an_error(kind: str) -> None:
    async with transports(kind) as (here, there, here_recorder, _):
        there.pause_reading()
        here.write(b"unread")
        await asyncio.sleep(0.01 if kind == "tcp" else 0)
        there.abort()
        while not here_recorder.events:  # each write may be the one that fails
            here.write(b"x" * 1000)
            await asyncio.sleep(0)
        await until(lambda: isinstance(here_recorder.events[-1], ConnectionError))


@KINDS
async def test_streams_work_over_it(kind: str) -> None:
    async def shout(streams: Streams) -> None:
        reader, writer = streams
        async for line in reader:
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with streams(kind) as ((reader, writer), there), asyncio.TaskGroup() as group:
        group.create_task(shout(there))
        for i in range(20):
            writer.write(b"line %d\n" % i + b"x" * 20_000 + b"\n")
            assert await reader.readline() == b"LINE %d\n" % i
            assert await reader.readline() == b"X" * 20_000 + b"\n"
        writer.write_eof() if writer.can_write_eof() else writer.close()
        assert await reader.read() == b""


async def test_a_connection_can_be_held_and_released() -> None:
    (reader, writer), (_, other), net = memory_pair(capacity=1000)
    net.back.hold()
    other.write(b"x" * 5000)
    reading = asyncio.ensure_future(reader.readexactly(5000))
    await asyncio.wait([reading], timeout=0.01)
    assert not reading.done()
    assert net.back.in_flight == 1000
    assert net.back.carried == 0
    net.back.release()
    assert await reading == b"x" * 5000
    assert net.back.carried == 5000
    writer.close()
    other.close()


async def test_a_connection_can_lose_bytes() -> None:
    (_, writer), (reader, other), net = memory_pair()
    writer.write(b"0123456789")
    net.forward.drop(3)
    assert await reader.readexactly(7) == b"3456789"
    net.forward.drop()
    writer.write(b"x" * 1_000_000)
    async with asyncio.timeout(PATIENCE):
        await writer.drain()
    assert net.forward.carried == 7
    writer.close()
    other.close()


async def test_a_connection_can_be_cut_after_some_bytes() -> None:
    (left, writer), (reader, other), net = memory_pair()
    net.forward.cut(after=4)
    writer.write(b"0123456789")
    assert await reader.readexactly(4) == b"0123"
    for end in (reader, left):
        with pytest.raises(ConnectionResetError, match="cut"):
            await end.readexactly(1)
    assert writer.is_closing()
    assert other.is_closing()


async def test_a_held_connection_can_be_cut() -> None:
    (left, writer), (reader, other), net = memory_pair()
    net.forward.hold()
    net.forward.cut()
    for end in (reader, left):
        with pytest.raises(ConnectionResetError, match="cut"):
            await end.read()
    assert writer.is_closing()
    assert other.is_closing()


async def test_an_unclosed_end_is_a_warning() -> None:
    (_, writer), (_, other), _ = memory_pair()
    with pytest.warns(ResourceWarning, match="unclosed"):
        writer.transport.__del__()  # type: ignore[attr-defined]  # what the collector calls
    writer.close()
    other.close()


async def test_channels_in_memory_take_settings_and_a_version() -> None:
    here, there, net = memory_channel_pair(version=1)
    async with both(here, there):
        await here.send({"json": 1})
        assert await there.recv() == {"json": 1}
        assert net.forward.carried == 8 + len(b'{"json": 1}')
