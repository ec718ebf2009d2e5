"""
The times of single calls of a pool, or of single messages: ``MODULE submit|recv|bare|bare1 WORKERS``.

Messages go to workers in turn, and `recv_any` receives the answers. ``bare`` is the same without aioparcs: to forked
processes, by protocols of asyncio on both sides. ``bare1`` has as many of them, and only one gets messages, as a pool's
calls go to the worker that has answered last.

It prints ``ready``. Then each line on its input is a round: ``COUNT RATE``, how many calls, and how many begin each
second. They begin when they are due, whether those before are done or not, and their time runs from when they were due:
a stall is in the times of all calls that it delays. With a rate of 0 each begins when the one before is done. The
answer is the list of all times in microseconds. The end of its input ends it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Protocol

import uvloop

from aioparcs import Pool, Runner, Task, run
from benchmarks.peers.control import expect, place
from benchmarks.peers.protocol import Framed

_MONOTONIC, _LIBC = 1, ctypes.CDLL(None, use_errno=True)
_Times = list[float]


class _Subject(Protocol):
    """What is measured."""

    def begin(self, number: int, done: Callable[[], object]) -> None:
        """Begin one, which calls a function when it is done."""


class _Submit:
    """Calls of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def begin(self, number: int, done: Callable[[], object]) -> None:
        def check(future: asyncio.Future[int]) -> None:
            expect(future.result() == number + 1, "an answer differs")
            done()

        self._pool.submit(number).add_done_callback(check)


class _Receive:
    """Messages to workers in turn, whose answers `recv_any` receives."""

    def __init__(self, tasks: list[Task]) -> None:
        self._turns = cycle(tasks)
        self._waiting: dict[Task, deque[tuple[int, Callable[[], object]]]] = {task: deque() for task in tasks}
        self._unsent: set[asyncio.Task[None]] = set()

    def begin(self, number: int, done: Callable[[], object]) -> None:
        task = next(self._turns)
        self._waiting[task].append((number, done))
        sending = asyncio.ensure_future(task.send(number))
        self._unsent.add(sending)
        sending.add_done_callback(self._unsent.discard)

    async def receive(self, runner: Runner) -> None:
        """Receive answers until it is cancelled."""
        async for task, (*_, answer) in runner.recv_any(self._waiting):
            number, done = self._waiting[task].popleft()
            expect(answer == number, "an answer differs")
            done()


async def _one_by_one(subject: _Subject, count: int) -> _Times:
    clock, loop = time.perf_counter, asyncio.get_running_loop()
    times: _Times = []
    for number in range(count):
        future = loop.create_future()
        began = clock()
        subject.begin(number, lambda future=future: future.set_result(None))  # type: ignore[misc]  # mypy#6123
        await future
        times.append(clock() - began)
    return times


async def _at_rate(subject: _Subject, count: int, rate: int) -> _Times:
    clock, loop = time.perf_counter, asyncio.get_running_loop()
    times: _Times = []
    all_done, begun, period = loop.create_future(), 0, 1 / rate

    def end(due: float) -> None:
        times.append(clock() - due)
        if len(times) == count:
            all_done.set_result(None)

    def tick() -> None:
        nonlocal begun
        os.read(timer, 8)
        while begun < count and (due := first + begun * period) <= clock():
            subject.begin(begun, lambda due=due: end(due))  # type: ignore[misc]  # mypy#6123
            begun += 1
        if begun == count:
            loop.remove_reader(timer)

    timer = _LIBC.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)  # a loop's own timers have milliseconds
    try:
        loop.add_reader(timer, tick)
        first = clock() + period
        each = struct.pack("qqqq", *divmod(round(1e9 * period), 10**9), *divmod(round(1e9 * period), 10**9))
        expect(_LIBC.timerfd_settime(timer, 0, each, None) == 0, "there is no timer")
        await all_done
    finally:
        loop.remove_reader(timer)
        os.close(timer)
    return times


class _Asker(Framed):
    """The runner's end of a connection to a forked process."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[tuple[int, Callable[[], object]]] = deque()

    def received(self, message: int) -> None:
        number, done = self.waiting.popleft()
        expect(message == number, "an answer differs")
        done()


class _Bare:
    """Messages to forked processes in turn, without aioparcs."""

    def __init__(self, processes: list[_Asker]) -> None:
        self._turns = cycle(processes)

    def begin(self, number: int, done: Callable[[], object]) -> None:
        process = next(self._turns)
        process.waiting.append((number, done))
        process.send(number)


def _fork(count: int) -> list[socket.socket]:
    """Return the sockets of processes that answer each message with itself, and end with their socket."""
    ours: list[socket.socket] = []
    for _ in range(count):
        own, other = socket.socketpair()
        if not os.fork():
            for one in (own, *ours):
                one.close()
            uvloop.run(_echo(other))
            os._exit(0)
        other.close()
        ours.append(own)
    return ours


async def _echo(end: socket.socket) -> None:
    _, protocol = await asyncio.get_running_loop().create_connection(Framed, sock=end)
    await protocol.ended


@asynccontextmanager
async def _subject(runner: Runner, kind: str, workers: int) -> AsyncIterator[_Subject]:
    if kind == "submit":
        async with runner.pool("noop", workers, progress=False) as pool:
            yield _Submit(pool)
        return
    tasks = await runner.start_many("echo", workers)
    subject = _Receive(tasks)
    receiving = asyncio.ensure_future(subject.receive(runner))
    yield subject
    receiving.cancel()
    await asyncio.gather(*(task.kill() for task in tasks))


async def _measure(subject: _Subject, cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    place(0)
    print("ready", flush=True)
    # A thread waits for the harness, so that the loop is free meanwhile; it sleeps while a round is measured.
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, rate = map(int, line.split())
        times = await (_at_rate(subject, count, rate) if rate else _one_by_one(subject, count))
        print(json.dumps([round(1e6 * one, 1) for one in times]), flush=True)


async def _measure_bare(ends: list[socket.socket], cores: set[int]) -> None:
    loop = asyncio.get_running_loop()
    processes = [(await loop.create_connection(_Asker, sock=end))[1] for end in ends]
    await _measure(_Bare(processes[:1] if sys.argv[1] == "bare1" else processes), cores)


async def _main(runner: Runner) -> None:
    cores = os.sched_getaffinity(0)
    place(1)  # where the processes stay that the runner starts
    async with _subject(runner, sys.argv[1], int(sys.argv[2])) as subject:
        await _measure(subject, cores)


if __name__ == "__main__":
    if sys.argv[1].startswith("bare"):
        _cores = os.sched_getaffinity(0)
        place(1)
        uvloop.run(_measure_bare(_fork(int(sys.argv[2])), _cores))
    else:
        run(_main)
