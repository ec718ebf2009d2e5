"""Cancellation at every await of every operation, early and late; then the channel is used again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from aioparcs import Channel, ChannelClosed, ConnectionLost, EndOfChannel, RemoteError
from aioparcs.settings import MIB
from aioparcs.wire import FrameType
from tests.support.channels import KINDS, SMALL, CancelAt, pair
from tests.support.waiting import PATIENCE

pytestmark = [KINDS, pytest.mark.parametrize("late", [False, True], ids=["early", "late"])]

Check = Callable[[Any], Awaitable[None]]

# More awaits than any operation reaches: the loop below must end by itself.
_MOST = 40
# The kernel may take some of what fills a queue after it was seen to be full: then an operation waits for nothing.
_TRIES = 20


async def at_every_await(kind: str, late: bool, scenario: Callable[..., Any]) -> None:
    """
    Run a scenario with one cancellation at its operation's first await, then at its second, until there is none.

    A scenario takes the two channels, and gives an operation to cancel; it gets the operation's outcome back.
    """
    for n in range(1, _MOST):
        for _ in range(_TRIES if n == 1 else 1):
            async with pair(kind, SMALL) as (here, there), asyncio.timeout(PATIENCE):
                async with scenario(here, there) as (operation, outcome):
                    injected = CancelAt(operation, n, late=late)
                    outcome.append(await injected.run())
            if injected.reached:
                break
            assert not cancelled(outcome)
        else:
            assert n > 1, "the operation never waited"
            return
    pytest.fail(f"more than {_MOST} awaits")


Scenario = AsyncIterator[tuple[Coroutine[Any, Any, Any], list[Any]]]


def cancelled(outcome: list[Any]) -> bool:
    return isinstance(outcome[0], asyncio.CancelledError)


async def fill(channel: Channel) -> int:
    """Send until a further message would have to wait; returns how many there were."""
    count = 0
    while channel.statistics().bytes_unsent < SMALL.send_queue:
        await channel.send([count, b"x" * 20_000])
        count += 1
        await asyncio.sleep(0)
    return count


async def numbers(channel: Channel, count: int) -> list[int]:
    return [(await channel.recv())[0] for _ in range(count)]


@pytest.mark.slow
async def test_a_cancelled_send_was_not_sent(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        count = await fill(here)
        others = [asyncio.ensure_future(here.send([count + i, b""])) for i in range(2)]
        await asyncio.sleep(0)
        reading = asyncio.ensure_future(numbers(there, count + 2))
        yield here.send("it"), outcome
        await asyncio.gather(*others)
        await here.send("after")
        got, rest = await reading, [await there.recv()]
        if rest != ["after"]:
            rest.append(await there.recv())
        assert sorted(got) == got == list(range(count + 2))
        assert rest == (["after"] if cancelled(outcome) else ["it", "after"])
        assert here.statistics().messages_sent == count + 3 + (not cancelled(outcome))

    await at_every_await(kind, late, scenario)


async def test_a_cancelled_recv_leaves_the_message_first_in_line(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        sending = asyncio.ensure_future(here.send_all("it", b"big" * 200_000, "after"))
        yield there.recv(), outcome
        if cancelled(outcome):
            outcome.append(await there.recv())
        assert outcome[-1] == "it"
        assert [await there.recv(), await there.recv()] == [b"big" * 200_000, "after"]
        await sending

    await at_every_await(kind, late, scenario)


async def test_a_cancelled_recv_of_a_large_message_leaves_it_first_in_line(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        array = np.arange(300_000)
        sending = asyncio.ensure_future(here.send_all(array, "after"))
        yield there.recv(), outcome
        if cancelled(outcome):
            outcome.append(await there.recv())
        assert np.array_equal(outcome[-1], array)
        assert await there.recv() == "after"
        await sending

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_recv_declines_the_calls_before_its_message(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        count = await fill(there)
        calls = [asyncio.ensure_future(here.call("f", i)) for i in range(3)]
        later = asyncio.ensure_future(deliver(here, there, count))
        yield there.recv(), outcome
        if cancelled(outcome):
            outcome.append(await there.recv())
        assert outcome[-1] == "it"
        for call in calls:
            with pytest.raises(LookupError):
                await call
        await later

    async def deliver(here: Channel, there: Channel, count: int) -> None:
        await asyncio.sleep(0.001)  # so that the calls come alone, before what ends the wait
        await here.send("it")
        assert await numbers(here, count) == list(range(count))

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_recv_into_leaves_the_message_first_in_line(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        array, buffer = np.arange(400_000), np.zeros(400_000, int)
        sending = asyncio.ensure_future(here.send_all(array, "after"))
        yield there.recv_into(buffer), outcome
        if cancelled(outcome):
            buffer[:] = -1  # the caller's again: the channel neither reads nor writes it
            await asyncio.sleep(0)
            assert np.array_equal(await there.recv(), array)
            assert (buffer == -1).all()
        else:
            assert outcome == [array.nbytes]
            assert np.array_equal(buffer, array)
        assert await there.recv() == "after"
        await sending

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_send_of_an_array_delivers_the_original_or_nothing(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        count, array = await fill(here), np.arange(1 * MIB)
        original = array.copy()
        reading = asyncio.ensure_future(numbers(there, count))
        yield here.send(array), outcome
        array[:] = -1  # the caller's again
        sending = asyncio.ensure_future(here.send("after"))
        await reading
        message = await there.recv()
        if isinstance(message, np.ndarray):
            assert np.array_equal(message, original)
            message = await there.recv()
        else:
            assert cancelled(outcome)
        assert message == "after"
        await sending

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_call_is_cancelled_at_the_peer_and_the_next_one_works(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        stopped: list[int] = []
        there.call_server.on_cancel = stopped.append
        count = await fill(here)
        answering = asyncio.ensure_future(answer(there, count))
        yield here.call("double", np.full(100_000, 7)), outcome
        if cancelled(outcome):
            assert await here.call("double", "ab") == "abab"
        else:
            assert (outcome[0] == 14).all()
        await here.send_eof()
        names = await answering
        # What was cancelled before it left is unknown to the peer; what was cancelled later it was told to stop.
        assert stopped == ([0] if cancelled(outcome) and names == ["double"] * 2 else [])

    async def answer(there: Channel, count: int) -> list[str]:
        await numbers(there, count)
        names = []
        try:
            while True:
                call = await there.call_server.recv_call()
                names.append(call.name)
                await there.call_server.send_result(call.id, True, call.args[0] * 2)
        except EndOfChannel:
            return names

    await at_every_await(kind, late, scenario)


async def test_a_cancelled_recv_call_leaves_the_call_first_in_line(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        calling = asyncio.ensure_future(here.call("f", 1, key=b"x" * 100_000))
        yield there.call_server.recv_call(), outcome
        if cancelled(outcome):
            outcome.append(await there.call_server.recv_call())
        call = outcome[-1]
        assert (call.name, call.args, call.kwargs) == ("f", [1], {"key": b"x" * 100_000})
        await there.call_server.send_result(call.id, False, {"type": "KeyError", "message": "no"})
        with pytest.raises(KeyError) as caught:
            await calling
        assert isinstance(caught.value, RemoteError)

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_result_was_not_sent(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        calling = asyncio.ensure_future(here.call("f"))
        call = await there.call_server.recv_call()
        count = await fill(there)
        reading = asyncio.ensure_future(numbers(here, count))
        yield there.call_server.send_result(call.id, True, "it"), outcome
        if cancelled(outcome):
            await there.call_server.send_result(call.id, True, "again")
        assert await calling == ("again" if cancelled(outcome) else "it")
        await reading

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_send_frame_was_not_sent(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        count = await fill(here)
        reading = asyncio.ensure_future(numbers(there, count))
        yield here.connection.send_frame(FrameType.MSG, b"\x01"), outcome
        await here.send(2)
        await reading
        got = [await there.recv()]
        if got == [1]:
            got.append(await there.recv())
        assert got == ([2] if cancelled(outcome) else [1, 2])

    await at_every_await(kind, late, scenario)


@pytest.mark.slow
async def test_a_cancelled_aclose_ends_the_channel_at_once(kind: str, late: bool) -> None:
    @asynccontextmanager
    async def scenario(here: Channel, there: Channel) -> Scenario:
        outcome: list[Any] = []
        count = await fill(here)
        reading = asyncio.ensure_future(collect(there))
        yield here.aclose(), outcome
        await here.aclose()
        assert here.statistics().state == "closed"
        with pytest.raises(ChannelClosed):
            await here.send("no")
        got, whole = await reading
        assert got == list(range(len(got)))
        assert len(got) <= count
        if not cancelled(outcome):
            assert whole
            assert len(got) == count

    async def collect(there: Channel) -> tuple[list[int], bool]:
        got = []
        try:
            async for number, _ in there:
                got.append(number)
        except ConnectionLost:
            return got, False
        return got, True

    await at_every_await(kind, late, scenario)
