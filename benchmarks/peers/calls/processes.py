"""
A pool of multiprocessing, as ``multiprocessing.Pool(n)`` makes it.

``imap_unordered`` sends each call by itself unless told otherwise. ``map`` is what has a chunk size that it works out:
a 32nd of the calls for 8 workers, four chunks for each.
"""

from __future__ import annotations

import multiprocessing
import sys
import time

from benchmarks.peers.calls import control

_START = 30.0  # seconds in which all processes of the pool have started


def _main(workers: int) -> None:
    with multiprocessing.Pool(workers) as pool:

        def noop(count: int) -> list[int]:
            return list(pool.imap_unordered(control.noop, range(count), chunksize=1))

        def chunks(count: int) -> list[int]:
            return pool.map(control.noop, range(count))

        def pause(count: int) -> list[int]:
            return [answer for answer, _pid in pool.imap_unordered(control.pause, range(count), chunksize=1)]

        # Again while some are still starting: on a busy machine the first ones may have made all calls by then.
        pids, deadline = set[int](), time.monotonic() + _START
        while len(pids) < workers and time.monotonic() < deadline:
            pids |= {pid for _, pid in pool.imap_unordered(control.pause, range(workers), chunksize=1)}
        control.check_workers(pids, workers)
        control.run_rounds({"noop": noop, "chunks": chunks, "pause": pause})


if __name__ == "__main__":
    _main(int(sys.argv[1]))
