"""joblib, whose arrays of 1 MiB and more are files that the workers map; each array of the 200 is another object."""

from __future__ import annotations

import joblib

from benchmarks.peers.arrays import control


def _main() -> None:
    constant = control.array_of(control.CONSTANT)
    with joblib.Parallel(n_jobs=control.WORKERS, batch_size=1, pre_dispatch="all") as parallel:
        parallel(joblib.delayed(control.identity)(number) for number in range(10 * control.WORKERS))

        def setup() -> float:
            array = constant.copy()  # joblib remembers the file of one that it has met
            start = control.clock()
            sums = parallel(joblib.delayed(control.total)(array) for _ in range(control.WORKERS))
            seconds = control.clock() - start
            control.check(sums, control.total(array), control.WORKERS)
            return seconds

        def items() -> float:
            arrays = [control.array_of(control.ITEM) for _ in range(control.ITEMS)]
            start = control.clock()
            sums = parallel(joblib.delayed(control.total)(array) for array in arrays)
            seconds = control.clock() - start
            control.check(sums, control.total(arrays[0]), control.ITEMS)
            return seconds

        control.serve_rounds({"setup": setup, "items": items})


if __name__ == "__main__":
    _main()
