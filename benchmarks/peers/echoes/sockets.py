"""Blocking sockets, received into fresh memory of the final size."""

from __future__ import annotations

import socket

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds


def _send(sock: socket.socket, message: bytes | bytearray) -> None:
    head = len(message).to_bytes(8, "big")
    if len(message) < 1 << 16:
        sock.sendall(head + message)
    else:
        sock.sendall(head)
        sock.sendall(message)


def _fill(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = sock.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return data


def _recv(sock: socket.socket) -> bytearray:
    return _fill(sock, int.from_bytes(_fill(sock, 8), "big"))


def _serve(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control.announce(listener.getsockname()[1])
        sock, _ = listener.accept()
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                _send(sock, _recv(sock))
        except EOFError:
            return


def _drive(mode: str, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def exchange(message: bytes) -> bytearray:
            _send(sock, message)
            return _recv(sock)

        rounds.drive(mode, exchange)


if __name__ == "__main__":
    control.main(_serve, _drive)
