"""
The process that answers the calls of all workers of ``benchmarks/modules/crowd``: ``MODULE PATH``, a Unix socket's.

It prints ``ready`` when it listens. All calls that a worker has got by one look are answered by one write. The end of
its input ends it.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

import msgpack

from benchmarks.peers.control import place

_HEADER, _CALL, _BYE, _PING, _RESULT, _PONG = 8, 3, 7, 8, 4, 9
_SETUP = msgpack.packb([1, True, None])  # what each worker's first call but one is answered by
_HEADS = [struct.pack(">BBHI", _RESULT, 0, 0, size) for size in range(256)]


class _Worker:
    """A worker's connection, and the process that has handed it over."""

    def __init__(self, connection: socket.socket, process: socket.socket) -> None:
        self._connection = connection
        self._process = process
        self._rest = b""
        connection.setblocking(True)
        connection.sendall(_HEADS[len(_SETUP)] + _SETUP)

    def answer(self) -> bool:
        """Answer what has come; return whether more may come."""
        data = self._rest + self._connection.recv(65536)
        answers: list[bytes] = []
        place, end = 0, len(data)
        is_open = end > len(self._rest)
        unpack, pack = msgpack.unpackb, msgpack.packb
        while place + _HEADER <= end:
            size = int.from_bytes(data[place + 2 : place + _HEADER])
            if place + _HEADER + size > end:
                break
            kind, body = data[place], data[place + _HEADER : place + _HEADER + size]
            place += _HEADER + size
            if kind == _CALL:
                number, _, (value,), _ = unpack(body)
                result = pack([number, True, value + 1])
                answers.append(_HEADS[len(result)] + result)
            elif kind == _PING:
                answers.append(bytes([_PONG, *data[place - size - _HEADER + 1 : place]]))
            elif kind == _BYE:
                is_open = False
        self._rest = data[place:]
        if answers:
            self._connection.sendall(b"".join(answers))
        return is_open

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.close()


def _main(path: str) -> None:
    place(1)
    with socket.socket(socket.AF_UNIX) as listener, select.epoll() as poll:
        listener.bind(path)
        listener.listen(4096)
        poll.register(listener, select.EPOLLIN)
        poll.register(sys.stdin, select.EPOLLIN)
        print("ready", flush=True)
        workers: dict[int, _Worker] = {}
        while True:
            for number, _ in poll.poll():
                if number == listener.fileno():
                    process = listener.accept()[0]
                    (descriptor,) = socket.recv_fds(process, 6, 1)[1]
                    connection = socket.socket(fileno=descriptor)
                    workers[descriptor] = _Worker(connection, process)
                    poll.register(connection, select.EPOLLIN)
                elif number == sys.stdin.fileno():
                    return
                elif not workers[number].answer():
                    poll.unregister(number)
                    workers.pop(number).close()


if __name__ == "__main__":
    _main(sys.argv[1])
