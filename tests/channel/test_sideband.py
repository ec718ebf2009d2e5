"""Barriers of a channel, and relayed messages, which arrive on another connection and keep their place."""

import asyncio
import re
from typing import Any

import numpy  # noqa: F401  # with it a body in pieces is received into an array
import pytest

from aioparcs import BusyError, Channel, ChannelClosed, DecodeError, ParcsError, ProtocolError, RemoteError, codec
from aioparcs.channel import RelayMessage, encode_error
from aioparcs.channel.connection import RECEIVING
from aioparcs.settings import MIB, Settings
from aioparcs.wire import FrameType, encode_header
from tests.support.channels import FEW_KINDS, SMALL, both, pair, stop_reading, streams, waits
from tests.support.waiting import until

NAME = b"a message"
DATA = bytes(range(256)) * 8192
SIZE = len(DATA)


# Barriers


@FEW_KINDS
async def test_two_sides_meet_at_each_barrier(kind: str) -> None:
    async with pair(kind) as (here, there):
        for _ in range(3):
            first = asyncio.ensure_future(here.barrier())
            await waits(first)
            await asyncio.gather(first, there.barrier())


@FEW_KINDS
async def test_unreceived_messages_do_not_delay_a_barrier_and_are_kept(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        counts = [await stop_reading(here, there), await stop_reading(there, here)]
        await asyncio.gather(here.barrier(), there.barrier())
        for channel, count in zip((there, here), counts, strict=True):
            assert [await channel.recv() for _ in range(count)] == ["x" * 1000] * count


async def test_a_barrier_that_is_broken_is_an_error_and_the_next_one_is_not() -> None:
    async with pair("memory") as (here, there):
        there.barriers.release(ParcsError("no"))
        with pytest.raises(RemoteError, match="no"):
            await here.barrier()
        entering = asyncio.ensure_future(here.barrier())
        await there.barriers.wait()
        there.barriers.release()
        await entering


async def test_a_long_error_at_a_barrier_may_come_in_pieces() -> None:
    error = encode_error(ValueError("no" * 30_000))
    body = codec.encode_inline(error)[0]
    frame = encode_header(FrameType.BARRIER, len(body)) + body
    async with streams("memory") as ((_, writer), ends), both(*[Channel(*ends)] * 2) as (here, _):
        waiting = asyncio.ensure_future(here.barriers.wait())
        writer.write(frame[:5000])
        await until(lambda: here.statistics().bytes_received == 5000)
        writer.write(frame[5000:])
        with pytest.raises(ValueError, match="nono"):
            await waiting


async def test_a_barrier_ends_with_its_channel() -> None:
    async with pair("memory") as (here, _):
        waiting = asyncio.ensure_future(here.barrier())
        await waits(waiting)
        here.abort()
        with pytest.raises(ChannelClosed):
            await waiting


async def test_version_1_has_no_barriers_and_is_sent_none() -> None:
    async with pair("memory", version=1) as (here, there):
        with pytest.raises(ProtocolError, match="no barriers"):
            await here.barrier()
        await here.send("whole")
        assert await there.recv() == "whole"


# Messages that come another way


async def place(here: Channel, there: Channel, sizes: Any = (SIZE,)) -> RelayMessage:
    """Send a relayed message between two others, and return what is announced to the receiver."""
    announced: list[RelayMessage] = []
    there.relays.set_receiver(announced.append)
    await here.send("before")
    here.relays.notify(NAME, "message", False, True, b"", list(sizes))
    await here.send("behind")
    await until(lambda: announced)
    return announced[0]


async def deliver(relayed: RelayMessage) -> None:
    (buffer,) = await relayed.allocate()
    memoryview(buffer)[:] = DATA
    relayed.settle([buffer])


@FEW_KINDS
async def test_a_relayed_message_is_received_in_its_place(kind: str) -> None:
    async with pair(kind) as (here, there):
        relayed = await place(here, there)
        assert await there.recv() == "before"
        receiving = asyncio.ensure_future(there.recv())
        await waits(receiving)
        await deliver(relayed)
        assert await receiving == DATA
        assert await there.recv() == "behind"
        assert there.statistics().bytes_unread == 0
        assert there.statistics().messages_received == 3
    assert RECEIVING.reserved == 0


@FEW_KINDS
async def test_a_cancelled_recv_leaves_a_relayed_message_first_in_line(kind: str) -> None:
    async with pair(kind) as (here, there):
        relayed = await place(here, there)
        await there.recv()
        receiving = asyncio.ensure_future(there.recv())
        await waits(receiving)
        with pytest.raises(BusyError):
            await there.recv()
        receiving.cancel()
        await asyncio.wait([receiving])
        await deliver(relayed)
        assert await there.recv() == DATA
        assert await there.recv() == "behind"
        assert there.statistics().messages_received == 3


@pytest.mark.parametrize("first", [True, False], ids=["it comes first", "it comes last"])
async def test_a_relayed_message_is_received_by_recv_into(first: bool) -> None:
    async with pair("memory") as (here, there):
        relayed = await place(here, there)
        await there.recv()
        buffer = bytearray(SIZE)
        if first:
            await deliver(relayed)
        receiving = asyncio.ensure_future(there.recv_into(buffer))
        if not first:
            await waits(receiving)
            await deliver(relayed)
        assert await receiving == SIZE
        assert buffer == DATA
        assert await there.recv() == "behind"


async def test_a_relayed_message_that_fails_is_an_error_in_its_place() -> None:
    async with pair("memory") as (here, there):
        for receive in (there.recv, lambda: there.recv_into(bytearray(SIZE))):
            relayed = await place(here, there)
            await there.recv()
            await relayed.allocate()
            relayed.fail("its origin is gone")
            with pytest.raises(DecodeError, match="a broadcast message did not arrive: its origin is gone"):
                await receive()
            assert await there.recv() == "behind"
    assert RECEIVING.reserved == 0


async def test_memory_for_a_relayed_message_goes_to_the_receiver() -> None:
    async with pair("memory", Settings(receive_budget=3 * MIB)) as (here, there):
        other = await place(here, there)
        await deliver(other)
        relayed = await place(here, there)
        coming = asyncio.ensure_future(deliver(relayed))
        await waits(coming)
        for wanted in ("before", DATA, "behind", "before", DATA, "behind"):
            assert await there.recv() == wanted
        await coming
    assert RECEIVING.reserved == 0


@pytest.mark.parametrize("end", ["abort", "aclose"])
async def test_the_channel_ends_before_a_relayed_message_has_arrived(end: str) -> None:
    async with pair("memory") as (here, there):
        relayed = await place(here, there)
        await there.recv()
        receiving = asyncio.ensure_future(there.recv())
        await waits(receiving)
        if end == "abort":
            there.abort()
        else:
            await there.aclose()
        with pytest.raises(ChannelClosed):
            await receiving
        await deliver(relayed)  # without a receiver
    assert RECEIVING.reserved == 0


@pytest.mark.parametrize(
    "body", ["93c40178a76d657373616765c3", "c0", "91c40178", "96c40178a76d657373616765c2c3c40091ff"]
)
async def test_an_invalid_relay_frame_ends_the_channel(body: str) -> None:
    async with pair("memory") as (here, there):
        here.connection.post_frame(FrameType.RELAY, bytes.fromhex(body))
        with pytest.raises(ProtocolError, match="a RELAY frame that can't be read"):
            await there.recv()


async def test_a_relayed_message_beyond_the_limit_ends_the_channel() -> None:
    async with pair("memory", Settings(max_buffers=MIB)) as (here, there):
        here.relays.notify(NAME, "message", False, True, b"", [SIZE])
        with pytest.raises(ProtocolError, match=re.escape("the limit is 1,048,576")):
            await there.recv()


@FEW_KINDS
async def test_relay_notices_arrive_in_order_and_only_at_subscribers(kind: str) -> None:
    async with pair(kind) as (here, there):
        here.relays.notify(NAME, "from", 1)
        with there.relays.subscription(b"another"), there.relays.subscription(NAME):
            await here.send("message")
            here.relays.notify(NAME, "from", 2)
            here.relays.notify(NAME, "release")
            assert await there.relays.recv_notice(NAME) in (("from", 1), ("from", 2))
            while (notice := await there.relays.recv_notice(NAME)) != ("release", None):
                assert notice == ("from", 2)
        assert await there.recv() == "message"
