"""Trace contexts on the wire: who is sent one, and that a bad one never fails a call."""

import asyncio
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from aioparcs import Channel, EndOfChannel, codec
from aioparcs.auth import Hello, Role
from aioparcs.channel import accept, introduce
from aioparcs.settings import Settings
from aioparcs.telemetry import context_of, read_context, set_context
from aioparcs.wire import FrameType
from tests.support.channels import pair, streams
from tests.support.notation import Vector, each, load, value_of
from tests.support.strategies import property_test
from tests.support.telemetry import Made, Telemetry

TOKEN = bytes(32)
HEADERS = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


def read(context: Any) -> SpanContext:
    return trace.get_current_span(read_context(context)).get_span_context()


@each(load("contexts"))
def test_a_context_is_read_as_its_vector_says(vector: Vector) -> None:
    found, parent = read(value_of(vector["context"])), None
    if found.is_valid:
        parent = {"trace": f"{found.trace_id:032x}", "span": f"{found.span_id:016x}",
                  "flags": f"{found.trace_flags:02x}", "state": found.trace_state.to_header()}  # fmt: skip
    assert parent == vector["parent"]


_scalars = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
_texts = st.text("0123456789abcdef-=,", max_size=60) | st.just(HEADERS["traceparent"]) | _scalars
_keys = st.sampled_from(["traceparent", "tracestate"]) | st.text()


@property_test
@given(st.dictionaries(_keys, _texts, max_size=4) | st.lists(_scalars, max_size=3) | _scalars)
def test_whatever_comes_as_a_context_is_one_or_counts_as_none(context: Any) -> None:
    assert isinstance(read(context), SpanContext)


_ids = st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.integers(0, 40))


@property_test
@given(_ids)
def test_a_context_that_is_sent_is_read_again(ids: tuple[int, int, bool, int]) -> None:
    number, span, is_sampled, members = ids
    state = TraceState([(f"vendor{i}", "a" * 20) for i in range(members)])
    sent = SpanContext(number, span, False, TraceFlags(is_sampled), state)
    headers = context_of(NonRecordingSpan(sent))
    assert headers is not None
    found = read(headers)
    assert (found.trace_id, found.span_id, int(found.trace_flags)) == (number, span, int(is_sampled))
    is_short = len(state.to_header()) <= 512
    assert found.trace_state.to_header() == (state.to_header() if is_short else "")
    assert found.is_remote


def test_a_span_that_is_none_has_no_context() -> None:
    assert context_of(trace.INVALID_SPAN) is None


# On a channel


async def bodies(here: Channel, there: Channel, calls: int) -> list[Any]:
    """Return the bodies of the next calls; each is answered."""
    found = []
    for _ in range(calls):
        await there.connection.inbox.wait()
        frame: Any = there.connection.inbox.frames.popleft()
        there.connection.inbox.consumed(frame)
        found.append(codec.decode(frame.body, frame.buffers))
        await there.call_server.send_result(found[-1][0], True, None)
    return found


@pytest.mark.parametrize("knows", [True, False])
async def test_only_a_peer_that_reads_contexts_is_sent_one(telemetry: Telemetry, *, knows: bool) -> None:
    async with pair("memory") as (here, there):
        here.connection.tracing = knows
        with telemetry.tracer.start_as_current_span("mine") as span:
            own = context_of(span)
            calls = asyncio.gather(here.call("f", 1), here.call("g", b"x" * 9000, key=[1]))
        here.calls.open_stream("s", [1], {}, None, context=HEADERS)
        found = await bodies(here, there, 3)
        await calls
        assert [body[1:4] for body in found[1:]] == [["f", [1], {}], ["g", [b"x" * 9000], {"key": [1]}]]
        assert [body[4:] for body in found] == ([[HEADERS], [own], [own]] if knows else [[], [], []])


async def test_a_program_without_a_provider_sends_none() -> None:
    async with pair("memory") as (here, there):
        here.connection.tracing = True
        with trace.use_span(NonRecordingSpan(SpanContext(1, 1, False))):
            call = asyncio.ensure_future(here.call("f", 1))
        assert [body[4:] for body in await bodies(here, there, 1)] == [[]]
        await call


async def test_a_call_of_a_peers_function_is_a_client_span(telemetry: Telemetry) -> None:
    async with pair("memory") as (here, there):
        here.connection.tracing, here.peer = True, 7
        call = asyncio.ensure_future(here.call("f", 1))
        ((_, name, _, _, context),) = await bodies(here, there, 1)
        await call
    (span,) = telemetry.calls
    assert (span.name, name) == ("f", "f")
    assert dict(span.attributes or {}) == {
        "rpc.system.name": "aioparcs", "rpc.method": "f", "aioparcs.worker": 7
    }  # fmt: skip
    assert f"{read(context).span_id:016x}" == Made.of(span).id


@pytest.mark.parametrize(
    "context", [None, 1, "00", [HEADERS], {}, {"traceparent": "00"}, {"traceparent": b"00"}, {1: {2: [3]}}, HEADERS]
)
async def test_a_call_with_any_context_is_received(context: Any) -> None:
    async with pair("memory") as (here, there):
        here.connection.post_frame(FrameType.CALL, msgpack.packb([0, "f", [1], {}, context]))
        call = await there.call_server.recv_call()
        assert call == (0, "f", [1], {}, context)


@pytest.mark.parametrize("call", [[0, "f", []], [0, "f", [], {}, {}, {}]])
async def test_a_call_of_more_or_fewer_elements_is_refused(call: list[Any]) -> None:
    async with pair("memory") as (here, there):
        here.connection.post_frame(FrameType.CALL, msgpack.packb(call))
        await here.send_eof()
        with pytest.raises(EndOfChannel):
            await there.call_server.recv_call()
        assert there.connection.outbox.frames == 1  # the answer


# In a handshake


@pytest.mark.parametrize("knows", [True, False])
async def test_only_workers_that_say_so_get_the_context_of_their_start(*, knows: bool) -> None:
    settings = Settings()
    runner = Hello.of(Role.RUNNER, "job", -1, settings)
    worker = Hello.of(Role.WORKER, "job", 3, settings)._replace(tracing=knows)

    def welcome(peer: Hello) -> bytes:
        return msgpack.packb(HEADERS) if peer.tracing else b""

    async with streams("memory") as (here, there):
        listener, dialler = await asyncio.gather(
            introduce(*here, worker, TOKEN, 5), accept(*there, runner, TOKEN, 5, lambda _: None, welcome)
        )
    assert (dialler.tracing, runner.tracing) == (knows, False)
    assert listener.welcome == (msgpack.packb(HEADERS) if knows else b"")


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81", msgpack.packb([1]), msgpack.packb({"traceparent": 1})])
async def test_a_bad_context_in_a_welcome_is_ignored(body: bytes) -> None:
    set_context(body)
    assert not trace.get_current_span().get_span_context().is_valid


async def test_the_context_of_a_welcome_is_the_place_of_what_follows() -> None:
    async def follow() -> int:
        set_context(msgpack.packb(HEADERS))
        return trace.get_current_span().get_span_context().span_id

    assert await asyncio.ensure_future(follow()) == 0x00F067AA0BA902B7
