"""Streams over a connection: the frames that a caller of any language sends and gets, and what breaks them."""

import asyncio
from typing import Any

import msgpack
import numpy as np
import pytest

from aioparcs import ConnectionLost, DecodeError, ProtocolError, RemoteError, wire
from aioparcs.channel import STREAM, Call, CallStream, encode_error
from tests.support.channels import FEW_KINDS, Pair, pair
from tests.support.waiting import until

pytestmark = FEW_KINDS


class Served:
    """The serving end: the call that opened the stream, and what the caller has reported since."""

    def __init__(self, ends: Pair) -> None:
        self.server = ends[1].call_server
        self.credits: list[tuple[int, int]] = []
        self.cancelled: list[int] = []
        self.server.on_credit = lambda call_id, taken: self.credits.append((call_id, taken))
        self.server.on_cancel = self.cancelled.append
        self.stream: CallStream = ends[0].calls.open_stream("lines", ["a"], {"b": 1}, 2.5)
        self.call: Call

    async def begin(self) -> None:
        self.call = await self.server.recv_call()

    async def send(self, ok: bool | None, value: Any = None) -> None:
        await self.server.send_result(self.call.id, ok, value)


async def test_items_then_the_end(kind: str) -> None:
    async with pair(kind) as ends:
        served = Served(ends)
        await served.begin()
        assert (served.call.name, served.call.kwargs) == (STREAM, {})
        assert served.call.args == [2.5, "lines", ["a"], {"b": 1}, 64, 4 << 20]
        items: list[Any] = ["small", None, [1, (2, 3)], "x" * 5000, np.arange(100_000)]
        for item in items:
            await served.send(None, item)
        await served.send(True)
        taken = [await served.stream.take() for _ in items]
        assert taken[:4] == items[:4]
        assert np.array_equal(taken[4], items[4])
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await served.stream.take()
        assert served.stream.has_ended
        assert served.stream.count == len(items)


async def test_credit_comes_with_each_half_of_the_window(kind: str) -> None:
    async with pair(kind) as ends:
        served = Served(ends)
        await served.begin()
        for i in range(64):
            await served.send(None, i)
        assert [await served.stream.take() for _ in range(31)] == list(range(31))
        assert served.credits == []
        assert await served.stream.take() == 31
        await until(lambda: served.credits == [(served.call.id, 32)])
        for _ in range(2):
            await served.send(None, bytes(1 << 20))
        for _ in range(32):
            await served.stream.take()
        await until(lambda: served.credits[-1] == (served.call.id, 64))
        for _ in range(2):
            await served.stream.take()
        await until(lambda: served.credits[-1] == (served.call.id, 66))
        await served.send(True)
        with pytest.raises(StopAsyncIteration):
            await served.stream.take()


async def test_a_cancelled_stream_discards_what_still_comes(kind: str) -> None:
    async with pair(kind) as ends:
        served = Served(ends)
        await served.begin()
        await served.send(None, 1)
        assert await served.stream.take() == 1
        reading = asyncio.ensure_future(served.stream.take())
        await asyncio.sleep(0)
        served.stream.cancel()
        served.stream.cancel()
        with pytest.raises(StopAsyncIteration):
            await reading
        await until(lambda: served.cancelled == [served.call.id])
        await served.send(None, 2)
        await served.send(False, encode_error(asyncio.CancelledError()))
        await served.stream.wait_ended(20)
        assert served.stream.has_ended
        with pytest.raises(StopAsyncIteration):
            await served.stream.take()


async def test_an_item_that_cannot_be_decoded_ends_the_stream(kind: str) -> None:
    async with pair(kind) as ends:
        served = Served(ends)
        await served.begin()
        await served.send(None, 1)
        body = msgpack.packb([served.call.id, None, msgpack.ExtType(5, msgpack.packb(["nowhere", 1]))])
        ends[1].connection.post_frame(wire.FrameType.RESULT, body)
        assert await served.stream.take() == 1
        with pytest.raises(DecodeError, match="nowhere"):
            await served.stream.take()
        await until(lambda: served.cancelled == [served.call.id])


async def test_a_peer_that_knows_no_streams_answers_with_an_error(kind: str) -> None:
    async with pair(kind) as ends:
        served = Served(ends)
        await served.begin()
        await served.send(False, encode_error(LookupError("no function 'aioparcs.stream' is served here")))
        with pytest.raises(RemoteError, match=r"aioparcs\.stream"):
            await served.stream.take()
        assert served.credits == []


async def test_the_end_of_the_connection_comes_behind_the_items(kind: str) -> None:
    async with pair(kind) as ends:
        served = Served(ends)
        await served.begin()
        await served.send(None, 1)
        await ends[1].call_server.connection.outbox.drain()
        assert await served.stream.take() == 1
        await served.send(None, 2)
        await until(lambda: served.stream.count == 2)
        ends[1].abort()
        await until(lambda: served.stream.has_ended)
        assert await served.stream.take() == 2
        with pytest.raises(ConnectionLost):
            await served.stream.take()
        with pytest.raises(ConnectionLost):
            ends[0].calls.open_stream("lines", [], {}, None)


async def test_a_result_of_a_call_is_no_item(kind: str) -> None:
    async with pair(kind) as (here, there):
        calling = asyncio.ensure_future(here.call("f"))
        call = await there.call_server.recv_call()
        await there.call_server.send_result(call.id, None, 1)
        with pytest.raises(DecodeError, match="malformed"):
            await calling


@pytest.mark.parametrize("body", [b"", b"\xc0", msgpack.packb([1]), msgpack.packb([1, 2, 3])], ids="0123")
async def test_a_malformed_credit_ends_the_channel(kind: str, body: bytes) -> None:
    async with pair(kind) as (here, there):
        here.connection.post_frame(wire.FrameType.CREDIT, body)
        with pytest.raises(ProtocolError, match="a CREDIT is"):
            await there.recv()


async def test_credit_for_nothing_is_ignored(kind: str) -> None:
    async with pair(kind) as (here, there):
        for body in ([7, 1], [7, "x"], ["x", 1]):
            here.connection.post_frame(wire.FrameType.CREDIT, msgpack.packb(body))
        await here.send("after")
        assert await there.recv() == "after"
