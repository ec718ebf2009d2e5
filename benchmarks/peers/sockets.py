"""
Plain blocking sockets, for round trips.

TCP_NODELAY is set; a message is one ``sendall`` and is read through a buffered file, which asks the kernel once for
header and body. No timeouts, no limits, one peer.
"""

from __future__ import annotations

import socket
import time
from typing import Any

import msgpack

from benchmarks.peers import control
from benchmarks.peers.messages import small


class Packed:
    """Messages over a socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._file = sock.makefile("rb")
        self._pack = msgpack.Packer().pack

    def send(self, message: Any) -> None:
        body = self._pack(message)
        self._socket.sendall(len(body).to_bytes(8, "big") + body)

    def recv(self) -> Any:
        header = self._file.read(8)
        if not header:
            raise EOFError
        return msgpack.unpackb(self._file.read(int.from_bytes(header, "big")))


def _echo(packed: Packed) -> None:
    try:
        while True:
            packed.send(packed.recv())
    except EOFError:
        return


def _run_round(packed: Packed, count: int, check: bool) -> float:
    if check:
        for number in range(count):
            packed.send(small(number))
            control.expect(packed.recv() == small(number), "an echo differs")
    message = answer = small(count)
    start = time.perf_counter()
    for _ in range(count):
        packed.send(message)
        answer = packed.recv()
    seconds = time.perf_counter() - start
    control.expect(answer == message, "an echo differs")
    return seconds


def _serve(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control.announce(listener.getsockname()[1])
        sock, _ = listener.accept()
    with sock:
        _echo(Packed(sock))


def _drive(mode: str, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        packed = Packed(sock)
        for count, check in control.rounds():
            control.took(_run_round(packed, count, check))


if __name__ == "__main__":
    control.main(_serve, _drive)
