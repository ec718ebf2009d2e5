"""
joblib with its own processes (loky), as ``Parallel(n_jobs=n, return_as="generator_unordered")`` makes them.

By default it joins calls to batches that take about half a second, and a batch is one message. That is what its users
have, so it stays: `chunks` is the same mode under the name that says so. One worker is no process of its own: joblib
makes the calls itself then.
"""

from __future__ import annotations

import sys
import time

import joblib

from benchmarks.peers.calls import control

_START = 60.0  # seconds in which all processes have started


def _main(workers: int) -> None:
    with joblib.Parallel(n_jobs=workers, return_as="generator_unordered") as parallel:

        def chunks(count: int) -> list[int]:
            return list(parallel(joblib.delayed(control.noop)(number) for number in range(count)))

        def pause(count: int) -> list[int]:
            return [answer for answer, _ in parallel(joblib.delayed(control.pause)(number) for number in range(count))]

        if workers == 1:
            control.run_rounds({"chunks": chunks, "pause": pause})
            return
        pids, deadline = set[int](), time.monotonic() + _START
        while len(pids) < workers and time.monotonic() < deadline:
            pids |= {pid for _, pid in parallel(joblib.delayed(control.pause)(number) for number in range(workers))}
        control.check_workers(pids, workers)
        control.run_rounds({"chunks": chunks, "pause": pause})


if __name__ == "__main__":
    _main(int(sys.argv[1]))
