"""Not a message at all: two copies of the bytes into memory that is there, which is the least that a kernel does."""

from __future__ import annotations

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds


def _serve(mode: str) -> None:
    control.announce(0)
    rounds.wait_for_end()


def _drive(mode: str, port: int) -> None:
    there, back = bytearray(int(mode)), bytearray(int(mode))

    def exchange(message: bytes) -> bytearray:
        there[:] = message
        back[:] = there
        return back

    rounds.drive(mode, exchange)


if __name__ == "__main__":
    control.main(_serve, _drive)
