"""Several threads of one process that encode at once, in a worker and in a runner."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.jobs import job, module

MODULE = """
import sys
from aioparcs import serve

sys.setswitchinterval(1e-6)

def wide(n):
    return [(1 << 200) + n] * 200

def same(value):
    return value

async def small(n):
    return {"n": n}

serve(wide, same, small)
"""


def wide(n: int) -> list[int]:
    return [(1 << 200) + n] * 200


def test_functions_in_threads_and_coroutine_functions_answer_as_a_local_call_would(tmp_path: Path) -> None:
    module(tmp_path, "both", MODULE)

    async def work() -> None:
        async with job(tmp_path) as runner, runner.start("both") as t:
            numbers = range(100)
            calls = [asyncio.gather(*(t.call(name, n) for n in numbers)) for name in ("wide", "small")]
            async with asyncio.timeout(30):
                assert await calls[0] == [wide(n) for n in numbers]
                assert await calls[1] == [{"n": n} for n in numbers]

    asyncio.run(work())


@pytest.mark.slow
def test_each_thread_may_have_a_runner(tmp_path: Path) -> None:
    module(tmp_path, "both", MODULE)

    async def work() -> list[list[int]]:
        async with job(tmp_path) as runner, runner.pool("both", 1, function="same") as pool:
            async with asyncio.timeout(30):
                return await pool.map([wide(n) for n in range(100)])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as threads:
            running = [threads.submit(asyncio.run, work()) for _ in range(2)]
            assert [one.result() for one in running] == [[wide(n) for n in range(100)]] * 2
    finally:
        sys.setswitchinterval(before)
