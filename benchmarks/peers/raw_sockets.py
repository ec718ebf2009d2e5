"""
Plain blocking sockets, for large messages.

A message is ``sendall`` from the object's own memory and ``recv_into`` fresh memory of its final size; ``bytes`` cost
one copy then, as they cost anyone who receives them so. No timeouts, no limits, one peer.
"""

from __future__ import annotations

import socket
import time

import numpy as np

from benchmarks.peers import control
from benchmarks.peers.messages import BULK, Array, large, large_answer


class Raw:
    """Messages over a socket: 8 bytes of big-endian length, then the bytes."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock

    def send(self, message: bytes | Array) -> None:
        view = memoryview(message if isinstance(message, bytes) else message.data).cast("B")
        self._socket.sendall(len(view).to_bytes(8, "big"))
        self._socket.sendall(view)

    def recv_bytes(self) -> bytes:
        buffer = bytearray(self._size())
        self._fill(memoryview(buffer))
        return bytes(buffer)

    def recv_array(self) -> Array:
        array = np.empty(self._size() // 8)
        self._fill(array.data.cast("B"))
        return array

    def _size(self) -> int:
        header = bytearray(8)
        self._fill(memoryview(header))
        return int.from_bytes(header, "big")

    def _fill(self, view: memoryview) -> None:
        got = 0
        while got < len(view):
            received = self._socket.recv_into(view[got:])
            if not received:
                raise EOFError
            got += received


def _sink(raw: Raw, mode: str) -> None:
    receive = raw.recv_array if mode == "array" else raw.recv_bytes
    try:
        while True:
            count, check = raw.recv_bytes()
            raw.send(b"go")
            answers = [large_answer(receive(), bool(check)) for _ in range(count)]
            raw.send("\n".join(answers).encode())
    except EOFError:
        return


def _run_round(raw: Raw, message: bytes | Array, count: int, check: bool) -> float:
    raw.send(bytes([count, check]))
    raw.recv_bytes()
    start = time.perf_counter()
    for _ in range(count):
        raw.send(message)
    answers = raw.recv_bytes()
    seconds = time.perf_counter() - start
    control.expect(answers.decode().split("\n") == [large_answer(message, check)] * count, "a large message differs")
    return seconds


def _serve(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control.announce(listener.getsockname()[1])
        sock, _ = listener.accept()
    with sock:
        _sink(Raw(sock), mode)


def _drive(mode: str, port: int) -> None:
    array = large(BULK)
    message = array if mode == "array" else array.tobytes()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        raw = Raw(sock)
        for count, check in control.rounds():
            control.took(_run_round(raw, message, count, check))


if __name__ == "__main__":
    control.main(_serve, _drive)
