"""
A service written from docs/wire.md alone, as if in another language: the standard library, nothing of aioparcs.

It is its own launcher, and its workers are threads. A worker sends every message back; ``add`` is a function of it.
"""

import hashlib
import hmac
import os
import socket
import struct
import threading
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MAGIC = b"PARCS\r\n\0"
MSG, RAW, CALL, RESULT, BYE, PING, PONG, HELLO, AUTH, WELCOME = 1, 2, 3, 4, 7, 8, 9, 10, 11, 12
START, STARTED, EXITED, KILL, LOG, PROGRESS = 16, 17, 18, 19, 20, 21


class Frame(NamedTuple):
    type: int
    body: bytes
    buffers: list[bytes]


class Extension(NamedTuple):
    code: int
    data: bytes


class Connection:
    def __init__(self, role: str, number: int, token: bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("\0" + urlsplit(os.environ["PARCS_RUNNER"]).path.removeprefix("@"))
        self.stream = self.socket.makefile("rb")
        self.lock = threading.Lock()
        self.shake_hands(role, number, token)

    def shake_hands(self, role: str, number: int, token: bytes) -> None:
        hello = {
            "versions": [2, 2],
            "role": role,
            "job": os.environ["PARCS_JOB"],
            "worker": number,
            "nonce": os.urandom(32),
            "agent": "reference",
            "limits": {"body": 1 << 20, "buffers": 1 << 30},
        }
        own_hello = MAGIC + header(HELLO, pack(hello)) + pack(hello)
        self.socket.sendall(own_hello)
        assert self.read(8) == MAGIC
        head = self.read(8)
        body = self.read(struct.unpack(">Q", head)[0] & 0xFFFF)
        transcript = own_hello + MAGIC + head + body
        proof = prove(token, role, transcript)
        self.send(AUTH, proof)
        transcript += header(AUTH, proof) + proof
        assert self.receive() == Frame(AUTH, prove(token, unpack(body)["role"], transcript), [])
        assert self.receive() == Frame(WELCOME, b"", [])

    def send(self, type: int, body: bytes = b"", buffers: list[bytes] | None = None) -> None:
        with self.lock:
            self.socket.sendall(header(type, body, buffers) + body + b"".join(buffers or []))

    def receive(self) -> Frame:
        type, flags, high, low = struct.unpack(">BBHI", self.read(8))
        lengths: tuple[int, ...] = ()
        if flags:
            (count,) = struct.unpack(">I", self.read(4))
            lengths = struct.unpack(f">{count}Q", self.read(8 * count))
        return Frame(type, self.read(high << 32 | low), [self.read(length) for length in lengths])

    def read(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def close(self) -> None:
        self.send(BYE)
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(4096):
            pass
        self.stream.close()
        self.socket.close()


def prove(token: bytes, role: str, transcript: bytes) -> bytes:
    return hmac.digest(token, role.encode() + hashlib.sha256(transcript).digest(), "sha256")


def header(type: int, body: bytes, buffers: list[bytes] | None = None) -> bytes:
    if not buffers:
        return struct.pack(">BBHI", type, 0, 0, len(body))
    lengths = struct.pack(f">I{len(buffers)}Q", len(buffers), *map(len, buffers))
    return struct.pack(">BBHI", type, 1, 0, len(body)) + lengths


def pack(value: Any) -> bytes:
    """Encode with the longest form of everything: a reader accepts any."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + value.to_bytes(8, "big", signed=True)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        return struct.pack(">BI", 0xDB, len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, Extension):
        return struct.pack(">BIb", 0xC9, len(value.data), value.code) + value.data
    if isinstance(value, dict):
        return struct.pack(">BI", 0xDF, len(value)) + b"".join(pack(inner) for pair in value.items() for inner in pair)
    return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))


def unpack(data: bytes) -> Any:
    value, rest = unpack_first(data)
    assert not rest
    return value


def unpack_first(data: bytes) -> tuple[Any, bytes]:
    first, rest = data[0], data[1:]
    if first < 0x80 or first >= 0xE0:
        return first - (256 if first >= 0xE0 else 0), rest
    if first < 0xC0:
        size = first & (15 if first < 0xA0 else 31)
        return unpack_sized(first >> 4 & 3 if first < 0xA0 else 2, size, rest)
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], rest
    if first in (0xCA, 0xCB):
        size = 4 if first == 0xCA else 8
        return struct.unpack(">f" if size == 4 else ">d", rest[:size])[0], rest[size:]
    if 0xCC <= first <= 0xD3:
        size = 1 << (first & 3)
        return int.from_bytes(rest[:size], "big", signed=first >= 0xD0), rest[size:]
    if 0xD4 <= first <= 0xD8:
        size = 1 << first - 0xD4
        return Extension(rest[0] - (rest[0] >> 7 << 8), rest[1 : 1 + size]), rest[1 + size :]
    kind, width = _LONG[first]
    return unpack_sized(kind, int.from_bytes(rest[:width], "big"), rest[width:])


# What follows a length, and how many bytes the length has: 0 map, 1 array, 2 text, 3 bytes, 4 extension.
_LONG = {0xD9: (2, 1), 0xDA: (2, 2), 0xDB: (2, 4), 0xC4: (3, 1), 0xC5: (3, 2), 0xC6: (3, 4)}
_LONG |= {0xDC: (1, 2), 0xDD: (1, 4), 0xDE: (0, 2), 0xDF: (0, 4), 0xC7: (4, 1), 0xC8: (4, 2), 0xC9: (4, 4)}


def unpack_sized(kind: int, size: int, rest: bytes) -> tuple[Any, bytes]:
    if kind == 2:
        return rest[:size].decode(), rest[size:]
    if kind == 3:
        return rest[:size], rest[size:]
    if kind == 4:
        return Extension(rest[0] - (rest[0] >> 7 << 8), rest[1 : 1 + size]), rest[1 + size :]
    values = []
    for _ in range(size * (2 - kind)):
        value, rest = unpack_first(rest)
        values.append(value)
    return (values, rest) if kind == 1 else (dict(zip(values[::2], values[1::2], strict=True)), rest)


def work(launcher: Connection, worker: int, rank: int, token: bytes) -> None:
    connection = Connection("worker", worker, token)
    launcher.send(PROGRESS, pack([worker, rank, 1.0]))
    while (frame := connection.receive()).type != BYE:
        if frame.type == PING:
            connection.send(PONG, frame.body)
        elif frame.type == CALL:
            connection.send(RESULT, pack(answer(*unpack(frame.body))))
        elif frame.type in (MSG, RAW):
            body = pack(unpack(frame.body)) if frame.body else b""
            connection.send(frame.type, body, frame.buffers)
    connection.close()
    launcher.send(EXITED, pack([worker, 0, ["goodbye"]]))


def answer(call: int, name: str, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    if name != "add":
        return [call, False, {"type": "LookupError", "message": f"no function {name}"}]
    return [call, True, sum(args) + sum(kwargs.values())]


def main() -> None:
    token = os.read(int(os.environ["PARCS_TOKEN_FD"]), 32)
    launcher = Connection("launcher", int(os.environ["PARCS_SLOT"]), token)
    workers = []
    while (frame := launcher.receive()).type != BYE:
        if frame.type == PING:
            launcher.send(PONG, frame.body)
        elif frame.type == START:
            first, count, base, _size, _limits, parent = unpack(frame.body)
            assert parent is None
            for worker in range(first, first + count):
                launcher.send(STARTED, pack([worker, os.getpid()]))
                workers.append(threading.Thread(target=work, args=(launcher, worker, worker - base, token)))
                workers[-1].start()
            launcher.send(LOG, pack([[[first, "hello from the reference service"]], 0]))
        elif frame.type == KILL and unpack(frame.body)[0] == -1:
            break
    for thread in workers:
        thread.join()
    launcher.close()


if __name__ == "__main__":
    main()
