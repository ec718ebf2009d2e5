"""Calls over every kind of connection: many at once, cancelled, failing, and cut off."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import msgpack
import numpy as np
import pytest

from aioparcs import (
    Channel,
    ChannelClosed,
    ConnectionLost,
    DecodeError,
    EncodeError,
    EndOfChannel,
    ProtocolError,
    RemoteError,
    codec,
    wire,
)
from aioparcs.channel import encode_error
from tests.support.channels import FEW_KINDS, SMALL, pair, waits
from tests.support.waiting import until

pytestmark = FEW_KINDS


async def serve(channel: Channel) -> None:
    """Answer calls, the way a program with functions does, until the peer has no more."""

    async def answer(call: Any) -> None:
        try:
            if call.name == "fail":
                raise ValueError(*call.args)
            if call.name == "never":
                await asyncio.Event().wait()
            result = object() if call.name == "unserialisable" else [*call.args, call.kwargs]
            await channel.call_server.send_result(call.id, True, result)
        except (ValueError, EncodeError) as error:
            await channel.call_server.send_result(call.id, False, encode_error(error))

    running: dict[int, asyncio.Task[None]] = {}

    def cancel(call_id: int) -> None:
        if call_id in running:
            running[call_id].cancel()

    channel.call_server.on_cancel = cancel
    try:
        while True:
            call = await channel.call_server.recv_call()
            running[call.id] = asyncio.ensure_future(answer(call))
    except EndOfChannel:
        await asyncio.wait(running.values())


async def test_a_call_returns_what_the_peer_returns(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(there))
        assert await here.call("f", 1, "two", key=b"three") == [1, "two", {"key": b"three"}]
        large = np.arange(100_000)
        array, _ = await here.call("f", large)
        assert np.array_equal(array, large)
        assert await here.call("f") == [{}]
        await here.aclose()


async def test_hundreds_of_calls_may_be_on_their_way_at_once(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(there))
        results = await asyncio.gather(*(here.call("f", i, b"x" * (i % 3 * 9000)) for i in range(200)))
        assert results == [[i, b"x" * (i % 3 * 9000), {}] for i in range(200)]
        await here.aclose()


async def test_results_come_in_any_order(kind: str) -> None:
    async with pair(kind) as (here, there):
        calls = [asyncio.ensure_future(here.call("f", i)) for i in range(5)]
        got = [await there.call_server.recv_call() for _ in range(5)]
        for call in reversed(got):
            await there.call_server.send_result(call.id, True, call.args[0])
        assert await asyncio.gather(*calls) == list(range(5))


async def test_both_ends_may_call(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(here))
        group.create_task(serve(there))
        results = await asyncio.gather(here.call("f", 1), there.call("f", 2))
        assert list(results) == [[1, {}], [2, {}]]
        await asyncio.gather(here.send_eof(), there.send_eof())


async def test_calls_and_messages_share_a_channel(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send("first")
        calling = asyncio.ensure_future(here.call("f"))
        assert await there.recv() == "first"
        call = await there.call_server.recv_call()
        await there.send("second")
        await there.call_server.send_result(call.id, True, "result")
        assert await here.recv() == "second"
        assert await calling == "result"


async def test_the_peers_exception_is_raised_here_and_the_next_call_works(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(there))
        with pytest.raises(ValueError, match="no such number") as caught:
            await here.call("fail", "no such number")
        assert isinstance(caught.value, RemoteError)
        assert "in answer" in caught.value.traceback
        assert await here.call("f") == [{}]
        await here.aclose()


async def test_a_result_that_cannot_be_encoded_is_an_error_of_that_call(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(there))
        with pytest.raises(TypeError, match="cannot be sent") as caught:
            await here.call("unserialisable")
        assert isinstance(caught.value, RemoteError)
        assert await here.call("f") == [{}]
        await here.aclose()


async def test_an_argument_that_cannot_be_encoded_is_not_sent(kind: str) -> None:
    async with pair(kind) as (here, there):
        with pytest.raises(EncodeError):
            await here.call("f", object())
        calling = asyncio.ensure_future(here.call("g"))
        assert (await there.call_server.recv_call()).name == "g"
        calling.cancel()
        await asyncio.wait([calling])


async def test_cancelling_a_call_cancels_it_at_the_peer(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(there))
        calls = [asyncio.ensure_future(here.call("never")) for _ in range(3)]
        await here.call("f")
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert await here.call("f") == [{}]
        await here.aclose()  # the peer's functions have ended, or `serve` would wait forever


async def test_a_result_that_comes_after_the_cancellation_is_dropped(kind: str) -> None:
    async with pair(kind) as (here, there):
        first = asyncio.ensure_future(here.call("f"))
        call = await there.call_server.recv_call()
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.ensure_future(here.call("f"))
        await there.call_server.send_result(call.id, True, "late")
        await there.call_server.send_result((await there.call_server.recv_call()).id, True, "second")
        assert await second == "second"


async def test_the_end_of_the_channel_ends_the_calls(kind: str) -> None:
    for end, error in (("aclose", EndOfChannel), ("send_eof", EndOfChannel), ("abort", ConnectionLost)):
        async with pair(kind) as (here, there):
            calls = [asyncio.ensure_future(here.call("f", i)) for i in range(3)]
            for _ in calls:
                await there.call_server.recv_call()
            ending = getattr(there, end)()
            if ending:
                await ending
            for call in calls:
                with pytest.raises(error):
                    await call
            with pytest.raises(error):
                await here.call("f")


async def test_closing_this_end_ends_its_calls(kind: str) -> None:
    async with pair(kind) as (here, there):
        calling = asyncio.ensure_future(here.call("f"))
        await there.call_server.recv_call()
        await here.aclose()
        with pytest.raises(ChannelClosed):
            await calling


async def test_calls_that_wait_for_room_end_with_the_connection(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        calls = [asyncio.ensure_future(here.call("f", b"x" * 50_000)) for _ in range(200)]
        await waits(calls[-1])
        there.abort()
        for call in calls:
            with pytest.raises(ConnectionLost):
                await call


@pytest.mark.slow
async def test_a_program_that_only_receives_declines_calls(kind: str) -> None:
    async with pair(kind) as (here, there):
        calls = [asyncio.ensure_future(here.call("f", i)) for i in range(600)]  # no recursion for each of them
        receiving = asyncio.ensure_future(there.recv())
        for call in calls:
            with pytest.raises(LookupError, match="takes no calls"):
                await call
        await here.send("a message")
        assert await receiving == "a message"


async def test_a_program_that_only_answers_calls_refuses_messages(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send("a message")
        with pytest.raises(ProtocolError, match="call"):
            await there.call_server.recv_call()


async def test_a_call_that_cannot_be_decoded_is_answered_with_an_error(kind: str) -> None:
    async with pair(kind) as (here, there):
        receiving = asyncio.ensure_future(there.call_server.recv_call())
        future = here.calls._pending[5] = asyncio.get_running_loop().create_future()
        await here.connection.send_frame(wire.FrameType.CALL, msgpack.packb([5, "f", msgpack.ExtType(99, b"")]))
        frame = await future
        assert msgpack.unpackb(frame.body)[2]["type"] == "DecodeError"
        calling = asyncio.ensure_future(here.call("f"))
        assert (await receiving).name == "f"
        calling.cancel()
        await asyncio.wait([calling])


async def test_a_result_that_cannot_be_decoded_is_an_error_of_that_call(kind: str) -> None:
    async with pair(kind) as (here, there):
        calling = asyncio.ensure_future(here.call("f"))
        call = await there.call_server.recv_call()
        await there.connection.send_frame(
            wire.FrameType.RESULT, msgpack.packb([call.id, True, msgpack.ExtType(99, b"")])
        )
        with pytest.raises(DecodeError):
            await calling
        for malformed in (msgpack.packb([1]), msgpack.packb([1, True, 2, 3])):
            calling = asyncio.ensure_future(here.call("f"))
            call = await there.call_server.recv_call()
            await there.connection.send_frame(wire.FrameType.RESULT, malformed.replace(b"\x01", bytes([call.id]), 1))
            with pytest.raises(DecodeError):
                await calling
        await until(lambda: here.statistics().bytes_unread == 0)


@contextmanager
def attempts() -> Iterator[list[str]]:
    """Count the extensions that the decoder is asked to make."""
    seen: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is codec.extension.__call__.__code__:
            seen.append(event)

    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("text, count", [("", 1), ("x" * 600, 2)], ids=["short", "long"])
async def test_a_long_body_that_needs_a_check_is_decoded_once_without_it_and_once_with_it(
    kind: str, text: str, count: int
) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(serve(there))
        with attempts() as seen:
            assert await here.call("f", 2**70, text) == [2**70, text, {}]
        assert len(seen) == 2 * count  # the call and its result
        await here.aclose()
    async with pair(kind) as (here, there):
        await here.send([2**70, text])
        with attempts() as seen:
            assert await there.recv() == [2**70, text]
        assert len(seen) == count
