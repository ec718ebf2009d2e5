"""Pools of aioparcs, with ordinary arrays and with shared ones, and a worker that answers arrays by arrays."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from typing import Any

import uvloop

from aioparcs import Runner, Task, shared_array
from benchmarks.peers.arrays import control
from benchmarks.peers.control import expect


def _shared(array: Any) -> Any:
    shared = shared_array(array.shape, array.dtype)
    shared[:] = array
    return shared


async def _setup(runner: Runner, array: Any) -> tuple[float, int]:
    """Start a pool with a constant and one without; return what the constant costs."""
    start = control.clock()
    async with runner.pool("arrays", control.WORKERS, progress=False, setup={}) as pool:
        alone, before = control.clock() - start, control.memory()
    start = control.clock()
    async with runner.pool("arrays", control.WORKERS, progress=False, setup={"array": array}) as pool:
        seconds, taken = control.clock() - start - alone, control.memory() - before
        found = await pool.map([1] * (10 * control.WORKERS), function="constant")
        control.check([total for _, total, _ in found], control.total(array), len(found))
        _, _, digest = await pool.submit(-1, function="constant")
        expect(digest == hashlib.blake2b(array.data).hexdigest(), "an array differs")
    return seconds, taken


async def _items(pool: Any, array: Any) -> float:
    start = control.clock()
    sums = await pool.map([array] * control.ITEMS, function="total")
    seconds = control.clock() - start
    control.check(sums, control.total(array), control.ITEMS)
    return seconds


async def _exchange(task: Task, array: Any) -> float:
    """Send an array and receive one, several times; return the seconds of one such exchange."""
    start = control.clock()
    for _ in range(control.EXCHANGES):
        await task.send(array)
        received = await task.recv()
        expect(control.total(received) == control.total(array), "an array differs")
    return (control.clock() - start) / control.EXCHANGES


async def _main() -> None:
    constant, item, both = map(control.array_of, (control.CONSTANT, control.ITEM, control.BOTH_WAYS))
    async with (
        Runner() as runner,
        runner.pool("arrays", control.WORKERS, progress=False) as pool,
        runner.start("exchange") as task,
    ):
        await pool.map([item] * 2 * control.WORKERS, function="total")
        control.ready()
        while mode := (await asyncio.to_thread(sys.stdin.readline)).strip():
            kind, _, where = mode.partition(" ")
            pick = _shared if where == "shared" else lambda array: array
            if kind == "setup":
                control.answer(*await _setup(runner, pick(constant)))
            elif kind == "items":
                control.answer(await _items(pool, pick(item)))
            else:
                await task.send(where)
                control.answer(await _exchange(task, pick(both)))
        await task.send(None)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_main())
