"""Random numbers of workers: independent streams, which are the same in each run."""

import asyncio
from pathlib import Path

import pytest
from numpy.random import SeedSequence, default_rng

from aioparcs import Runner, WorkerLost, worker_rng
from aioparcs.service.random_streams import set_rank
from tests.support.jobs import job, module
from tests.support.waiting import until

DRAWING = """
import os, signal
from aioparcs import serve, worker_rng
worker_rng(1).random()  # the launcher's own, which workers do not go on with
def draw(_=0):
    return worker_rng(1).integers(1 << 30), worker_rng([1, 2]).integers(1 << 30), worker_rng().integers(1 << 30)
async def die():
    os.kill(os.getpid(), signal.SIGKILL)
serve(draw, die, fork={fork})
"""


def stream(seed: int | list[int], size: int, rank: int) -> list[int]:
    return [int(n) for n in default_rng(SeedSequence(seed).spawn(size)[rank]).integers(1 << 30, size=2)]


async def _draws(runner: Runner) -> list[list[list[int]]]:
    async with runner.start_many("drawing", 3) as tasks:
        return [[await t.call("draw"), await t.call("draw")] for t in tasks]


@pytest.mark.slow
@pytest.mark.one_loop
@pytest.mark.parametrize("fork", [True, False])
async def test_streams_are_those_of_spawn_by_rank(tmp_path: Path, fork: bool) -> None:
    async with job(module(tmp_path, "drawing", DRAWING.format(fork=fork))) as runner:
        one, other = await _draws(runner), await _draws(runner)
    for draws in (one, other):
        for rank, (first, second) in enumerate(draws):
            assert [first[0], second[0]] == stream(1, 3, rank)
            assert [first[1], second[1]] == stream([1, 2], 3, rank)
    unseeded = [draw[2] for draws in (one, other) for worker in draws for draw in worker]
    assert len(set(unseeded)) == 12


@pytest.mark.slow
@pytest.mark.one_loop
async def test_no_two_workers_of_a_pool_have_the_same_stream(tmp_path: Path) -> None:
    async with job(module(tmp_path, "drawing", DRAWING.format(fork=True))) as runner:
        async with runner.pool("drawing", 2) as pool:
            await pool.resize(4)
            for _ in range(2):
                with pytest.raises(WorkerLost):
                    await pool.submit(function="die")
            await until(lambda: pool.size == 4)
            draws = await asyncio.gather(*(pool.submit() for _ in range(400)))
    assert len({draw[0] for draw in draws}) == 400
    known = {number for rank in range(6) for number in _numbers(rank, 400)}
    assert {draw[0] for draw in draws} <= known


def _numbers(rank: int, count: int) -> list[int]:
    return [int(n) for n in default_rng(SeedSequence(1, spawn_key=(rank,))).integers(1 << 30, size=count)]


def test_outside_of_a_worker_the_rank_is_0() -> None:
    set_rank(0)
    assert worker_rng(7) is worker_rng(7) is not worker_rng(8)
    assert worker_rng((1, 2)) is worker_rng([1, 2])
    assert worker_rng(9).random() == default_rng(SeedSequence(9).spawn(1)[0]).random()
    set_rank(0)
