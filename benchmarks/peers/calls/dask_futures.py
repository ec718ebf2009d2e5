"""
Futures of Dask: ``client.map`` and ``client.gather`` with worker processes of one thread each.

That is Dask's own way to call a function on many arguments, and the workers' kind that it advises for plain Python.
https://docs.dask.org/en/stable/futures.html
Dask says that a task costs it about a millisecond and that tiny ones are to be made larger, which is not a call by
itself. ``map``'s ``batch_size`` submits the calls in groups, and is no faster here by 500, 2,000 or 5,000.
https://distributed.dask.org/en/latest/ and https://docs.dask.org/en/latest/best-practices.html
"""

from __future__ import annotations

import logging
import os
import sys

from distributed import Client, LocalCluster

from benchmarks.peers.calls import control


def _main(workers: int) -> None:
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.ERROR,  # on a busy machine its workers' ends take so long that it warns
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        control.check_workers(client.run(os.getpid).values(), workers)

        def noop(count: int) -> list[int]:
            # Impure: else it would answer a second round from memory.
            return list(client.gather(client.map(control.noop, range(count), pure=False)))

        def pause(count: int) -> list[int]:
            return [answer for answer, _pid in client.gather(client.map(control.pause, range(count), pure=False))]

        control.run_rounds({"noop": noop, "pause": pause})


if __name__ == "__main__":
    _main(int(sys.argv[1]))
