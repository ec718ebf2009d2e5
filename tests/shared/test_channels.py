"""Messages whose arrays lie in shared memory: the same promises as ever, without a copy."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from aioparcs import ConnectionLost, EncodeError, ProtocolError, Settings, shared_array
from aioparcs.channel import Channel
from aioparcs.channel.connection import RECEIVING
from aioparcs.channel.connection.loans import mapped_frame
from aioparcs.settings import MIB
from aioparcs.shared import LEAST, own_probe
from aioparcs.wire import FrameType, Reference, encode_frame, encode_header
from tests.support.channels import SMALL, Pair, pair, waits
from tests.support.sharing import filled, is_mapped, memory_of, sharing_pair
from tests.support.waiting import until

SIZE = 1 << 18  # numbers of 8 bytes


async def test_an_array_arrives_without_a_copy_and_is_its_receivers_own() -> None:
    async with sharing_pair() as (here, there):
        array = filled(SIZE)
        await here.send(array)
        received = await there.recv()
        assert is_mapped(received)
        assert np.array_equal(received, array)
        before = array.copy()
        received[:] = 0
        assert np.array_equal(array, before)
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda array: array, id="as it is"),
        pytest.param(lambda array: array.reshape(512, -1), id="in another shape"),
        pytest.param(lambda array: array.reshape(512, -1).T, id="Fortran order"),
        pytest.param(lambda array: array[3:-1], id="a part of it"),
        pytest.param(lambda array: array.view("<c16"), id="as another type"),
        pytest.param(lambda array: array.view([("a", "<f4"), ("b", ">i4")]), id="as records"),
        pytest.param(lambda array: memoryview(array), id="as bytes"),
    ],
)
async def test_what_lies_in_one_piece_is_not_copied(change: Any) -> None:
    async with sharing_pair() as (here, there):
        value = change(filled(SIZE))
        sent = np.asarray(value).nbytes
        await here.send([value, 1])
        assert here.connection.outbox.loans.size == sent
        received, _ = await there.recv()
        if isinstance(value, memoryview):
            assert received == value.tobytes()
        else:
            assert is_mapped(received)
            assert (received.dtype, received.shape, received.flags.fnc) == (value.dtype, value.shape, value.flags.fnc)
            assert received.tobytes("A") == value.tobytes("A")
            assert received.flags.writeable


async def test_what_lies_in_several_pieces_or_is_small_or_empty_is_sent_as_bytes() -> None:
    async with sharing_pair() as (here, there):
        array = filled(SIZE)
        for value in (array[::2], array[: LEAST // 8 - 1], array[:0], shared_array((3, 0)), filled(SIZE) + 1):
            await here.send(value)
            received = await there.recv()
            assert np.array_equal(received, value)
            assert not is_mapped(received)
        assert array.flags.writeable


async def test_a_message_may_have_both_kinds_and_one_array_twice() -> None:
    async with sharing_pair() as (here, there):
        one, other, sent = filled(SIZE), filled(SIZE, 1), np.arange(SIZE)
        await here.send({"one": one, "sent": sent, "again": [one, other], "text": "x" * 10_000})
        received = await there.recv()
        assert [is_mapped(received[name]) for name in ("one", "sent")] == [True, False]
        assert np.array_equal(received["one"], one)
        assert np.array_equal(received["sent"], sent)
        assert np.array_equal(received["again"][0], one)
        assert np.array_equal(received["again"][1], other)


async def test_messages_of_all_sizes_keep_their_order() -> None:
    async with sharing_pair() as (here, there):
        values = [
            [1, filled(SIZE, 1), np.arange(SIZE), "two", filled(SIZE, 2)],
            3,
            filled(SIZE, 4),
            bytes(3 * MIB),
            "end",
        ]

        async def send() -> None:
            for value in [*values, *values]:
                await here.send(value)

        sending = asyncio.ensure_future(send())
        for value in [*values, *values]:
            received = await there.recv()
            if isinstance(value, list):
                assert all(map(np.array_equal, received, value))
            else:
                assert np.array_equal(received, value)
        await sending


async def test_calls_and_their_results_cross_too() -> None:
    async with sharing_pair() as (here, there):
        array = filled(SIZE)
        calling = asyncio.ensure_future(here.call("double", array, key=array))
        call = await there.call_server.recv_call()
        assert is_mapped(call.args[0])
        assert is_mapped(call.kwargs["key"])
        await there.call_server.send_result(call.id, True, filled(SIZE, 7))
        result = await calling
        assert is_mapped(result)
        assert np.array_equal(result, filled(SIZE, 7))


async def test_one_array_may_be_sent_to_many_and_again() -> None:
    array = filled(SIZE)
    async with sharing_pair() as (one, first), sharing_pair() as (two, second), pair("tcp") as (three, third):
        for _ in range(2):
            for sender, receiver in ((one, first), (two, second), (three, third)):
                await sender.send(array)
                received = await receiver.recv()
                assert np.array_equal(received, array)
                assert is_mapped(received) is (sender is not three)
                received += 1


async def test_the_memory_goes_with_its_last_user() -> None:
    async with sharing_pair() as (here, there):
        array = filled(SIZE)
        await here.send(array)
        assert here.connection.outbox.loans.size == array.nbytes
        del array
        assert len(memory_of()) == 1  # until it is mapped
        received = await there.recv()
        await until(lambda: not memory_of())
        assert here.connection.outbox.loans.size == 0
        assert np.array_equal(received, filled(SIZE))


async def test_recv_into_reads_it_into_memory_of_the_program() -> None:
    async with sharing_pair() as (here, there):
        array, target = filled(SIZE), np.zeros(SIZE + 10)
        receiving = asyncio.ensure_future(there.recv_into(target))
        await waits(receiving)
        await here.send(array)
        assert await receiving == array.nbytes
        assert np.array_equal(target[:SIZE], array)
        await here.send(array)
        await until(lambda: there.is_ready)
        target[:] = 0
        assert await there.recv_into(target) == array.nbytes
        assert np.array_equal(target[:SIZE], array)
        receiving = asyncio.ensure_future(there.recv_into(target))
        await waits(receiving)
        receiving.cancel()
        await asyncio.wait([receiving])
        await here.send(array)
        assert np.array_equal(await there.recv(), array)


# Flow control


async def test_a_receiver_that_does_not_receive_makes_the_sender_wait() -> None:
    async with sharing_pair(SMALL) as (here, there):
        arrays = [filled(SIZE, seed) for seed in range(20)]

        async def send() -> None:
            for array in arrays:
                await here.send(array)

        sending = asyncio.ensure_future(send())
        await until(lambda: there.statistics().bytes_unread > 0)
        await waits(sending)
        assert there.statistics().bytes_unread <= 2 * arrays[0].nbytes + 1000
        assert here.statistics().bytes_unsent >= arrays[0].nbytes
        for array in arrays:
            assert np.array_equal(await there.recv(), array)
        await sending
        await until(lambda: here.statistics().bytes_unsent == 0)
        assert here.statistics().bytes_sent == there.statistics().bytes_received
        assert there.statistics().bytes_unread == 0


async def test_mapped_memory_counts_against_the_budget() -> None:
    settings = Settings(receive_budget=5 * MIB)
    async with sharing_pair(settings) as (a, b), sharing_pair(settings) as (c, d), sharing_pair(settings) as (e, f):
        pairs = [(a, b), (c, d), (e, f)]
        for here, _ in pairs:
            await here.send(filled(SIZE))
        await until(lambda: RECEIVING.reserved >= 4 * MIB)
        held = [there for _, there in pairs if there.statistics().bytes_unread > MIB]
        assert len(held) == 2
        for _, there in pairs:
            assert np.array_equal(await there.recv(), filled(SIZE))
        assert RECEIVING.reserved == 0


async def test_the_peers_limits_count_what_is_mapped() -> None:
    async with sharing_pair(Settings(max_buffers=MIB)) as (here, _):
        with pytest.raises(EncodeError, match="accepts"):
            await here.send(filled(SIZE))


async def test_a_cancelled_send_is_not_sent_or_arrives_whole() -> None:
    async with sharing_pair(SMALL) as (here, there):
        first, second = filled(SIZE), filled(SIZE, 1)
        there.connection.transport.pause_reading()
        await here.send(first)
        sending = asyncio.ensure_future(here.send(second))
        await waits(sending)
        sending.cancel()
        await asyncio.wait([sending])
        assert second.flags.writeable
        there.connection.transport.resume_reading()
        assert np.array_equal(await there.recv(), first)
        await here.send("after")
        assert await there.recv() == "after"


# Ends


async def test_closing_waits_until_the_peer_has_mapped_what_was_sent() -> None:
    async with sharing_pair() as (here, there):
        there.connection.transport.pause_reading()
        await here.send(filled(SIZE))
        closing = asyncio.ensure_future(here.aclose(None))
        await waits(closing)
        there.connection.transport.resume_reading()
        received = await there.recv()
        assert [message async for message in there] == []
        await asyncio.gather(closing, there.aclose())
        assert np.array_equal(received, filled(SIZE))


async def test_both_ends_may_close_with_arrays_on_their_way() -> None:
    async with sharing_pair() as (here, there):
        await here.send(filled(SIZE))
        await there.send(filled(SIZE))
        await asyncio.gather(here.aclose(), there.aclose())
    await until(lambda: not memory_of())


async def test_an_array_reaches_a_peer_that_only_receives() -> None:
    async with sharing_pair() as (here, there):
        await there.send_eof()
        await here.send(filled(SIZE))
        assert np.array_equal(await there.recv(), filled(SIZE))
        await until(lambda: here.connection.outbox.loans.size == 0)


async def test_nothing_is_left_of_what_an_aborted_channel_has_lent() -> None:
    async with sharing_pair() as (here, there):
        there.connection.transport.pause_reading()
        await here.send(filled(SIZE))
        assert memory_of()
        here.abort()
        await until(lambda: not memory_of())


async def test_a_lost_connection_leaves_what_has_arrived() -> None:
    async with sharing_pair() as (here, there):
        await here.send(filled(SIZE))
        await until(lambda: there.is_ready)
        here.abort()
        assert np.array_equal(await there.recv(), filled(SIZE))
        with pytest.raises(ConnectionLost):
            await there.recv()
    gc.collect()
    assert not memory_of()


# Peers that break the rules


async def end_of(there: Any, stream: bytes) -> BaseException:
    """Feed a channel and return how it ends."""
    there.connection.reader.data_received(stream)
    with pytest.raises((ProtocolError, ConnectionLost)) as caught:
        await there.recv()
    return caught.value


def frame(*parts: tuple[int, int, int, int]) -> bytes:
    size = sum(part[3] for part in parts)
    return b"".join(map(bytes, encode_frame(FrameType.RAW, b"", (Reference(size, parts),))))


async def test_a_reference_to_what_is_no_shared_memory_ends_the_channel() -> None:
    async with sharing_pair() as (_, there):
        read, write = os.pipe()
        error = await end_of(there, frame((read, os.fstat(read).st_ino, 0, LEAST)))
        os.close(read)
        os.close(write)
        assert isinstance(error, ProtocolError)
        assert "no shared memory" in str(error)


async def test_a_reference_to_what_is_gone_ends_the_channel() -> None:
    async with sharing_pair() as (_, there):
        error = await end_of(there, frame((999_999, 1, 0, LEAST)))
        assert isinstance(error, ConnectionLost)
        assert "can't be opened" in str(error)


async def test_a_reference_before_it_is_allowed_ends_the_channel() -> None:
    async with pair("unix") as (_, there):
        assert "flags 0x03" in str(await end_of(there, frame((3, 1, 0, LEAST))))


@pytest.mark.parametrize("body", [b"\x05", b"\xff", b"\xa1x", b"", b"\xc1", b"\x00\x00"])
async def test_a_peer_that_has_mapped_more_than_it_can_ends_the_channel(body: bytes) -> None:
    async with sharing_pair() as (here, _):
        here.connection.reader.data_received(encode_header(FrameType.MAPPED, len(body)) + body)
        with pytest.raises(ProtocolError, match="MAPPED"):
            await here.recv()


@pytest.mark.parametrize("kind", ["tcp", "tls", "memory"])
async def test_only_unix_sockets_share(kind: str) -> None:
    async with pair(kind) as (here, there):
        for channel in (here, there):
            channel.connection.reader.share_memory(own_probe())
        array = filled(SIZE)
        sending = asyncio.ensure_future(here.send(array))
        received = await there.recv()
        await sending
        assert np.array_equal(received, array)
        assert not is_mapped(received)
        assert array.flags.writeable


async def test_a_peer_with_another_secret_gets_bytes() -> None:
    async with pair("unix") as (here, there):
        probe = own_probe()
        assert probe is not None
        there.connection.reader.share_memory(probe._replace(secret=bytes(16)))
        sending = asyncio.ensure_future(here.send(filled(SIZE)))
        assert not is_mapped(await there.recv())
        await sending


async def test_a_process_that_cannot_map_says_so_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    async with sharing_pair() as (here, there):
        monkeypatch.setattr("aioparcs.shared.mapping.map_shared", full)
        await here.send(filled(SIZE))
        with pytest.raises(ConnectionLost, match="no memory"):
            await there.recv()


@pytest.mark.parametrize("question", [True, (1, 1, bytes(16))])
async def test_a_second_question_ends_the_channel(question: Any) -> None:
    async with sharing_pair() as (here, _):
        here.connection.reader.data_received(mapped_frame(question))
        with pytest.raises(ProtocolError, match="second question"):
            await here.recv()


@asynccontextmanager
async def askable_pair(settings: Settings | None = None) -> AsyncIterator[Pair]:
    """Open two connected channels whose ends may ask each other if they map memory, and have not."""
    async with pair("unix", settings) as channels:
        for channel in channels:
            channel.connection.reader.share_memory(own_probe())
        yield channels


async def test_both_ends_may_send_their_first_array_at_once() -> None:
    arrays = [filled(SIZE, seed) for seed in range(2)]
    async with askable_pair() as channels:

        async def exchange(channel: Channel, seed: int) -> None:
            array = arrays[seed]
            for text in "ab":  # right before, so that what follows waits for the end of the loop's iteration
                await channel.send(text)
            await channel.send(array)
            assert [await channel.recv() for _ in "ab"] == ["a", "b"]
            received = await channel.recv()
            assert np.array_equal(received, filled(SIZE, 1 - seed))
            assert is_mapped(received)

        await asyncio.gather(*map(exchange, channels, range(2)))


async def test_what_is_sent_while_an_array_waits_for_the_answer_comes_behind_it() -> None:
    async with askable_pair(Settings(send_queue=8 * MIB)) as (here, there):
        there.connection.transport.pause_reading()
        sending = asyncio.ensure_future(here.send(filled(SIZE)))
        await waits(sending)
        await there.send("a message that makes the connection idle")
        await here.recv()
        following = asyncio.ensure_future(here.send("after"))
        closing = asyncio.ensure_future(here.aclose(None))
        await asyncio.sleep(0)
        there.connection.transport.resume_reading()
        assert np.array_equal(await there.recv(), filled(SIZE))
        assert [message async for message in there] == ["after"]
        await asyncio.gather(sending, following, closing, there.aclose())


async def test_a_question_that_came_with_the_handshake_is_answered() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        reader.feed_data(mapped_frame(True))
        channel = Channel(reader, writer, peer_memory=own_probe())
        assert await asyncio.get_running_loop().sock_recv(theirs, 64) == mapped_frame(0)
        channel.abort()
