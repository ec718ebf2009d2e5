"""A pool of multiprocessing: arrays are pickled, through a pipe for all workers."""

from __future__ import annotations

import multiprocessing

from benchmarks.peers.arrays import control


def _main() -> None:
    item = control.array_of(control.ITEM)
    with multiprocessing.Pool(control.WORKERS) as pool:
        pool.map(control.identity, range(10 * control.WORKERS), chunksize=1)

        def items() -> float:
            start = control.clock()
            sums = pool.map(control.total, [item] * control.ITEMS, chunksize=1)
            seconds = control.clock() - start
            control.check(sums, control.total(item), control.ITEMS)
            return seconds

        control.serve_rounds({"items": items})


if __name__ == "__main__":
    _main()
