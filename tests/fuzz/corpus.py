"""The inputs that fuzzing begins with: real messages, and those of ``corpus``, which fuzzing has found."""

from __future__ import annotations

import datetime
import io
import json
import tarfile
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aioparcs import Address, codec, wire
from aioparcs.auth import MAGIC, Hello, Role
from aioparcs.events import Event, Notice, WorkerConnected, WorkerUsage
from aioparcs.events.codec import to_json
from aioparcs.events.packing import Packer
from aioparcs.files.listing import SENT
from aioparcs.files.sending import OutgoingFiles
from aioparcs.messages.launcher import Exited, Kill, Log, LogLine, Progress, Start, Started
from aioparcs.messages.spawn import ChildConnected, Spawn, SpawnExpected
from aioparcs.settings import Settings
from aioparcs.wire import FrameType

__all__ = ["inputs", "keep"]

_MOST, _LONGEST = 60, 200  # inputs that are kept at a time, and their bytes
_FILES = Path(__file__).with_name("corpus")
_VALUES: list[Any] = [
    None, True, 7, -(1 << 70), 1.5, "text", b"bytes", [1, [2.0, "x"]], {"a": {"b": [None]}}, {1: 2, "x": (1, 2)},
    {1, 2, 3}, Decimal("1.5"), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.date(2026, 1, 1),
    Address("tcp", "host", 1), [(1, 2), (3, 4)], complex(1, 2), Path("x"), bytes(300),
]  # fmt: skip
_REQUESTS = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    "GET /api/jobs HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nCookie: aioparcs-PORT=x\r\n\r\n",
    "GET /api/jobs/x/events HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nAuthorization: Bearer x\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost:PORT\r\nAuthorization: bearer x\r\n\r\n",
    'POST /api/login HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\nContent-Length: 14\r\n'
    'Content-Type: application/json\r\n\r\n{"token": "x"}',
    "POST /api/jobs/x/stop HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
)  # fmt: skip


def inputs(target: str) -> list[bytes]:
    """Return the inputs of a target."""
    own: Callable[[], Iterable[bytes]] = {
        "decoder": _streams, "values": _bodies, "handshake": _handshakes, "hello": _hellos, "control": _messages,
        "channel": _conversations, "events": _lines_of_logs, "files": _tars, "docker": _answers,
        "page": lambda: (one.encode() for one in _REQUESTS),
    }[target]  # fmt: skip
    return [*own(), *map(bytes.fromhex, _lines(target))]


def keep(target: str, found: Iterable[bytes]) -> None:
    """Add short inputs, each of which reaches code that no other one does, to the file of a target."""
    lines = {data.hex() for data in sorted(found, key=len)[:_MOST] if 0 < len(data) <= _LONGEST}
    _FILES.mkdir(exist_ok=True)
    _file(target).write_text("".join(f"{line}\n" for line in sorted({*lines, *_lines(target)}, key=_order)))


def _order(line: str) -> tuple[int, str]:
    return len(line), line


def _file(target: str) -> Path:
    return _FILES / f"{target}.hex"


def _lines(target: str) -> list[str]:
    return _file(target).read_text().split() if _file(target).exists() else []


def _bodies() -> Iterator[bytes]:
    for value in _VALUES:
        yield codec.encode(value)[1]


def _streams() -> Iterator[bytes]:
    frames = []
    for value in _VALUES:
        raw, body, buffers = codec.encode(value)
        frames.append(b"".join(wire.encode_frame(FrameType.RAW if raw else FrameType.MSG, body, buffers)))
    yield from (bytes([0, 3]) + frame for frame in frames)
    yield bytes([0, 50]) + b"".join(frames)
    yield bytes([0x80, 5]) + b"".join(wire.encode_header(0, 2) + b"{}" for _ in range(3))


def _hello(role: str) -> bytes:
    return Hello.of(role, "job", 3, Settings())._replace(nonce=bytes(32)).encode()


def _hellos() -> Iterator[bytes]:
    yield from map(_hello, (Role.WORKER, Role.LAUNCHER, Role.PEER, Role.RUNNER))


def _handshakes() -> Iterator[bytes]:
    for body in _hellos():
        greeting = MAGIC + wire.encode_header(FrameType.HELLO, len(body)) + body
        yield greeting + wire.encode_header(FrameType.AUTH, 32) + bytes(32)
        yield greeting + wire.encode_header(FrameType.REJECT, 5) + b"\x92\x01\xa2no"


def _messages() -> Iterator[bytes]:
    from tests.fuzz.targets import CONTROL_TYPES

    messages: list[Any] = [
        Start(0, 3, 0, 3, {"cpus": 1.0}), Started(1, 2), Exited(1, -9, ["x"], b"results"), Kill(1, 9),
        Log([LogLine(1, "text")], 2), Progress(1, 0.5, 2.0), Spawn(1, "module", 2, {}, "tcp://h:1"),
        SpawnExpected(1), ChildConnected(7),
    ]  # fmt: skip
    for message in messages:
        type, body = message.encode()
        yield bytes([CONTROL_TYPES.index(type)]) + body


def _conversations() -> Iterator[bytes]:
    from tests.fuzz.channel import FRAME_TYPES

    error = {"type": "ValueError", "message": "no", "traceback": "x", "cause": {"type": "OSError", "message": "y"}}
    messages: list[list[tuple[FrameType, Any]]] = [
        [(FrameType.RESULT, [0, None, 7]), (FrameType.RESULT, [0, None, 8]), (FrameType.RESULT, [0, True, None])],
        [(FrameType.RESULT, [1, True, "result"]), (FrameType.RESULT, [0, False, error])],
        [(FrameType.MSG, [1, "x"]), (FrameType.RAW, b"bytes"), (FrameType.JSON, b"{}"), (FrameType.BARRIER, b"")],
        [(FrameType.CALL, [3, "f", [1], {}]), (FrameType.CANCEL, [3]), (FrameType.CREDIT, [0, 32])],
        [(FrameType.MAPPED, True), (FrameType.MAPPED, [1, 2, b"name"]), (FrameType.MAPPED, 1)],
        [(FrameType.RELAY, [b"name", "message", 1, 100, []]), (FrameType.RELAY, [b"name", "release", True])],
        [(FrameType.RELAY, [b"name", "have", 3]), (FrameType.RELAY, [b"name", "failed", error])],
        [(FrameType.ERROR, error), (FrameType.BYE, b""), (FrameType.PING, b""), (FrameType.PONG, b"")],
    ]
    for frames in messages:
        bodies = [(type, one if isinstance(one, bytes) else codec.encode_inline(one)[0]) for type, one in frames]
        yield b"".join(bytes([FRAME_TYPES.index(type), len(body)]) + body for type, body in bodies)


def _lines_of_logs() -> Iterator[bytes]:
    events: list[Event] = [WorkerConnected(1.5, "module", 3), Notice(1.5, "module", "text"), WorkerUsage(1.5, ())]
    packer = Packer(1 << 16)
    for event in events:
        packer.add(event)
        yield to_json(event).encode()
    packed = packer.packed(1.5, 2)
    yield to_json(packed).encode()
    yield b64decode(packed.data)


def _tars() -> Iterator[bytes]:
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        file = io.BytesIO()
        with tarfile.open(mode="w", fileobj=file, format=format) as tar:
            _add(tar, "out", type=tarfile.DIRTYPE)
            _add(tar, "out/" + "x" * 110, b"content")
            _add(tar, "out/link", type=tarfile.SYMTYPE, linkname="y")
            _add(tar, "out/hard", type=tarfile.LNKTYPE, linkname="out/" + "x" * 110)
        yield file.getvalue()
    for headers in ({"mtime": "1e300"}, {"mtime": "nan"}, {"path": "out/\0"}, {"GNU.sparse.major": "1"}):
        file = io.BytesIO()
        with tarfile.open(mode="w", fileobj=file, format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "out", b"content", pax_headers={"GNU.sparse.minor": "0", **headers})
        yield file.getvalue()
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_text("content")
        yield b"".join(OutgoingFiles({"out": path}, ["folder"], SENT).chunks())


def _add(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    info.size, info.mtime = len(content), 1.5
    tar.addfile(info, io.BytesIO(content))


def _answers() -> Iterator[bytes]:
    line = b"2026-01-01T00:00:00.123456789Z text\n"
    yield b"".join(bytes([stream, 0, 0, 0]) + len(line).to_bytes(4, "big") + line for stream in (1, 2, 3))
    for state in ("running", "failed", "complete", "rejected", "shutdown", "pending"):
        why = "task: non-zero exit (137)"
        yield json.dumps(["id", "2026-01-01T00:00:00Z", "running", "node", state, why, "active", "ready", 237]).encode()
