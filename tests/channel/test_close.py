"""The channel's contract: the two ends of its life, and the ways in which it breaks."""

import asyncio
import time
from typing import Any

import msgpack
import pytest

from aioparcs import Channel, ChannelClosed, ConnectionLost, EndOfChannel, ProtocolError, RemoteError, Settings
from aioparcs.channel import encode_error
from aioparcs.settings import KIB
from aioparcs.wire import FrameType
from tests.support.channels import KINDS, SMALL, block, pair, waits
from tests.support.waiting import PATIENCE, until

pytestmark = KINDS


async def collect(channel: Channel) -> list[Any]:
    return [message async for message in channel]


async def test_aclose_delivers_what_was_sent(kind: str) -> None:
    messages = [b"x" * 3_000_000, "small", b"y" * 100_000, *range(1000)]
    async with pair(kind) as (here, there):
        receiving = asyncio.ensure_future(collect(there))
        await here.send_all(*messages)
        await here.aclose()
        assert await receiving == messages
        with pytest.raises(EndOfChannel):
            await there.recv()
        with pytest.raises(EndOfChannel):
            await there.send("never received")


async def test_messages_can_be_received_after_the_peer_has_closed(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send_all("one", "two")
        await here.aclose()  # no receiver is needed for that
        assert await there.recv() == "one"
        assert await collect(there) == ["two"]
        assert await collect(there) == []
        with pytest.raises(EndOfChannel):
            await there.recv()


async def test_operations_on_a_closed_end_raise_channel_closed(kind: str) -> None:
    async with pair(kind) as (here, there):
        await there.send("unread")
        await until(lambda: here.is_ready)
        await here.aclose()
        for operation in (
            here.recv,
            here.call_server.recv_call,
            lambda: here.send(1),
            here.send_eof,
            lambda: here.call("f"),
        ):
            with pytest.raises(ChannelClosed):
                await operation()
        with pytest.raises(ChannelClosed):
            await anext(here)


async def test_aclose_ends_all_operations_that_wait_at_this_end(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        await block(here, there)
        waiting = [asyncio.ensure_future(operation) for operation in (here.recv(), here.send(1), here.send(2))]
        for task in waiting:
            await waits(task)
        await here.aclose(0.1)
        for task in waiting:
            with pytest.raises(ChannelClosed):
                await task


async def test_aclose_is_idempotent(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send("x")
        await asyncio.gather(here.aclose(), here.aclose(), here.aclose())
        await here.aclose()
        assert await collect(there) == ["x"]


async def test_both_ends_may_close_at_once(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send_all(*range(100), b"x" * 2_000_000)
        await there.send_all(*range(100), b"x" * 2_000_000)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(here.aclose(), there.aclose())


async def test_bytes_unread_in_the_other_direction_cost_nothing(kind: str) -> None:
    async with pair(kind) as (here, there):
        await there.send_all(*("x" * 1000 for _ in range(200)))
        await until(lambda: here.statistics().bytes_unread > 200_000)
        messages = [b"y" * 1_000_000, *range(1000)]
        await here.send_all(*messages)
        closing = asyncio.ensure_future(here.aclose())
        assert await collect(there) == messages
        await closing


async def test_a_full_pipe_in_the_other_direction_costs_nothing(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        await block(there, here)
        await here.send_all("one", "two")
        await here.aclose()
        assert await collect(there) == ["one", "two"]


async def test_aclose_is_abrupt_at_its_deadline(kind: str) -> None:
    async with pair(kind, SMALL._replace(close_timeout=60.0)) as (here, there):
        await block(here, there)
        start = time.monotonic()
        await here.aclose(0.2)
        assert 0.15 < time.monotonic() - start < PATIENCE
        with pytest.raises(ConnectionLost):
            await collect(there)


async def test_aclose_takes_its_deadline_from_the_settings(kind: str) -> None:
    async with pair(kind, SMALL._replace(close_timeout=0.1)) as (here, there):
        await block(here, there)
        async with asyncio.timeout(PATIENCE):
            await here.aclose()


async def test_aclose_without_a_deadline_waits_for_the_reader(kind: str) -> None:
    async with pair(kind, SMALL._replace(close_timeout=0.01)) as (here, there):
        sent = await block(here, there)
        closing = asyncio.ensure_future(here.aclose(None))
        await waits(closing)
        assert await collect(there) == sent
        await closing


async def test_cancelled_aclose_aborts(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        await block(here, there)
        closing = asyncio.ensure_future(here.aclose())
        await waits(closing)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await here.aclose()
        assert here.statistics().state == "closed"
        with pytest.raises(ConnectionLost):
            await collect(there)


async def test_leaving_the_block_closes_and_leaving_it_on_an_error_aborts(kind: str) -> None:
    async with pair(kind) as (here, there):
        async with here:
            await here.send("delivered")
        assert await collect(there) == ["delivered"]
    async with pair(kind) as (here, there):
        with pytest.raises(KeyError):
            async with here:
                raise KeyError
        with pytest.raises(ConnectionLost):
            await there.recv()


async def test_abort_is_at_once(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        await block(here, there)
        receiving, sending = asyncio.ensure_future(here.recv()), asyncio.ensure_future(here.send(b"x" * 100_000))
        calling = asyncio.ensure_future(there.call("f"))
        for task in (receiving, sending):
            await waits(task)
        here.abort()
        async with asyncio.timeout(PATIENCE):
            for waiting in (receiving, sending):
                with pytest.raises(ChannelClosed):
                    await waiting
            with pytest.raises(ChannelClosed):
                await here.recv()
            with pytest.raises(ConnectionLost):
                await collect(there)
            with pytest.raises(ConnectionLost):
                await calling
            with pytest.raises(ConnectionLost):
                await there.send("never received")
        here.abort()


async def test_abort_with_a_reason_raises_it(kind: str) -> None:
    async with pair(kind) as (here, there):
        await there.send("arrived before")
        await until(lambda: here.is_ready)
        here.abort(ProtocolError("a reason"))
        assert await here.recv() == "arrived before"
        for operation in (here.recv, lambda: here.send(1), lambda: here.call("f")):
            with pytest.raises(ProtocolError, match="a reason"):
                await operation()


async def test_send_eof_ends_one_direction(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send_all("the last", b"x" * 200_000)
        await here.send_eof()
        with pytest.raises(ChannelClosed):
            await here.send("more")
        assert await collect(there) == ["the last", b"x" * 200_000]
        with pytest.raises(EndOfChannel):
            await there.call("never answered")
        await there.send_all("an answer", b"y" * 200_000)
        assert await here.recv() == "an answer"
        await there.aclose()
        assert await collect(here) == [b"y" * 200_000]


async def test_send_eof_from_both_ends(kind: str) -> None:
    async with pair(kind) as (here, there):
        await asyncio.gather(here.send("x"), there.send("y"))
        await asyncio.gather(here.send_eof(), there.send_eof())
        assert await collect(here) == ["y"]
        assert await collect(there) == ["x"]
        async with asyncio.timeout(PATIENCE):
            await here.aclose()
            await there.aclose()


async def test_the_end_of_the_stream_without_a_goodbye_is_a_loss(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send("whole")
        await until(lambda: there.is_ready)
        here.connection.transport.abort()
        assert await there.recv() == "whole"
        with pytest.raises(ConnectionLost):
            await there.recv()
        with pytest.raises(ConnectionLost):
            await there.send(1)
        with pytest.raises(ConnectionLost):
            await anext(there)


async def test_a_failed_program_is_a_remote_error_and_the_builtin(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send("before")
        await here.connection.send_frame(FrameType.ERROR, msgpack.packb(encode_error(ValueError("no such number"))))
        await here.aclose()
        assert await there.recv() == "before"
        with pytest.raises(ValueError, match="no such number") as caught:
            await there.recv()
        assert isinstance(caught.value, RemoteError)
        with pytest.raises(RemoteError):
            await anext(there)
        with pytest.raises(RemoteError):
            await there.send(1)


@pytest.mark.slow
async def test_a_large_message_that_is_never_received_ends_with_its_channel(kind: str) -> None:
    async with pair(kind, Settings(send_queue=64 * KIB)) as (here, there):
        sending = asyncio.ensure_future(here.send(bytearray(50_000_000)))
        await until(lambda: there.statistics().bytes_received > 100_000)
        await there.aclose(0)
        with pytest.raises((ConnectionLost, EndOfChannel)):
            await here.send_all(*["more"] * 100_000)
        await sending
