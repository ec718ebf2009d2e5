"""
Start processes with multiprocessing's fork server until each has answered one message on a pipe of its own.

The fork server preloads what an aioparcs worker needs (asyncio, uvloop, msgpack) and the worker's own module; each
child runs the main file again, as in any program that has one, but it is small and imports nothing else. The clock
runs from before the fork server exists, so it counts its start, its imports and the forks; the imports of the program
that starts it are not counted.
"""

from __future__ import annotations

import multiprocessing
import sys
import time

from benchmarks.peers import control, pipe_worker


def measure(count: int) -> float:
    """Return the seconds for ``count`` processes."""
    start = time.perf_counter()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["asyncio", "uvloop", "msgpack", pipe_worker.__name__])
    pipes, processes = [], []
    for _ in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=pipe_worker.echo, args=(theirs,))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    for number, pipe in enumerate(pipes):
        pipe.send(["hello", number])
    answers = [pipe.recv() for pipe in pipes]
    seconds = time.perf_counter() - start
    control.expect([message for _, message in answers] == [["hello", i] for i in range(count)], "an echo differs")
    control.expect(len({pid for pid, _ in answers}) == count, "two workers are one process")
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.join()
    return seconds


if __name__ == "__main__":
    print([measure(int(sys.argv[1]))])
