"""Calls of a pool in the order of their priorities, on a process."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner


async def test_calls_of_a_higher_priority_begin_first(runner: Runner, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    order: list[str] = []
    async with runner.pool("crunch", 1) as pool:
        blocking = [pool.submit(go, function="wait_for") for _ in range(2)]  # one more than what runs is sent ahead
        await asyncio.sleep(0)

        async def call(name: str, awaitable: Any) -> Any:
            await awaitable
            order.append(name)

        async def iterate() -> None:
            async for _ in pool.imap_unordered([1], priority=4):
                order.append("imap")

        calls = [
            call("usual", pool.submit(1)),
            call("low", pool.submit(2, priority=-5)),
            call("map", pool.map([3], priority=3)),
            call("high", pool.submit(4, priority=10**20)),
            call("second high", pool.submit(5, priority=10**20)),
            call("within", pool.submit_within(60, 6, priority=2)),
            iterate(),
        ]
        waiting = asyncio.gather(*calls)
        await asyncio.sleep(0)
        Path(go).touch()  # noqa: ASYNC240  # quick
        await asyncio.gather(waiting, *blocking)
    assert order == ["high", "second high", "imap", "map", "within", "usual", "low"]


async def test_a_priority_that_is_no_number_is_refused(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        wrongs: list[Any] = ["high", 1.5, None, []]
        for wrong in wrongs:
            with pytest.raises(TypeError, match=r"priority=.*: it must be a whole number; a higher one comes first"):
                pool.submit(1, priority=wrong)
            with pytest.raises(TypeError, match=r"priority=.*: it must be a whole number"):
                await pool.map([1], priority=wrong)
        assert await pool.submit(3, priority=True) == 9
