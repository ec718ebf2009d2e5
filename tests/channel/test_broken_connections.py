"""The channel over a connection that is cut, held back or silenced, at every byte."""

import asyncio
from typing import Any

import pytest

from aioparcs import Channel, ConnectionLost, ProtocolError, Settings
from aioparcs.testing import memory_pair
from aioparcs.wire import FrameType, encode_frame, encode_header
from tests.support.channels import both, network, waits
from tests.support.waiting import PATIENCE, until

MESSAGES: list[Any] = ["ab", b"\x00" * 8200, [1, b"\x01" * 8200], "cd", {"e": None}]
# Every byte of the small frames and of what is around the large ones; of their insides a sample.
PLACES = [*range(30), 4000, *range(8205, 8250), 12_000, *range(16_420, 16_480)]


async def collect(channel: Channel) -> tuple[list[Any], BaseException | None]:
    got = []
    try:
        async for message in channel:
            got.append(message)
    except ConnectionLost as error:
        return got, error
    return got, None


async def test_a_connection_cut_at_any_byte_delivers_whole_messages_and_then_its_loss() -> None:
    async with network() as (here, there, net):
        await here.send_all(*MESSAGES)
        await here.aclose()
        assert await collect(there) == (MESSAGES, None)
        total = net.forward.carried - len(encode_frame(FrameType.BYE)[0])
    for place in [n for n in PLACES if n < total]:
        async with network() as (here, there, net):
            net.forward.cut(after=place)
            await here.send_all(*MESSAGES)
            got, error = await collect(there)
            assert got == MESSAGES[: len(got)]
            assert len(got) < len(MESSAGES)
            assert "cut" in str(error)
            with pytest.raises(ConnectionLost, match="cut"):
                await here.recv()


async def test_a_stream_that_ends_at_any_byte_is_a_loss() -> None:
    frames = b"".join(encode_header(FrameType.MSG, 1) + bytes([i]) for i in range(3))
    for place in range(len(frames)):
        here, (_, writer), _ = memory_pair()
        channel = Channel(*here)
        writer.write(frames[:place])
        writer.write_eof()
        got, error = await collect(channel)
        assert got == list(range(place // 9))
        assert error is not None
        await channel.aclose()
        writer.transport.abort()


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100])
async def test_bytes_that_come_piece_by_piece_are_the_same_messages(size: int) -> None:
    stream = b"".join(
        bytes(piece)
        for frame in (
            encode_frame(FrameType.MSG, b"\x05"),
            encode_frame(FrameType.RAW, b"", (b"r" * 300,)),
            encode_frame(FrameType.MSG, b"\x92\xc7\x01\x03\x00\x06", (b"b" * 200,)),
            encode_frame(FrameType.PING),
            encode_frame(FrameType.MSG, b"\xa5" + b"later"),
            encode_frame(FrameType.BYE),
        )
        for piece in frame
    )
    here, (_, writer), net = memory_pair()
    async with Channel(*here) as channel, asyncio.TaskGroup() as group:
        receiving = group.create_task(collect(channel))
        for at in range(0, len(stream), size):
            writer.write(stream[at : at + size])
            await until(lambda: not net.forward.in_flight, pause=0)
        assert await receiving == ([5, b"r" * 300, [b"b" * 200, 6], "later"], None)
    writer.transport.abort()


async def test_held_bytes_arrive_on_release_and_aclose_gives_up_at_its_deadline() -> None:
    async with network() as (here, there, net):
        net.forward.hold()
        await here.send("held")
        receiving = asyncio.ensure_future(there.recv())
        await waits(receiving)
        net.forward.release()
        assert await receiving == "held"
        net.back.hold()
        await here.aclose(0.05)
        assert here.statistics().state == "closed"


async def test_lost_bytes_break_the_stream() -> None:
    async with network(Settings(max_body=1000)) as (here, there, net):
        net.forward.drop(3)
        await here.send("a message without its first bytes, so that the next bytes are read as a header")
        with pytest.raises(ProtocolError):
            await there.recv()
        with pytest.raises(ProtocolError):
            await there.send("no")


async def test_aclose_waits_for_a_silent_peer_until_its_deadline() -> None:
    async with network(Settings(close_timeout=60.0)) as (here, _, net):
        net.forward.drop()
        await here.send("lost")
        async with asyncio.timeout(PATIENCE):
            await here.aclose(0.05)


async def test_both_ends_of_a_cut_connection_raise_connection_lost() -> None:
    async with network() as (here, there, net):
        receiving = [asyncio.ensure_future(end.recv()) for end in (here, there)]
        await asyncio.sleep(0)
        net.back.cut()
        for waiting in receiving:
            with pytest.raises(ConnectionLost, match="cut"):
                await waiting
        async with both(here, there):
            pass
