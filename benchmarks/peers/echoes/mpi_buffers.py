"""``Send`` and ``Recv`` of mpi4py between two ranks over TCP; each receives into memory that it has."""

from __future__ import annotations

import os
import sys

from benchmarks.peers import control, mpi
from benchmarks.peers.echoes import rounds


def _serve(mode: str) -> None:
    control.announce(0)  # both ranks are the driving side's
    rounds.wait_for_end()


def _drive(mode: str, port: int) -> None:
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # the harness has put this on one core
    mpi.start("benchmarks.peers.echoes.mpi_buffers", 2, *sys.argv[1:])
    from mpi4py import MPI  # which looks for its ranks at once

    world = MPI.COMM_WORLD
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[world.rank % len(cores)]})
    memory = bytearray(int(mode))
    if world.rank:
        _echo(world, memory)
        return

    def exchange(message: bytes) -> bytearray:
        world.Send(message, 1)
        world.Recv(memory, 1)
        return memory

    rounds.drive(mode, exchange)
    world.Send(b"", 1)


def _echo(world: object, memory: bytearray) -> None:
    from mpi4py import MPI

    assert isinstance(world, MPI.Comm)
    status = MPI.Status()
    while True:
        world.Recv(memory, 0, status=status)
        if not status.Get_count(MPI.BYTE):
            return
        world.Send(memory, 0)


if __name__ == "__main__":
    control.main(_serve, _drive)
