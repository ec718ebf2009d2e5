"""The targets of fuzzing: each reads bytes that anyone may have made, and fails unless the right error comes."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from aioparcs import codec, wire
from aioparcs.auth import MAGIC, Hello
from aioparcs.channel.handshake.exchange import _authenticate, _introduction, _receive_hello
from aioparcs.engine import WorkerSpec
from aioparcs.errors import ConnectionLost, DecodeError, EncodeError, HandshakeError, ProtocolError
from aioparcs.events.codec import from_json, to_json
from aioparcs.events.packing import unpacked
from aioparcs.events.samples import Packed
from aioparcs.messages.launcher import REPORTS, REQUESTS, read_datagram, read_launcher_report, read_launcher_request
from aioparcs.messages.spawn import read_spawn_report, read_spawn_request
from aioparcs.settings import Settings
from aioparcs.swarm.docker.logs import parse_logs
from aioparcs.swarm.docker.task_state import is_over, launcher_state, newest, node_names
from aioparcs.swarm.engine.placement import workers_for_cpus, workers_per_container
from aioparcs.wire import Decoder, Frame, FrameType
from tests.fuzz.channel import channel
from tests.fuzz.files import files
from tests.fuzz.page import page

__all__ = ["CONTROL_TYPES", "TARGETS"]

CONTROL_TYPES = sorted({*REQUESTS, *REPORTS, *(type for type in FrameType if 16 <= type < 32)})
"""The types of the frames of control connections."""

_LIMIT = 1 << 16
_HELLO = Hello.of("runner", "job", -1, Settings())._replace(nonce=bytes(32))
_TOKEN = bytes(32)


def decoder(data: bytes) -> None:
    """Decode a stream at once and cut into pieces: the same frames, or the same refusal."""
    version = 1 + (data[:1] > b"\x40")
    size = data[1] if len(data) > 1 else 1
    stream = data[2:]
    whole = _decode([stream], version)
    pieces = _decode([stream[at : at + size + 1] for at in range(0, len(stream), size + 1)], version)
    assert whole == pieces, (whole, pieces)


def _decode(chunks: list[bytes], version: int) -> tuple[list[Any], str]:
    reading, end = Decoder(_LIMIT, _LIMIT, version=version), ""
    try:
        for chunk in chunks:
            _feed(reading, chunk)
    except (ProtocolError, ConnectionLost) as error:
        end = str(error)
    frames = [wire.frame_of(frame) for frame in reading.frames]
    return [(frame.type, bytes(frame.body), [bytes(one) for one in frame.buffers]) for frame in frames], end


def _feed(reading: Decoder, chunk: bytes) -> None:
    """Feed bytes as a connection does: into the decoder's own memory where it has some."""
    while reading.view is not None and chunk:
        count = min(len(reading.view), len(chunk))
        reading.view[:count] = chunk[:count]
        reading.advance(count)
        chunk = chunk[count:]
    if chunk:
        reading.feed(chunk)


def values(data: bytes) -> None:
    """Decode a value: one that MessagePack's own decoder knows is the same, and what can be sent again, too."""
    buffers = [bytearray(b"12345678"), bytearray(16)]
    try:
        value = codec.decode(data, tuple(map(memoryview, buffers)))
    except DecodeError:
        if (other := _plain(data)) is not _NOTHING:
            assert _has_heavy_keys(other), f"msgpack decodes {other!r}"
        return
    if (other := _plain(data)) is not _NOTHING:
        assert _same(value, other), (value, other)
        try:
            raw, body, parts = codec.encode(value)
        except EncodeError as error:
            if "nested more than" in str(error):  # senders nest less than receivers take
                return
            raise
        again = codec.decode_raw(body, parts[0]) if raw else codec.decode(body, parts)
        assert _same(value, again), (value, again)
    else:
        try:
            codec.encode(value)
        except EncodeError:
            pass  # a value in a form that this side never sends


_NOTHING = object()


def _plain(data: bytes) -> Any:
    """Return what MessagePack's own decoder makes of a body without extensions, or `_NOTHING`."""

    def refuse(code: int, _data: bytes) -> Any:
        raise ValueError(code)

    try:
        return msgpack.unpackb(data, strict_map_key=False, timestamp=3, ext_hook=refuse)
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException):
        return _NOTHING


def _has_heavy_keys(value: Any) -> bool:
    """Return whether a value has maps whose keys may be refused, for their number or their hashes."""
    if isinstance(value, dict):
        return len(value) > 1 or any(map(_has_heavy_keys, value.values()))
    return isinstance(value, list) and any(map(_has_heavy_keys, value))


def _same(one: Any, other: Any) -> bool:
    """Compare values with their types; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            _same(a, b) and _same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    return bool(one == other)


def handshake(data: bytes) -> None:
    """Play a peer of either side of the handshake: it is refused, whatever it says, for it doesn't know the token."""
    for steps in (_introduction(_HELLO, _TOKEN), _listen()):
        try:
            _play(steps, data)
        except HandshakeError:
            continue
        except EOFError:
            continue  # it says too little
        raise AssertionError("it came in without the token")


def _listen() -> Iterator[Any]:
    peer_hello, greeting = yield from _receive_hello()
    yield from _authenticate(_HELLO, _TOKEN, peer_hello, greeting)


def _play(steps: Any, data: bytes) -> None:
    position = 0
    try:
        step = next(steps)
        while True:
            if position + step.size > len(data):
                raise EOFError
            piece = data[position : position + step.size]
            position += step.size
            step = steps.send(piece)
    except StopIteration:
        return
    finally:
        steps.close()


def control(data: bytes) -> None:
    """Read the messages of control connections: each is refused, or comes out as it was."""
    if not data:
        return
    frame = Frame(CONTROL_TYPES[data[0] % len(CONTROL_TYPES)], data[1:])
    for read in (read_launcher_request, read_launcher_report, read_spawn_request, read_spawn_report):
        try:
            message: Any = read(frame)
        except ProtocolError:
            continue
        kind, body = message.encode()
        again = read(Frame(kind, body))
        assert repr(again) == repr(message), (message, again)
    try:
        read_datagram(data)
    except ProtocolError:
        pass


def docker(data: bytes) -> None:
    """Read what Docker answers: logs as they come, tasks and nodes in which any text may be anything."""
    try:
        parse_logs(data)
    except (ValueError, OverflowError):
        pass  # Docker itself writes the times; no program can change them
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(fields, list) or len(fields) < 8:
        return
    texts = [one if isinstance(one, str) else "x" for one in fields]
    number = next((one for one in fields if type(one) is int and abs(one) < 1 << 40), 0)
    task: Any = {
        "ID": texts[0], "CreatedAt": texts[1], "DesiredState": texts[2], "NodeID": texts[3], "Slot": number,
        "Status": {"State": texts[4], "Err": texts[5], "ContainerStatus": {"ExitCode": number % 512 - 100}},
    }  # fmt: skip
    node: Any = {
        "ID": texts[3], "Spec": {"Availability": texts[6]}, "Status": {"State": texts[7]},
        "Description": {"Hostname": texts[6], "Resources": {"NanoCPUs": abs(number), "MemoryBytes": abs(number)}},
    }  # fmt: skip
    state = launcher_state(1, newest([task])[number], node_names([node]), frozenset({node["ID"]}))
    assert state.state in ("placed", "running", "failed", "gone")
    assert (state.state in ("failed", "gone")) is is_over(task)
    assert workers_for_cpus(WorkerSpec("x", cpus=0.5), [node]) >= 1
    assert workers_per_container(WorkerSpec("x", memory=1 << 20), 7, [node]).per_container >= 1


def hello(data: bytes) -> None:
    """Read a HELLO: it is refused, or comes out as it was, but for what is unknown."""
    try:
        read = Hello.decode(data)
    except HandshakeError:
        return
    assert Hello.decode(read.encode()) == read
    handshake(MAGIC + wire.encode_header(FrameType.HELLO, len(data)) + data)


def events(data: bytes) -> None:
    """Read a line of a log, and many that are packed: each is no event, or one that comes out as it was."""
    event = from_json(data.decode(errors="replace"))
    assert event is None or from_json(to_json(event)) == event, event
    for one in unpacked(Packed(0.0, b64encode(data).decode(), 0)):
        assert not isinstance(one, Packed), one
    if isinstance(event, Packed):
        unpacked(event)


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (decoder, values, handshake, hello, control, channel, events, files, docker, page)
}
