"""The budget of large messages that all channels of a process share; no receiver waits forever for it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from aioparcs import Channel, ConnectionLost, Settings
from aioparcs.channel.connection import RECEIVING
from aioparcs.settings import MIB
from aioparcs.wire import FrameType, encode_header
from tests.support.channels import FEW_KINDS, Pair, both, pair, streams, waits
from tests.support.waiting import PATIENCE, until

pytestmark = FEW_KINDS

# Room for two of the messages below.
SETTINGS = Settings(receive_budget=5 * MIB)
SIZE = 2 * MIB


def large(number: int) -> bytearray:
    return bytearray([number]) * SIZE


async def pairs(stack: AsyncExitStack, kind: str, count: int) -> list[Pair]:
    assert RECEIVING.reserved == 0
    return [await stack.enter_async_context(pair(kind, SETTINGS)) for _ in range(count)]


def arrived(channel: Channel) -> bool:
    return channel.statistics().bytes_unread >= SIZE


async def test_a_large_message_waits_for_the_budget_and_arrives_when_it_is_released(kind: str) -> None:
    async with AsyncExitStack() as stack:
        channels = await pairs(stack, kind, 4)
        sendings = [asyncio.ensure_future(here.send(large(i))) for i, (here, _) in enumerate(channels)]
        await until(lambda: sum(arrived(there) for _, there in channels) == 2)
        await asyncio.wait(sendings, timeout=0.05)
        assert RECEIVING.reserved == 2 * SIZE
        assert sum(arrived(there) for _, there in channels) == 2
        full = [i for i, (_, there) in enumerate(channels) if arrived(there)]
        for i in full:
            assert await channels[i][1].recv() == large(i)
        await until(lambda: all(arrived(there) for i, (_, there) in enumerate(channels) if i not in full))
        for i, (_, there) in enumerate(channels):
            if i not in full:
                assert await there.recv() == large(i)
        await asyncio.gather(*sendings)
    assert RECEIVING.reserved == 0


async def test_a_waiting_recv_gets_its_message_whatever_others_hold(kind: str) -> None:
    async with AsyncExitStack() as stack:
        channels = await pairs(stack, kind, 4)
        sendings = [asyncio.ensure_future(here.send(large(i))) for i, (here, _) in enumerate(channels)]
        await until(lambda: sum(arrived(there) for _, there in channels) == 2)
        late = [i for i, (_, there) in enumerate(channels) if not arrived(there)]
        async with asyncio.timeout(PATIENCE):
            for i in (*late, *(i for i in range(4) if i not in late)):
                buffer = bytearray(SIZE)
                there = channels[i][1]
                if i % 2:
                    assert await there.recv() == large(i)
                else:
                    assert await there.recv_into(buffer) == SIZE
                    assert buffer == bytes([i]) * SIZE
            await asyncio.gather(*sendings)
        assert RECEIVING.reserved == 0


async def test_small_messages_do_not_wait_for_the_budget(kind: str) -> None:
    async with AsyncExitStack() as stack:
        (first, holder), (here, there) = await pairs(stack, kind, 2)
        sending = asyncio.ensure_future(first.send_all(large(0), large(1)))
        await until(lambda: RECEIVING.reserved == 2 * SIZE)
        await here.send_all(*range(1000), b"x" * 100_000)
        for i in range(1000):
            assert await there.recv() == i
        assert await there.recv() == b"x" * 100_000
        assert [await holder.recv() for _ in range(2)] == [large(0), large(1)]
        await sending


async def test_a_message_larger_than_the_budget_is_received_alone(kind: str) -> None:
    async with AsyncExitStack() as stack:
        ((here, there),) = await pairs(stack, kind, 1)
        sending = asyncio.ensure_future(here.send_all(b"x" * (3 * SIZE), b"y" * (3 * SIZE)))
        await until(lambda: there.statistics().bytes_unread >= 3 * SIZE)
        assert RECEIVING.reserved == 3 * SIZE
        assert await there.recv() == b"x" * (3 * SIZE)
        assert await there.recv() == b"y" * (3 * SIZE)
        await sending
        assert RECEIVING.reserved == 0


@pytest.mark.slow
@pytest.mark.parametrize("end", ["lost", "closed", "aborted"])
async def test_a_channel_that_ends_releases_its_part_of_the_budget(kind: str, end: str) -> None:
    async with AsyncExitStack() as stack:
        channels = await pairs(stack, kind, 3)
        sendings = [asyncio.ensure_future(here.send(large(i))) for i, (here, _) in enumerate(channels)]
        await until(lambda: sum(arrived(there) for _, there in channels) == 2)
        last = next(i for i, (_, there) in enumerate(channels) if not arrived(there))
        for i, (here, there) in enumerate(channels):
            if i != last:
                if end == "lost":
                    here.abort()
                elif end == "closed":
                    await there.aclose()
                else:
                    there.abort()
        await until(lambda: arrived(channels[last][1]))
        assert await channels[last][1].recv() == large(last)
        if end == "lost":
            for i, (_, there) in enumerate(channels):
                if i != last:
                    assert await there.recv() == large(i)
                    with pytest.raises(ConnectionLost):
                        await there.recv()
        await asyncio.wait(sendings)
        assert RECEIVING.reserved == 0


async def test_a_channel_that_waits_for_the_budget_can_be_closed(kind: str) -> None:
    async with AsyncExitStack() as stack:
        (first, holder), (here, there) = await pairs(stack, kind, 2)
        holding = asyncio.ensure_future(first.send_all(large(0), large(1)))
        await until(lambda: arrived(holder) and RECEIVING.reserved == 2 * SIZE)
        sending = asyncio.ensure_future(here.send(large(2) * 4))  # more than the kernel takes
        await waits(sending)
        async with asyncio.timeout(PATIENCE):
            await there.aclose()
            await sending
        assert [await holder.recv() for _ in range(2)] == [large(0), large(1)]
        await holding


async def test_a_result_of_a_call_arrives_while_others_hold_the_budget(kind: str) -> None:
    async with AsyncExitStack() as stack:
        (first, holder), (here, there) = await pairs(stack, kind, 2)
        holding = asyncio.ensure_future(first.send_all(large(0), large(1)))
        await until(lambda: RECEIVING.reserved == 2 * SIZE)
        await until(lambda: holder.statistics().bytes_unread >= 2 * SIZE)
        calling = asyncio.ensure_future(here.call("f"))
        call = await there.call_server.recv_call()
        answering = asyncio.ensure_future(there.call_server.send_result(call.id, True, large(2)))
        async with asyncio.timeout(PATIENCE):
            assert await calling == large(2)
        await answering
        assert [await holder.recv() for _ in range(2)] == [large(0), large(1)]
        await holding


async def test_results_arrive_while_a_peer_has_stopped_in_a_large_message(kind: str) -> None:
    async with streams(kind) as ((_, writer), ends), both(*[Channel(*ends, settings=SETTINGS)] * 2):
        # What a peer leaves that is stopped after the first bytes of a message.
        writer.write(encode_header(FrameType.MSG, 3 * SIZE) + bytes(100_000))
        await until(lambda: RECEIVING.reserved == 3 * SIZE)
        async with pair(kind, SETTINGS) as (here, there), asyncio.timeout(PATIENCE):
            calling = [asyncio.ensure_future(here.call("f", i)) for i in range(4)]
            for call in [await there.call_server.recv_call() for _ in calling]:
                await there.call_server.send_result(call.id, True, large(call.args[0]) if call.args[0] < 3 else "small")
            assert await asyncio.gather(*calling) == [large(0), large(1), large(2), "small"]
        assert RECEIVING.reserved == 3 * SIZE
    assert RECEIVING.reserved == 0


async def test_a_waiting_watcher_gets_its_message_while_others_hold_the_budget(kind: str) -> None:
    async with AsyncExitStack() as stack:
        (first, holder), (here, there) = await pairs(stack, kind, 2)
        holding = asyncio.ensure_future(first.send_all(large(0), large(1)))
        await until(lambda: holder.statistics().bytes_unread >= 2 * SIZE)
        sending = asyncio.ensure_future(here.send(large(2) * 4))  # more than the kernel takes
        await waits(sending)
        news = asyncio.Event()
        unwatch = there.watch(news.set)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: there.is_ready)
        unwatch()
        assert await there.recv() == large(2) * 4
        await sending
        assert [await holder.recv() for _ in range(2)] == [large(0), large(1)]
        await holding
