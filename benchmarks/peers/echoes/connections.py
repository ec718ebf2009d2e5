"""Connections of multiprocessing over TCP: ``send_bytes`` and ``recv_bytes``."""

from __future__ import annotations

from multiprocessing.connection import Client, Listener

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds


def _serve(mode: str) -> None:
    with Listener(("127.0.0.1", 0)) as listener:
        control.announce(int(listener.address[1]))
        with listener.accept() as connection:
            try:
                while True:
                    connection.send_bytes(connection.recv_bytes())
            except EOFError:
                return


def _drive(mode: str, port: int) -> None:
    with Client(("127.0.0.1", port)) as connection:

        def exchange(message: bytes) -> bytes:
            connection.send_bytes(message)
            return connection.recv_bytes()

        rounds.drive(mode, exchange)


if __name__ == "__main__":
    control.main(_serve, _drive)
