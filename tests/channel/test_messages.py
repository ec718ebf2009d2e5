"""The channel's contract, over every kind of connection and both loops: messages, and who may receive them."""

import asyncio
from typing import Any

import numpy as np
import pytest

from aioparcs import BusyError, Channel, DecodeError, EncodeError, Settings, register
from aioparcs.settings import KIB, MIB
from tests.support.channels import KINDS, SMALL, at_once, block, jam, pair, waits
from tests.support.waiting import PATIENCE, until

pytestmark = KINDS


async def send_all(channel: Channel, messages: list[Any]) -> None:
    await channel.send_all(*messages)


async def recv_many(channel: Channel, count: int) -> list[Any]:
    return [await channel.recv() for _ in range(count)]


MIXED: list[Any] = [
    None,
    "small",
    b"b" * (3 * MIB),
    *range(100),
    ["nested", {"deep": b"o" * 20_000}, b"p" * 200_000],
    b"r" * 8192,
    b"",
    "t" * (2 * MIB),
    *("s" * n for n in range(0, 9000, 500)),
    {1: "int keys", b"k": -(2**70), "f": 1.5},
]


async def test_big_and_small_messages_arrive_whole_and_in_order(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(send_all(here, MIXED))
        assert await recv_many(there, len(MIXED)) == MIXED


async def test_both_directions_are_independent(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        *_, first, second = await asyncio.gather(
            send_all(here, MIXED),
            send_all(there, MIXED[::-1]),
            recv_many(here, len(MIXED)),
            recv_many(there, len(MIXED)),
        )
        assert first == MIXED[::-1]
        assert second == MIXED


@pytest.mark.slow
async def test_many_small_messages_are_not_lost_in_batches(kind: str) -> None:
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(send_all(here, list(range(20_000))))
        assert await recv_many(there, 20_000) == list(range(20_000))


@pytest.mark.slow
async def test_several_senders_keep_their_own_order(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there), asyncio.TaskGroup() as group:
        for sender in range(5):
            group.create_task(send_all(here, [[sender, i, b"x" * (i % 3 * 10_000)] for i in range(100)]))
        seen: dict[int, list[int]] = {sender: [] for sender in range(5)}
        for sender, i, _ in await recv_many(there, 500):
            seen[sender].append(i)
        assert list(seen.values()) == [list(range(100))] * 5


async def test_a_reply_leaves_at_once(kind: str) -> None:
    async with pair(kind) as (here, there):
        for i in range(200):
            await here.send(i)
            assert await there.recv() == i
            await there.send(-i)
            assert await here.recv() == -i


async def test_arrays_arrive_with_shape_and_order(kind: str) -> None:
    array = np.arange(600_000, dtype="f4").reshape(3, 200, 1000)
    part = array[0, :2, :2]
    async with pair(kind) as (here, there), asyncio.TaskGroup() as group:
        group.create_task(send_all(here, [array, np.asfortranarray(array), array[:, ::2], {"in": [array]}, part]))
        assert np.array_equal(await there.recv(), array)
        fortran = await there.recv()
        assert fortran.flags.fnc
        assert np.array_equal(fortran, array)
        assert np.array_equal(await there.recv(), array[:, ::2])
        assert np.array_equal((await there.recv())["in"][0], array)
        assert np.array_equal(await there.recv(), part)


async def test_send_within_the_high_water_mark_does_not_wait(kind: str) -> None:
    async with pair(kind, Settings(receive_queue=64 * KIB)) as (here, there):
        while not here.statistics().bytes_unsent:  # until neither the kernel nor the peer takes more
            await here.send(b"x" * 100_000)
            await asyncio.sleep(0)
        for _ in range(10):
            at_once(here.send("y" * 1000))
        assert there.statistics().bytes_unread < 1 * MIB


async def test_a_slow_reader_slows_the_sender(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        sent = await jam(here, kind)
        limit = SMALL.send_queue + 40_000
        assert SMALL.send_queue <= here.statistics().bytes_unsent <= limit
        assert SMALL.receive_queue <= there.statistics().bytes_unread <= SMALL.receive_queue + 512 * KIB
        sending = asyncio.ensure_future(here.send("the last"))
        await waits(sending)
        assert await recv_many(there, len(sent)) == sent
        await sending
        assert await there.recv() == "the last"


@pytest.mark.slow
async def test_both_directions_can_be_full_at_once(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        forth, back = await block(here, there), await block(there, here)
        assert await recv_many(there, len(forth)) == forth
        assert await recv_many(here, len(back)) == back


async def test_waiting_senders_go_on_first_come_first_served(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        sent = await block(here, there)
        sendings = [asyncio.ensure_future(here.send(["late", i])) for i in range(20)]
        await asyncio.gather(*map(waits, sendings))
        sendings[7].cancel()
        assert await recv_many(there, len(sent)) == sent
        assert await recv_many(there, 19) == [["late", i] for i in range(20) if i != 7]
        await asyncio.wait(sendings)


async def test_room_that_is_offered_to_a_cancelled_sender_goes_to_the_next_one(kind: str) -> None:
    async with pair(kind, SMALL) as (here, there):
        sent = await block(here, there)
        first, second = (asyncio.ensure_future(here.send(["late", i])) for i in range(2))
        await asyncio.gather(waits(first), waits(second))
        on_room = here.connection.outbox.on_room

        def cancel_first() -> None:
            first.cancel()
            on_room()

        here.connection.outbox.on_room = cancel_first
        assert await recv_many(there, len(sent)) == sent
        async with asyncio.timeout(PATIENCE):
            assert await there.recv() == ["late", 1]
        await asyncio.wait([first, second])
        assert first.cancelled()


async def test_a_sender_that_never_waits_starves_no_other_task(kind: str) -> None:
    async with pair(kind) as (here, there):
        receiving = asyncio.ensure_future(there.recv())
        for i in range(1_000_000):
            await here.send(i)
            if receiving.done():
                break
        assert await receiving == 0
        assert i < 100_000


async def test_two_receivers_at_once_are_busy(kind: str) -> None:
    async with pair(kind) as (here, there):
        first = asyncio.ensure_future(there.recv())
        await waits(first)
        for second in (
            there.recv,
            lambda: there.recv_into(bytearray(10)),
            there.call_server.recv_call,
            there.connection.recv_frame,
        ):
            with pytest.raises(BusyError):
                await second()
        await here.send("for the first")
        assert await first == "for the first"
        await here.send("for the next")
        assert await there.recv() == "for the next"


async def test_a_message_that_cannot_be_encoded_leaves_the_channel_as_it_was(kind: str) -> None:
    async with pair(kind, Settings(max_body=1000, max_buffers=10_000)) as (here, there):
        for message in (object(), [b"x" * 9000, {"a": {1, object()}}], "x" * 1001, b"x" * 10_001):
            with pytest.raises(EncodeError):
                await here.send(message)
        await here.send("fine")
        assert await there.recv() == "fine"
        assert here.statistics().messages_sent == 1


async def test_a_message_that_cannot_be_decoded_costs_only_itself(kind: str, request: pytest.FixtureRequest) -> None:
    class Local:
        pass

    def unmade(_: Any) -> Local:
        raise ZeroDivisionError

    register(Local, name=f"can't be made, {request.node.name}", encode=lambda _: 1, decode=unmade)
    async with pair(kind) as (here, there):
        await here.send_all(Local(), [Local(), b"x" * 10_000], "fine")
        for _ in range(2):
            with pytest.raises(DecodeError):
                await there.recv()
        assert await there.recv() == "fine"


async def test_statistics_count_what_happens(kind: str) -> None:
    async with pair(kind) as (here, there):
        await here.send_all("one", b"t" * 100_000, ["three", b"x" * 9000])
        await here.send("four")
        await until(lambda: there.statistics().bytes_unread > 109_000)
        assert await recv_many(there, 2) == ["one", b"t" * 100_000]
        sent, got = here.statistics(), there.statistics()
        assert (sent.messages_sent, sent.messages_received, got.messages_sent, got.messages_received) == (4, 0, 0, 2)
        assert sent.bytes_sent == got.bytes_received > 109_000
        assert sent.bytes_unsent == 0
        assert 9000 < got.bytes_unread < 9100
        assert (sent.state, got.state) == ("open", "open")
        assert got.age < 10
        await recv_many(there, 2)
        assert there.statistics().bytes_unread == 0
        await here.send_eof()
        await until(lambda: there.statistics().state == "ending")
        await asyncio.gather(here.aclose(), there.aclose())
        assert (here.statistics().state, there.statistics().state) == ("closed", "closed")
        assert repr(here) == "<Channel closed>"


async def test_a_watcher_is_called_for_messages_and_for_the_end(kind: str) -> None:
    async with pair(kind) as (here, there):
        news = asyncio.Event()
        unwatch = there.watch(news.set)
        await here.send(1)
        await news.wait()
        assert there.is_ready
        assert await there.recv() == 1
        news.clear()
        here.abort()
        await news.wait()
        assert there.is_ready
        unwatch()


async def test_a_watcher_that_fails_is_reported_and_stops_nothing(kind: str) -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    async with pair(kind) as (here, there):
        news = asyncio.Event()
        failure = RuntimeError("a watcher's own")

        def fail() -> None:
            raise failure

        unwatch = there.watch(fail), there.watch(news.set)
        await here.send(1)
        await news.wait()
        assert await there.recv() == 1
        news.clear()
        there.abort()
        assert news.is_set()
        assert set(errors) == {failure}
        for undo in unwatch:
            undo()
