"""Connections that carry frames: their states from the beginning to the end, and the handlers of frames."""

import asyncio

import pytest

from aioparcs import ConnectionLost, EndOfChannel, Settings
from aioparcs.channel import FrameConnection
from aioparcs.channel.connection import ConnectionState
from aioparcs.testing import memory_pair
from aioparcs.wire import Frame, FrameType, encode_header
from tests.support.channels import FEW_KINDS, pair
from tests.support.waiting import until

OPEN, PEER_ENDED, SENDING_ENDED = ConnectionState.OPEN, ConnectionState.PEER_ENDED, ConnectionState.SENDING_ENDED
ENDED, CLOSING, CLOSED = ConnectionState.ENDED, ConnectionState.CLOSING, ConnectionState.CLOSED


@FEW_KINDS
async def test_each_side_ends_its_own_direction(kind: str) -> None:
    async with pair(kind) as (here, there):
        first, second = here.connection, there.connection
        assert (first.state, second.state) == (OPEN, OPEN)
        await here.send_eof()
        await until(lambda: second.state is PEER_ENDED)
        assert first.state is SENDING_ENDED
        await there.send_eof()
        await until(lambda: first.state is ENDED)
        assert second.state is ENDED
        closing = asyncio.ensure_future(here.aclose())
        await until(lambda: first.state is not ENDED)
        assert first.state.is_closing
        await asyncio.gather(closing, there.aclose())
        assert (first.state, second.state) == (CLOSED, CLOSED)


@FEW_KINDS
async def test_a_goodbye_ends_both_sides(kind: str) -> None:
    async with pair(kind) as (here, there):
        closing = asyncio.ensure_future(here.aclose())
        with pytest.raises(EndOfChannel):
            await there.recv()
        assert there.connection.state is ENDED
        await asyncio.gather(closing, there.aclose())
        assert (here.connection.state, there.connection.state) == (CLOSED, CLOSED)


@FEW_KINDS
async def test_an_abort_closes_at_once_and_the_peer_notices(kind: str) -> None:
    async with pair(kind) as (here, there):
        here.abort()
        assert here.connection.state is CLOSING
        await until(lambda: here.connection.state is CLOSED)
        with pytest.raises(ConnectionLost):
            await there.recv()
        await until(lambda: there.connection.state is CLOSED)


def test_states_never_go_back() -> None:
    order = list(ConnectionState)
    for state in ConnectionState:
        for after in (state.after_peer_ended(), state.after_sending_ended()):
            assert order.index(after) >= order.index(state)
        assert state.after_peer_ended().after_sending_ended() is state.after_sending_ended().after_peer_ended()
    assert [state for state in ConnectionState if state.is_closing] == [CLOSING, CLOSED]


async def test_frames_go_to_the_handlers_of_their_types_and_the_others_to_the_receiver() -> None:
    ends, (_, writer), _ = memory_pair()
    connection = FrameConnection(*ends, settings=Settings())
    handled: list[bytes] = []

    def handle_log(frame: Frame) -> bool:
        handled.append(bytes(frame.body))
        return bytes(frame.body) != b"for the receiver"

    connection.add_handler(FrameType.LOG, handle_log)
    for type, body in (
        (FrameType.LOG, b"one"),
        (FrameType.START, b"two"),
        (FrameType.LOG, b"for the receiver"),
        (FrameType.PONG, b""),
    ):
        writer.write(encode_header(type, len(body)) + body)
    connection.start()
    assert [(await connection.recv_frame())[:2] for _ in range(2)] == [
        (FrameType.START, b"two"),
        (FrameType.LOG, b"for the receiver"),
    ]
    assert handled == [b"one", b"for the receiver"]
    assert connection.inbox.unread == 0
    connection.abort()
    writer.transport.abort()
    await connection.aclose()


async def test_frames_that_arrive_before_the_start_are_not_lost() -> None:
    ends, (_, writer), _ = memory_pair()
    writer.write(encode_header(FrameType.START, 3) + b"one")
    await asyncio.sleep(0)
    connection = FrameConnection(*ends)
    await asyncio.sleep(0)
    connection.start()
    assert (await connection.recv_frame()).body == b"one"
    connection.abort()
    writer.transport.abort()
    await connection.aclose()
