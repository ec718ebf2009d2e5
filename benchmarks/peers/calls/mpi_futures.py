"""
The executor of mpi4py over ranks that are there from the start: ``MPICommExecutor``, whose rank 0 makes the calls.

https://mpi4py.readthedocs.io/en/stable/mpi4py.futures.html
"""

from __future__ import annotations

import sys

from benchmarks.peers import mpi
from benchmarks.peers.calls import control


def _main(workers: int) -> None:
    from mpi4py.futures import MPICommExecutor  # which looks for its ranks at once

    with MPICommExecutor() as executor:
        if executor is None:  # a worker, and all calls are made
            return

        def noop(count: int) -> list[int]:
            return list(executor.map(control.noop, range(count), unordered=True))

        def pause(count: int) -> list[int]:
            return [answer for answer, _pid in executor.map(control.pause, range(count), unordered=True)]

        pids = set[int]()
        while len(pids) < workers:
            pids |= {pid for _, pid in executor.map(control.pause, range(workers), unordered=True)}
        control.check_workers(pids, workers)
        control.run_rounds({"noop": noop, "pause": pause})


if __name__ == "__main__":
    mpi.start("benchmarks.peers.calls.mpi_futures", int(sys.argv[1]) + 1, sys.argv[1])
    _main(int(sys.argv[1]))
