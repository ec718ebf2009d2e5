"""Large buffers: uncopied on their way, the caller's again when `send` returns, received where they belong."""

import asyncio
from typing import Any

import numpy as np
import pytest

from aioparcs import BusyError, ConnectionLost, Settings
from aioparcs.settings import MIB
from tests.support.channels import KINDS, SMALL, at_once, pair, stop_reading, waits
from tests.support.waiting import until

pytestmark = KINDS

CHANGEABLE = pytest.mark.parametrize("make", [bytearray, lambda data: np.frombuffer(bytearray(data), "u1")])


def pattern(size: int) -> bytes:
    return bytes(range(251)) * (size // 251 + 1)


def flat(message: Any) -> bytes:
    return message.tobytes() if isinstance(message, np.ndarray) else message


@pytest.mark.slow
@CHANGEABLE
async def test_a_buffer_may_change_when_send_returns(kind: str, make: Any) -> None:
    original = pattern(3 * MIB)
    async with pair(kind, SMALL) as (here, there):
        buffer, before = make(original), await stop_reading(here, there)
        sending = asyncio.ensure_future(here.send(buffer))
        await waits(sending)  # the reader is slow: most of the buffer is still here
        for _ in range(before):
            await there.recv()
        receiving = asyncio.ensure_future(there.recv())
        await sending
        buffer[:] = make(bytes(len(buffer)))
        assert flat(await receiving) == original


@pytest.mark.slow
@CHANGEABLE
async def test_a_buffer_may_change_when_the_wait_is_cancelled_and_arrives_as_it_was(kind: str, make: Any) -> None:
    original = pattern(3 * MIB)
    async with pair(kind, SMALL) as (here, there):
        buffer, before = make(original), await stop_reading(here, there)
        sending = asyncio.ensure_future(here.send(buffer))
        await waits(sending)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        buffer[:] = make(bytes(len(buffer)))
        after = asyncio.ensure_future(here.send("after"))
        for _ in range(before):
            await there.recv()
        assert flat(await there.recv()) == original
        assert await there.recv() == "after"
        await after


async def test_several_buffers_of_one_message_may_change_too(kind: str) -> None:
    arrays = [np.full(200_000 + i, i) for i in range(5)]
    async with pair(kind, SMALL) as (here, there):
        before = await stop_reading(here, there)
        sending = asyncio.ensure_future(here.send({"arrays": arrays, "bytes": pattern(50_000)}))
        await waits(sending)
        sending.cancel()
        await asyncio.wait([sending])
        for array in arrays:
            array[:] = -1
        for _ in range(before):
            await there.recv()
        message = await there.recv()
        assert all((array == i).all() and len(array) == 200_000 + i for i, array in enumerate(message["arrays"]))
        assert message["bytes"] == pattern(50_000)


async def test_bytes_are_accepted_without_a_wait(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        before = await stop_reading(here, there)
        at_once(here.send(pattern(5 * MIB)))  # no peer reads, and no program can change it
        for _ in range(before):
            await there.recv()
        assert await there.recv() == pattern(5 * MIB)


@pytest.mark.slow
async def test_small_frames_never_enter_a_large_one(kind: str) -> None:
    """The rest of a large message waits for its turn; a goodbye, a reply to a ping and a cancelled call wait behind."""
    async with pair(kind) as (here, there):
        await there.send("so that the next small frame of the other end may leave at once")
        await here.recv()
        await here.send(pattern(12 * MIB))
        calling = asyncio.ensure_future(here.call("f"))
        await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait([calling])
        closing = asyncio.ensure_future(here.aclose())
        assert await there.recv() == pattern(12 * MIB)
        await closing


@pytest.mark.parametrize("size", [1, 100, 8191, 8192, 100_000, 1 * MIB, 3 * MIB + 1])
async def test_recv_into_fills_the_buffer(kind: str, size: int) -> None:
    data = pattern(size)[:size]
    async with pair(kind) as (here, there):
        for message in (data, np.frombuffer(data, "u1"), bytearray(data)):
            sending = asyncio.ensure_future(here.send(message))
            buffer = bytearray(size + 10)
            assert await there.recv_into(buffer) == size
            assert buffer == data + bytes(10)
            await sending
        assert there.statistics().bytes_unread == 0
        await here.send("next")
        assert await there.recv() == "next"


@pytest.mark.slow
async def test_recv_into_an_array(kind: str) -> None:
    array = np.arange(600_000.0).reshape(300, 2000)
    async with pair(kind) as (here, there):
        sending = asyncio.ensure_future(here.send_all(array, array, array + 1))
        buffer = np.empty((3, 300, 2000))
        for i in range(3):  # three parts of one memory: no message may land in the part of another
            assert await there.recv_into(buffer[i]) == array.nbytes
        assert np.array_equal(buffer, np.stack([array, array, array + 1]))
        await sending


async def test_a_large_message_is_received_straight_into_the_buffer(kind: str) -> None:
    buffer = np.zeros(4 * MIB, "u1")
    async with pair(kind) as (here, there):
        receiving = asyncio.ensure_future(there.recv_into(buffer))
        await waits(receiving)
        sending = asyncio.ensure_future(here.send(np.full(4 * MIB, 1, "u1")))
        await until(lambda: there.statistics().bytes_received > 1 * MIB)
        arrived = there.statistics().bytes_received
        assert receiving.done() or buffer.sum() > arrived - 1000  # it is there while the rest is still on its way
        assert await receiving == 4 * MIB
        assert buffer.all()
        await sending


@pytest.mark.parametrize("size", [100, 100_000, 2 * MIB])
async def test_a_buffer_that_is_too_small_leaves_the_message_first_in_line(kind: str, size: int) -> None:
    async with pair(kind) as (here, there):
        sending = asyncio.ensure_future(here.send(pattern(size)))
        with pytest.raises(ValueError, match="buffer only"):
            await there.recv_into(bytearray(size - 1))
        buffer = bytearray(len(pattern(size)))
        assert await there.recv_into(buffer) == len(buffer)
        assert buffer == pattern(size)
        await sending


async def test_recv_into_leaves_a_message_that_is_not_bytes_first_in_line(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send_all({"a": 1}, [b"x" * 10_000])
        for message in ({"a": 1}, [b"x" * 10_000]):
            with pytest.raises(TypeError, match="recv"):
                await there.recv_into(bytearray(20_000))
            assert await there.recv() == message


async def test_recv_into_needs_a_writable_buffer(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send(b"x")
        with pytest.raises(TypeError):
            await there.recv_into(b"not writable")
        assert await there.recv() == b"x"


@pytest.mark.slow
async def test_recv_into_cancelled_half_way_leaves_the_message_unharmed(kind: str) -> None:
    original = pattern(4 * MIB)
    async with pair(kind, SMALL) as (here, there):
        buffer = bytearray(len(original))
        receiving = asyncio.ensure_future(there.recv_into(buffer))
        await asyncio.sleep(0)
        sending = asyncio.ensure_future(here.send(original))
        await until(lambda: there.statistics().bytes_received > 200_000)
        if receiving.cancel():
            with pytest.raises(asyncio.CancelledError):
                await receiving
            buffer[:] = bytes(len(buffer))
            assert await there.recv() == original
            assert not any(buffer)
        await sending
        await here.send("next")
        assert await there.recv() == "next"


@pytest.mark.slow
async def test_a_busy_recv_into_does_not_disturb_the_one_that_waits(kind: str) -> None:
    original = pattern(4 * MIB)
    async with pair(kind, SMALL) as (here, there):
        buffer = bytearray(len(original))
        receiving = asyncio.ensure_future(there.recv_into(buffer))
        await asyncio.sleep(0)
        sending = asyncio.ensure_future(here.send(original))
        await until(lambda: there.statistics().bytes_received > 200_000)
        if not receiving.done():
            with pytest.raises(BusyError):
                await there.recv_into(bytearray(len(original)))
            receiving.cancel()
            await asyncio.wait([receiving])
            buffer[:] = bytes(len(buffer))
            assert await there.recv() == original
            assert not any(buffer)
        await sending


@pytest.mark.slow
async def test_a_connection_lost_half_way_is_a_loss_for_recv_into(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        receiving = asyncio.ensure_future(there.recv_into(bytearray(81 * MIB)))
        await asyncio.sleep(0)
        await here.send(pattern(80 * MIB))
        await until(lambda: there.statistics().bytes_received > 200_000)
        here.abort()
        with pytest.raises(ConnectionLost):
            await receiving


async def test_received_bytes_do_not_share_memory_with_the_decoder(kind: str) -> None:
    async with pair(kind, Settings(receive_queue=16 * MIB)) as (here, there):
        sending = asyncio.ensure_future(here.send_all(*(bytes([i]) * (i * 5000) for i in range(50))))
        assert [await there.recv() for _ in range(50)] == [bytes([i]) * (i * 5000) for i in range(50)]
        await sending
