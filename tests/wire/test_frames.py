"""The channel against a peer that speaks the wire by hand: every frame, every limit, and what waits at take-over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest

from aioparcs import Channel, ConnectionLost, EncodeError, EndOfChannel, ProtocolError, RemoteError, Settings
from aioparcs.settings import GIB, MIB
from aioparcs.wire import FrameType, encode_frame, encode_header
from tests.support.channels import FEW_KINDS, Streams, streams
from tests.support.waiting import PATIENCE, until

pytestmark = FEW_KINDS


def frame(type: int, body: bytes = b"", *buffers: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in encode_frame(type, body, buffers))


def message(value: Any) -> bytes:
    return frame(FrameType.MSG, msgpack.packb(value))


@asynccontextmanager
async def by_hand(kind: str, settings: Settings | None = None) -> AsyncIterator[tuple[Channel, Streams]]:
    async with streams(kind) as (here, there):
        channel = Channel(*there, settings=settings)
        try:
            yield channel, here
        finally:
            channel.abort()
            await channel.aclose()


async def test_a_ping_is_answered_with_its_body(kind: str) -> None:
    async with by_hand(kind) as (channel, (reader, writer)):
        writer.write(frame(FrameType.PING) + frame(FrameType.PING, b"echo me") + message("after"))
        expected = frame(FrameType.PONG) + frame(FrameType.PONG, b"echo me")
        assert await reader.readexactly(len(expected)) == expected
        writer.write(frame(FrameType.PONG, b"unrequested"))
        assert await channel.recv() == "after"
        assert channel.statistics().bytes_unread == 0


@pytest.mark.slow
async def test_pings_to_a_program_that_only_sends_are_bounded(kind: str) -> None:
    """A peer that doesn't read the answers to its pings gets only so many."""
    settings = Settings(send_queue=64 * 1024)
    async with by_hand(kind, settings) as (channel, (_, writer)):
        flood = frame(FrameType.PING, b"x" * 10_000) * 10
        for _ in range(300):
            writer.write(flood)
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
        writer.write(message("after"))
        assert await channel.recv() == "after"
        assert channel.statistics().bytes_unsent < settings.send_queue + 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(encode_header(99, 0), id="an unknown type"),
        pytest.param(bytes([FrameType.MSG, 2, 0, 0, 0, 0, 0, 0]), id="a reserved flag"),
        pytest.param(encode_header(FrameType.MSG, 5 * GIB), id="a body beyond the limit"),
        pytest.param(
            frame(FrameType.MSG, b"", b"x")[:12] + (5 * GIB).to_bytes(8, "big"), id="buffers beyond the limit"
        ),
        pytest.param(bytes([FrameType.MSG, 1, *bytes(6), 255, 255, 255, 255]), id="too many buffers"),
        pytest.param(encode_header(FrameType.RAW, 0), id="RAW without a buffer"),
        pytest.param(frame(FrameType.RAW, b"", b"x", b"y"), id="RAW with two"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="another protocol"),
    ],
)
async def test_a_protocol_violation_ends_the_channel(kind: str, stream: bytes) -> None:
    async with by_hand(kind) as (channel, (reader, writer)):
        writer.write(message("before") + stream)
        assert await channel.recv() == "before"
        for operation in (channel.recv, lambda: channel.send(1), lambda: channel.call("f")):
            with pytest.raises(ProtocolError):
                await operation()
        try:
            assert await reader.read() == b""  # closed at the other end, too
        except ConnectionError:
            pass


@pytest.mark.parametrize("type", [FrameType.HELLO, FrameType.START, FrameType.LOG, FrameType.RESULT + 100])
async def test_a_frame_that_has_no_place_on_a_channel_ends_it(kind: str, type: int) -> None:
    async with by_hand(kind) as (channel, (_, writer)):
        writer.write(frame(type, b"\x01"))
        for _ in range(2):
            with pytest.raises(ProtocolError):
                await channel.recv()


async def test_an_unreadable_error_frame_is_still_an_error(kind: str) -> None:
    for body in (b"", b"\xc1", msgpack.packb("text"), msgpack.packb({"message": "no type"})):
        async with by_hand(kind) as (channel, (_, writer)):
            writer.write(frame(FrameType.ERROR, body))
            with pytest.raises(RemoteError):
                await channel.recv()


async def test_frames_after_a_goodbye_or_an_error_are_ignored(kind: str) -> None:
    async with by_hand(kind) as (channel, (reader, writer)):
        writer.write(
            message("last") + frame(FrameType.BYE) + frame(FrameType.PING) + frame(FrameType.RAW, b"", b"x" * 10)
        )
        assert await channel.recv() == "last"
        with pytest.raises(EndOfChannel):
            await channel.recv()
        assert await reader.readexactly(8) == frame(FrameType.BYE)
        await channel.aclose(0.1)
        assert await reader.read() == b""


async def test_a_stream_that_ends_while_much_waits_for_it_can_be_closed(kind: str) -> None:
    async with by_hand(kind) as (channel, (reader, writer)):
        await channel.send(b"x" * 4_000_000)
        if not writer.can_write_eof():
            return  # TLS ends both directions at once
        writer.write_eof()
        with pytest.raises(ConnectionLost):
            await channel.recv()
        try:
            await reader.read()
        except ConnectionError:
            pass
        await until(lambda: channel.statistics().state == "closed")
        await channel.aclose()
        channel.abort()


async def test_results_and_cancellations_of_unknown_calls_are_ignored(kind: str) -> None:
    async with by_hand(kind) as (channel, (_, writer)):
        writer.write(frame(FrameType.RESULT, msgpack.packb([7, True, 1])) + frame(FrameType.RESULT, b"\xc1"))
        writer.write(frame(FrameType.CANCEL, msgpack.packb([3])) + frame(FrameType.CANCEL) + message("after"))
        assert await channel.recv() == "after"
        assert channel.statistics().bytes_unread == 0


@pytest.mark.parametrize("cut", [0, 1, 8, 20, 5000, 10_030])
async def test_bytes_in_the_reader_are_received_first(kind: str, cut: int) -> None:
    stream = message("one") + frame(FrameType.RAW, b"", b"r" * 10_000) + message("three")
    async with streams(kind) as (here, there):
        here[1].write(stream[:cut])
        await until(lambda: len(there[0]._buffer) == cut)  # type: ignore[attr-defined]  # nothing public tells
        channel = Channel(*there)
        here[1].write(stream[cut:])
        assert [await channel.recv() for _ in range(3)] == ["one", b"r" * 10_000, "three"]
        channel.abort()
        await channel.aclose()


async def test_a_reader_that_stopped_reading_goes_on(kind: str) -> None:
    async with streams(kind) as (here, there):
        data = b"".join(message([i, "x" * 1000]) for i in range(1000))
        here[1].write(data)
        await until(lambda: len(there[0]._buffer) > 2 * 65536)  # type: ignore[attr-defined]  # as above
        channel = Channel(*there)
        assert [(await channel.recv())[0] for i in range(1000)] == list(range(1000))
        channel.abort()
        await channel.aclose()


@pytest.mark.parametrize("goodbye", [frame(FrameType.BYE), b"", b"\x01\x00\x00"])
async def test_a_stream_that_has_ended_at_take_over(kind: str, goodbye: bytes) -> None:
    async with streams(kind) as (here, there):
        here[1].write(message("one") + goodbye)
        if here[1].can_write_eof():
            here[1].write_eof()
        else:
            here[1].close()
        await until(lambda: there[0]._eof)  # type: ignore[attr-defined]  # as above
        channel = Channel(*there)
        assert await channel.recv() == "one"
        with pytest.raises(EndOfChannel if goodbye[:1] == b"\x07" else ConnectionLost):
            await channel.recv()
        with pytest.raises((EndOfChannel, ConnectionLost)):
            await channel.send(1)
        async with asyncio.timeout(PATIENCE):
            await channel.aclose()


async def test_bytes_in_the_writer_are_sent_first(kind: str) -> None:
    async with streams(kind) as (here, there):
        there[1].write(message("w" * (2 * MIB)))
        channel = Channel(*there)
        async with asyncio.timeout(PATIENCE):
            await channel.send_all("small", b"large" * 100_000)
        reader = Channel(*here)
        assert [await reader.recv() for _ in range(3)] == ["w" * (2 * MIB), "small", b"large" * 100_000]
        for end in (channel, reader):
            end.abort()
            await end.aclose()


async def test_messages_beyond_the_peers_limits_are_refused(kind: str) -> None:
    async with streams(kind) as (here, there):
        channel = Channel(*there, peer_limits=(100, 10_000))
        for value in ("x" * 101, b"x" * 10_001, [b"x" * 9000, b"y" * 9000]):
            with pytest.raises(EncodeError, match="PARCS_MAX_BODY"):
                await channel.send(value)
        with pytest.raises(EncodeError):
            await channel.call("f", "x" * 101)
        await channel.send("fine")
        assert await here[0].readexactly(13) == message("fine")
        channel.abort()
        await channel.aclose()
