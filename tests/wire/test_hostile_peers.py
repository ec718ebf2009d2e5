"""A peer that is let in and sends whatever it likes: documented errors come of it, and no growth without bound."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import Channel, ConnectionLost, DecodeError, ParcsError, ProtocolError, RemoteError, WorkerLost, codec
from aioparcs.channel import encode_error, read_results
from aioparcs.channel.relay_buffer import RELAYS, RelayBuffer, serve_relay
from aioparcs.errors import remote
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.settings import MIB
from aioparcs.testing import memory_pair
from aioparcs.wire import FrameType, encode_header
from tests.support.channels import both, pair, streams
from tests.support.strategies import property_test
from tests.support.waiting import PATIENCE, until

_HUGE = 10**5000  # more digits than Python makes text of

_atoms = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
_values = st.recursive(
    _atoms | st.binary(max_size=5) | st.builds(pow, st.just(10), st.just(5000)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
_maps = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "message", "traceback", "cause"), _values))
_answers = st.tuples(st.sampled_from([0, 1, 1e200, "0", None]), _values, _values | _maps).map(list)
_bodies = (_values | _maps | _answers).map(lambda value: codec.encode_inline(value)[0]) | st.binary(max_size=20)


def frame(type: int, value: Any) -> bytes:
    body = codec.encode_inline(value)[0]
    return encode_header(type, len(body)) + body


async def outcome(operation: Any) -> BaseException | None:
    try:
        async with asyncio.timeout(PATIENCE):
            await operation
    except ParcsError as error:
        str(error), repr(error)
        return error
    return None


async def receive_all(channel: Channel) -> None:
    while True:
        try:
            await channel.recv()
        except DecodeError:
            continue


@pytest.mark.slow
@property_test
@given(st.lists(st.tuples(st.sampled_from(FrameType), _bodies), min_size=1, max_size=6))
def test_any_frames_raise_only_documented_errors(sent: list[tuple[FrameType, bytes]]) -> None:
    async def work() -> list[dict[str, Any]]:
        unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        ends, (_, writer), _ = memory_pair()
        channel = Channel(*ends)
        channel.relays.refuse()
        operations = [receive_all(channel), channel.call("f"), channel.barrier()]
        tasks = [asyncio.ensure_future(outcome(operation)) for operation in operations]
        for type, body in sent:
            writer.write(encode_header(type, len(body)) + body)
            await asyncio.sleep(0)
        writer.write_eof()
        assert await tasks[0] is not None  # the stream has ended
        await asyncio.gather(*tasks)
        channel.abort()
        writer.transport.abort()
        await channel.aclose()
        return unhandled

    assert asyncio.run(work()) == []


@pytest.fixture
async def raw() -> Any:
    """Yield a channel, and a function that writes bytes to it."""
    async with streams("memory") as ((_, writer), ends):
        channel = Channel(*ends)
        async with both(channel, channel):
            yield channel, writer


async def test_an_undecodable_error_frame_is_an_error(raw: Any) -> None:
    channel, writer = raw
    calling = asyncio.ensure_future(channel.call("f"))
    await asyncio.sleep(0)
    writer.write(frame(FrameType.RESULT, [0, False, {"type": "ValueError", "message": _HUGE}]))
    with pytest.raises(RemoteError, match="its error can't be read"):
        await calling
    writer.write(frame(FrameType.ERROR, {"type": _HUGE, "message": ""}))
    with pytest.raises(RemoteError, match="its error can't be read"):
        await channel.recv()


@pytest.mark.parametrize("call_id", [1e200, "0", None, [1], pytest.param(_HUGE, id="huge")])
async def test_a_call_without_a_proper_id_costs_no_message(raw: Any, call_id: Any) -> None:
    channel, writer = raw
    writer.write(frame(FrameType.CALL, [call_id, "f", [], {}]) + frame(FrameType.MSG, "a message"))
    assert await channel.recv() == "a message"


@pytest.mark.parametrize("answer", [[0, "yes", 1], [0.0, True, 1], [[0], True, 1], 5, [0, True]])
async def test_an_invalid_result_frame_is_a_decode_error(raw: Any, answer: Any) -> None:
    channel, writer = raw
    results: list[Any] = []
    channel.calls.set_result_handler(lambda bodies: results.extend(bodies))
    writer.write(frame(FrameType.RESULT, answer))
    await until(lambda: results)
    ((_, ok, error),) = read_results(results)
    assert (ok, type(error)) == (False, DecodeError)


async def test_errors_of_unreached_barriers_end_the_channel(raw: Any) -> None:
    channel, writer = raw
    error = encode_error(ValueError("x" * 60_000))
    for _ in range(17):
        writer.write(frame(FrameType.BARRIER, error))
    with pytest.raises(ProtocolError, match="broken 16 barriers"):
        await channel.recv()


async def test_an_enormous_error_of_a_barrier_is_not_kept(raw: Any) -> None:
    channel, writer = raw
    writer.write(frame(FrameType.BARRIER, {"type": "ValueError", "message": "x" * 2 * MIB}))
    with pytest.raises(RemoteError, match="its error can't be read"):
        await channel.barriers.wait()


async def test_too_many_relay_notices_end_the_channel(raw: Any) -> None:
    channel, writer = raw
    with channel.relays.subscription(b"name"):
        writer.write(frame(FrameType.RELAY, [b"name", "at", None]) * 1001)
        with pytest.raises(ProtocolError, match="more than 1000 notices about one message"):
            await channel.recv()


async def test_a_relayed_message_to_a_side_that_refuses_them_ends_the_channel(raw: Any) -> None:
    channel, writer = raw
    channel.relays.refuse()
    writer.write(frame(FrameType.RELAY, [b"name", "message", False, True, b"", [10]]))
    with pytest.raises(ProtocolError, match="does not take messages that others pass on"):
        await asyncio.wait_for(channel.recv(), 5)


async def test_a_peer_that_calls_and_reads_no_answers_is_ended(raw: Any) -> None:
    channel, writer = raw
    call = frame(FrameType.CALL, [0, "f", [], {}])

    async def flood() -> None:
        while not writer.transport.is_closing():
            writer.write(call * 1000)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(flood())
        with pytest.raises(ProtocolError, match="no answer to its last 10,000 calls"):
            await asyncio.wait_for(channel.recv(), 30)
        assert channel.statistics().bytes_unsent < 4 * MIB
        writer.transport.abort()


async def test_a_message_without_memory_for_it_is_a_decode_error(monkeypatch: pytest.MonkeyPatch, raw: Any) -> None:
    def allocate(_type: int, size: int) -> Any:
        raise MemoryError

    channel, writer = raw
    monkeypatch.setattr(codec, "allocate", allocate)
    receiving = asyncio.ensure_future(channel.recv())
    await asyncio.sleep(0)
    writer.write(encode_header(FrameType.MSG, 8 * MIB) + b"x")
    with pytest.raises(ConnectionLost, match="no memory"):
        await receiving


def test_names_of_errors_are_not_kept() -> None:
    before = len(remote._mixed)
    for number in range(300):
        RemoteError.make(f"error {number}", "m")
    assert len(remote._mixed) == before


@pytest.mark.parametrize("offset", [-1, 1.5, "0", None])
async def test_an_offset_before_the_beginning_is_refused(offset: Any) -> None:
    RELAYS[b"name"] = RelayBuffer([b"x" * 100], have=100)
    try:
        async with pair("memory") as (here, there):
            await here.send([b"name", offset])
            await asyncio.wait_for(serve_relay(there, 5), 5)
            with pytest.raises(ConnectionLost):
                await here.recv()
    finally:
        del RELAYS[b"name"]


def lost_worker(results: bytes, *, is_reset: bool) -> PoolWorker:
    worker = object.__new__(PoolWorker)
    worker.is_cut_off = False
    reader = SimpleNamespace(is_cut=False, is_reset=is_reset)
    channel = SimpleNamespace(connection=SimpleNamespace(reader=reader))
    worker.task = SimpleNamespace(unsent_results=results, channel=channel)  # type: ignore[assignment]  # all that is read
    return worker


def test_results_of_a_damaged_record_are_not_known() -> None:
    worker = lost_worker(b"\xff" * 40, is_reset=False)
    assert worker.read_unsent(WorkerLost.from_exit("work:1", -9)) is None


@pytest.mark.parametrize("is_reset, code, known", [(True, 1, None), (True, -9, []), (True, 143, []), (False, 1, [])])
def test_results_are_not_known_of_a_worker_that_has_left_because_its_connection_was_reset(
    is_reset: bool, code: int, known: Any
) -> None:
    worker = lost_worker(b"", is_reset=is_reset)
    assert worker.read_unsent(WorkerLost.from_exit("work:1", code)) == known


async def test_a_connection_that_breaks_is_reset_and_one_that_ends_is_not() -> None:
    for ends in (False, True):
        here, there, network = memory_pair()
        async with both(Channel(*here), Channel(*there)) as (one, other):
            if ends:
                await asyncio.gather(one.aclose(), other.aclose())
            else:
                network.forward.cut()
                with pytest.raises(ConnectionLost):
                    await one.recv()
            assert one.connection.reader.is_reset is not ends
