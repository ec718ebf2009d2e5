import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import ProtocolError, codec
from aioparcs.settings import MAX_BUFFER_COUNT
from aioparcs.wire import (
    Decoder,
    Frame,
    FrameSink,
    FrameType,
    Reference,
    decode_header,
    encode_frame,
    encode_header,
    frame_of,
)
from tests.support.notation import Vector, each, expand, load, same, value_of
from tests.support.strategies import chunked, chunks, frames, mutated, property_test, stream_of

BODY, BUFFERS = 1 << 20, 4 << 20
_frame_vectors = load("frames")
_shared = load("shared")
_bad_streams = [vector for vector in load("invalid") if "stream" in vector]
_streams = st.lists(frames, max_size=6).map(stream_of)


class Memory(FrameSink):
    """Counts what a decoder asks for; what isn't reserved may not be allocated."""

    def __init__(self) -> None:
        self.reserved = 0
        self.largest = 0
        self._left = 0

    def reserve(self, size: int) -> bool:
        self.reserved += size
        self.largest = max(self.largest, size)
        self._left = size
        return True

    def allocate(self, type: int, size: int) -> bytearray:
        self._left -= size
        assert self._left >= 0
        return bytearray(size)

    def decoder(self, body: int = BODY, buffers: int = BUFFERS, version: int = 2) -> Decoder:
        return Decoder(body, buffers, version=version, sink=self)


def plain(frame: Frame | bytes) -> tuple[int, bytes, list[bytes]]:
    frame = frame_of(frame)
    return frame.type, bytes(frame.body), [bytes(buffer) for buffer in frame.buffers]


def decoded(decoder: Decoder) -> list[tuple[int, bytes, list[bytes]]]:
    return [plain(frame) for frame in decoder.frames]


def feed_all(decoder: Decoder, chunks: Iterable[bytes]) -> Decoder:
    for chunk in chunks:
        decoder.feed(chunk)
    return decoder


# The vectors


@each(_frame_vectors)
def test_a_frame_is_encoded_as_its_vector_says(vector: Vector) -> None:
    pieces = encode_frame(vector["type"], expand(vector["body"]), tuple(map(expand, vector.get("buffers", []))))
    assert b"".join(pieces) == expand(vector["frame"])


@each(_frame_vectors)
def test_a_frame_is_decoded_as_its_vector_says(vector: Vector) -> None:
    decoder = Decoder(BODY, BUFFERS)
    decoder.feed(expand(vector["frame"]))
    assert decoded(decoder) == [
        (vector["type"], expand(vector["body"]), [expand(buffer) for buffer in vector.get("buffers", [])])
    ]
    assert not decoder.unfinished


@each([vector for vector in _frame_vectors if "value" in vector])
def test_a_frames_body_holds_its_vectors_value(vector: Vector) -> None:
    body, buffers = expand(vector["body"]), tuple(map(expand, vector.get("buffers", [])))
    if vector["type"] == FrameType.JSON:
        value = codec.decode_json(body)
    elif vector["type"] == FrameType.RAW:
        value = codec.decode_raw(body, buffers[0])
    else:
        value = codec.decode(body, buffers)
    assert same(value, value_of(vector["value"]))


def test_every_frame_type_has_a_vector() -> None:
    assert {vector["type"] for vector in _frame_vectors} == set(FrameType)


@each(_bad_streams)
def test_a_bad_stream_is_refused_before_memory_is_taken(vector: Vector) -> None:
    memory = Memory()
    decoder = memory.decoder(version=vector["version"])
    with pytest.raises(ProtocolError, match=vector["says"]):
        decoder.feed(expand(vector["stream"]))
    assert memory.reserved == 0


@each(_bad_streams)
def test_a_bad_stream_is_refused_byte_by_byte_too(vector: Vector) -> None:
    decoder, stream = Decoder(BODY, BUFFERS, version=vector["version"]), expand(vector["stream"])
    with pytest.raises(ProtocolError, match=vector["says"]):
        feed_all(decoder, [stream[i : i + 1] for i in range(len(stream))])


# Shared memory


class Mapping(Memory):
    """Returns references as they are."""

    def map(self, type: int, reference: Reference) -> Any:
        return reference


def sharing() -> Decoder:
    decoder = Mapping().decoder()
    decoder.allow_shared()
    return decoder


def shared_buffers(vector: Vector) -> tuple[Any, ...]:
    return tuple(
        expand(one) if isinstance(one, str) else Reference(one["size"], tuple(map(tuple, one["parts"])))
        for one in vector["buffers"]
    )


@each([vector for vector in _shared if "says" not in vector])
def test_references_are_written_and_read_as_their_vectors_say(vector: Vector) -> None:
    sent, stream = (vector["type"], expand(vector["body"]), shared_buffers(vector)), expand(vector["frame"])
    assert b"".join(encode_frame(*sent)) == stream
    for cut in range(len(stream) + 1):
        decoder = feed_all(sharing(), [stream[:cut], stream[cut:]])
        assert [(frame_of(frame).type, *frame_of(frame)[1:]) for frame in decoder.frames] == [sent]
        assert not decoder.unfinished


@each([vector for vector in _shared if "says" in vector])
def test_bad_references_are_refused(vector: Vector) -> None:
    stream = expand(vector["frame"])
    for size in (len(stream), 1):
        with pytest.raises(ProtocolError, match=vector["says"]):
            feed_all(sharing(), [stream[i : i + size] for i in range(0, len(stream), size)])


def test_a_sink_that_maps_nothing_refuses_references() -> None:
    decoder = Memory().decoder()
    decoder.allow_shared()
    with pytest.raises(ProtocolError, match="can't be mapped"):
        decoder.feed(expand(_shared[0]["frame"]))


# Streams, split anywhere


@pytest.mark.slow
@property_test
@given(st.lists(frames, max_size=6), chunks)
def test_a_stream_decodes_the_same_however_it_is_split(sent: list[Frame], sizes: list[int]) -> None:
    decoder = feed_all(Memory().decoder(), chunked(stream_of(sent), sizes))
    assert decoded(decoder) == [plain(frame) for frame in sent]
    assert not decoder.unfinished
    assert decoder.view is None


@pytest.mark.slow
@property_test
@given(st.lists(frames, max_size=6), chunks)
def test_a_stream_decodes_the_same_when_large_pieces_are_received_in_place(sent: list[Frame], sizes: list[int]) -> None:
    decoder, stream = Memory().decoder(), stream_of(sent)
    for chunk in chunked(stream, sizes):
        while chunk:
            view = decoder.view
            if view is None:
                decoder.feed(chunk)
                break
            count = min(len(view), len(chunk))
            view[:count] = chunk[:count]
            decoder.advance(count)
            chunk = chunk[count:]
    assert decoded(decoder) == [plain(frame) for frame in sent]
    assert not decoder.unfinished


@pytest.mark.slow
@property_test
@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_a_stream_that_ends_within_a_frame_is_unfinished(sent: list[Frame], data: st.DataObject) -> None:
    before, last = stream_of(sent[:-1]), stream_of(sent[-1:])
    cut = data.draw(st.integers(1, len(last) - 1))
    decoder = Memory().decoder()
    decoder.feed(before + last[:cut])
    assert decoded(decoder) == [plain(frame) for frame in sent[:-1]]
    assert decoder.unfinished


@pytest.mark.slow
@property_test
@given(st.lists(frames.filter(lambda frame: not frame.buffers), max_size=5), chunks)
def test_version_1_decodes_the_same_however_it_is_split(sent: list[Frame], sizes: list[int]) -> None:
    sent = [Frame(FrameType.JSON, frame.body) for frame in sent]
    decoder = feed_all(Memory().decoder(version=1), chunked(stream_of(sent), sizes))
    assert decoded(decoder) == [plain(frame) for frame in sent]


@pytest.mark.slow
@property_test
@given(mutated(_streams) | st.binary(max_size=200), chunks, st.sampled_from([1, 2]))
def test_a_mutated_stream_gives_frames_or_a_protocol_error(stream: bytes, sizes: list[int], version: int) -> None:
    memory = Memory()
    decoder = memory.decoder(10_000, 40_000, version)
    try:
        feed_all(decoder, chunked(stream, sizes))
    except ProtocolError:
        pass
    taken = sum(8 + len(body) + sum(map(len, buffers)) for _, body, buffers in decoded(decoder))
    assert taken <= len(stream)
    assert memory.largest <= 50_000


@pytest.mark.slow
@property_test
@given(st.lists(mutated(_streams), min_size=1, max_size=5), chunks)
def test_mutated_streams_take_no_memory_beyond_the_limits(streams: list[bytes], sizes: list[int]) -> None:
    # One frame under way, what was decoded, and the chunk that is being looked at.
    allowed = 200_000 + 4 * sum(map(len, streams))
    tracemalloc.start()
    try:
        for stream in streams:
            try:
                feed_all(Decoder(10_000, 40_000), chunked(stream, sizes))
            except ProtocolError:
                continue
        assert tracemalloc.get_traced_memory()[1] < allowed
    finally:
        tracemalloc.stop()


def test_a_frame_of_exactly_the_limits_is_accepted() -> None:
    decoder = Decoder(100, 200)
    sent = [Frame(FrameType.MSG, bytes(100), (bytes(150), bytes(50))), Frame(FrameType.MSG, bytes(100))]
    decoder.feed(stream_of(sent))
    assert decoded(decoder) == [plain(frame) for frame in sent]


def test_as_many_buffers_as_the_wire_allows() -> None:
    decoder = Decoder(100, MAX_BUFFER_COUNT)
    sent = Frame(FrameType.MSG, b"", (b"x",) * MAX_BUFFER_COUNT)
    stream = stream_of([sent])
    decoder.feed(stream[:20_000])
    decoder.feed(stream[20_000:])
    assert decoded(decoder) == [plain(sent)]
    with pytest.raises(ValueError, match="4097 buffers"):
        encode_frame(FrameType.MSG, b"", (b"x",) * (MAX_BUFFER_COUNT + 1))


# What a decoder is told, and tells


def test_small_plain_messages_are_bare_bytes() -> None:
    decoder = Decoder(BODY, BUFFERS)
    decoder.feed(stream_of([Frame(FrameType.MSG, b"a"), Frame(FrameType.CALL, b"b")]))
    assert list(decoder.frames) == [b"a", Frame(FrameType.CALL, b"b")]
    assert frame_of(decoder.frames[0]) == Frame(FrameType.MSG, b"a")


def test_new_limits_count_from_the_next_header() -> None:
    decoder = Decoder(8, 8)
    large = encode_header(FrameType.MSG, 9) + bytes(9)
    decoder.set_limits(9, 0)
    decoder.feed(large)
    assert len(decoder.frames) == 1
    decoder.set_limits(8, 0)
    with pytest.raises(ProtocolError, match="limit is 8"):
        decoder.feed(large)


def test_a_limit_beyond_the_headers_length_admits_no_flag() -> None:
    decoder = Decoder(1 << 60, 10)
    decoder.feed(stream_of([Frame(FrameType.MSG, b"body", (b"buffer",))]))
    assert decoded(decoder) == [(FrameType.MSG, b"body", [b"buffer"])]


def test_a_taken_frame_stays_out_of_the_frames() -> None:
    taken: list[Frame] = []

    class Taker(FrameSink):
        def take(self, frame: Frame) -> bool:
            taken.append(frame)
            return frame.type == FrameType.PING

    decoder = Decoder(BODY, BUFFERS, sink=Taker())
    ping, call = Frame(FrameType.PING, b"1"), Frame(FrameType.CALL, b"2")
    decoder.feed(stream_of([ping, Frame(FrameType.MSG, b"m"), call]))
    assert taken == [ping, call]
    assert list(decoder.frames) == [b"m", call]


def test_a_header_can_be_made_and_taken_apart() -> None:
    assert decode_header(encode_header(FrameType.PING, 0x0102_0304_0506)) == (FrameType.PING, 0, 0x0102_0304_0506)


def test_the_kind_of_memory_is_known_for_a_raw_buffer_only() -> None:
    requests: list[tuple[int, int]] = []

    class Allocator(FrameSink):
        def allocate(self, type: int, size: int) -> bytearray:
            requests.append((type, size))
            return bytearray(size)

    decoder = Decoder(BODY, BUFFERS, sink=Allocator())
    for frame in (Frame(FrameType.RAW, bytes(9000), (bytes(9001),)), Frame(FrameType.MSG, bytes(1), (bytes(9002),))):
        feed_all(decoder, chunked(stream_of([frame]), [100]))
    assert requests == [(FrameType.MSG, 9000), (FrameType.RAW, 9001), (FrameType.MSG, 9002)]


class Refuser(FrameSink):
    """Refuses memory until it is ready."""

    is_ready = False

    def reserve(self, size: int) -> bool:
        return self.is_ready


@pytest.mark.slow
@property_test
@given(frames, st.lists(frames, max_size=3), chunks)
def test_a_stalled_decoder_resumes(first: Frame, rest: list[Frame], sizes: list[int]) -> None:
    refuser = Refuser()
    decoder = Decoder(BODY, BUFFERS, sink=refuser)
    feed_all(decoder, chunked(stream_of([first, *rest]), sizes))
    plain_ones = [frame for frame in decoder.frames if type(frame) is bytes]
    assert len(plain_ones) == len(decoder.frames)  # nothing else passes without memory
    assert decoder.stalled == (len(decoder.frames) <= len(rest))
    refuser.is_ready = True
    decoder.feed(b"")
    assert not decoder.stalled
    assert decoded(decoder) == [plain(frame) for frame in (first, *rest)]


# A buffer that is to go on elsewhere


@property_test
@given(st.integers(0, 8999), st.integers(1, 9000))
def test_a_buffer_can_move_at_any_point(before: int, size: int) -> None:
    aimed = bytearray(9000)
    content = bytes(range(250)) * 36

    class Aimed(FrameSink):
        def allocate(self, type: int, size: int) -> bytearray:
            return aimed

    decoder = Decoder(BODY, BUFFERS, sink=Aimed())
    stream = stream_of([Frame(FrameType.RAW, b"", (content,))])
    head = len(stream) - 9000
    decoder.feed(stream[: head + before])
    own = bytearray(9000)
    decoder.move(aimed, own)
    feed_all(decoder, chunked(stream[head + before :], [size]))
    assert decoded(decoder) == [(FrameType.RAW, b"", [content])]
    assert frame_of(decoder.frames[0]).buffers[0] is own
    assert bytes(aimed) == content[:before] + bytes(9000 - before)


def test_only_a_buffer_that_is_being_received_can_move() -> None:
    decoder = Decoder(BODY, BUFFERS)
    decoder.move(bytearray(5), bytearray(5))
    stream = stream_of([Frame(FrameType.RAW, b"", (bytes(100),))])
    decoder.feed(stream[:50])
    decoder.move(bytearray(100), bytearray(100))
    decoder.feed(stream[50:])
    assert decoded(decoder) == [(FrameType.RAW, b"", [bytes(100)])]
