"""Blocking Unix sockets: each side sends an array of its own, and receives into fresh memory."""

from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np

from benchmarks.peers.arrays import control
from benchmarks.peers.control import expect


def _receive(sock: socket.socket) -> Any:
    array = np.empty(control.BOTH_WAYS // 8)
    view, done = array.data.cast("B"), 0
    while done < len(view):
        count = sock.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return array


def _answer(sock: socket.socket, own: Any) -> None:
    try:
        while True:
            expect(control.total(_receive(sock)) == control.total(own), "an array differs")
            sock.sendall(own)
    except EOFError:
        os._exit(0)


def _main() -> None:
    array = control.array_of(control.BOTH_WAYS)
    here, there = socket.socketpair()
    if not os.fork():
        here.close()
        _answer(there, array.copy())
    there.close()

    def exchange() -> float:
        start = control.clock()
        for _ in range(control.EXCHANGES):
            here.sendall(array)
            expect(control.total(_receive(here)) == control.total(array), "an array differs")
        return (control.clock() - start) / control.EXCHANGES

    control.serve_rounds({"exchange": exchange})


if __name__ == "__main__":
    _main()
