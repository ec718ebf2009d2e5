"""The limits of each worker: enforced by the kernel, or refused before anything starts."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from aioparcs import RemoteError, StartError
from tests.support.jobs import family, job, module

CPUS = len(os.sched_getaffinity(0))
needs_cpus = pytest.mark.skipif(CPUS < 2, reason="with one CPU every worker has that one")


@pytest.mark.slow
@needs_cpus
async def test_workers_of_a_launcher_get_different_cpus() -> None:
    async with job() as runner, runner.start_many("probe", 2, cpus=1) as tasks:
        one, other = await asyncio.gather(*(t.call("cpus") for t in tasks))
        assert len(one) == len(other) == 1
        assert one != other
        used, passed = await tasks[0].call("burn", 2 * CPUS, 0.3)
        assert used < 1.2 * passed


@pytest.mark.slow
async def test_cpus_are_counted_for_each_worker(tmp_path: Path) -> None:
    async with job() as runner:
        async with runner.start("probe", cpus=CPUS) as t:
            assert len(await t.call("cpus")) == CPUS
        async with runner.start("probe") as t:
            assert len(await t.call("cpus")) == CPUS


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False])
async def test_memory_beyond_the_limit_is_a_memory_error(tmp_path: Path, fork: bool) -> None:
    text = f"""
from aioparcs import serve
def allocate(size):
    return len(bytearray(size))
serve(allocate, fork={fork})
"""
    async with job(module(tmp_path, "limited", text)) as runner:
        async with runner.start("limited", memory="100m") as t:
            assert await t.call("allocate", 40 << 20) == 40 << 20
            with pytest.raises(MemoryError) as refused:
                await t.call("allocate", 120 << 20)
            assert isinstance(refused.value, RemoteError)
            assert await t.call("allocate", 40 << 20) == 40 << 20  # it lives on
        async with runner.start("limited") as t:  # the limit was that worker's, not its launcher's
            assert await t.call("allocate", 120 << 20) == 120 << 20


@pytest.mark.slow
async def test_memory_of_a_service_beyond_the_limit_ends_it_with_a_memory_error(tmp_path: Path) -> None:
    text = """
from aioparcs import Service, serve
class Greedy(Service):
    async def run(self):
        held = []
        while True:
            held.append(bytearray(1 << 20))
serve(Greedy)
"""
    async with job(module(tmp_path, "limited", text)) as runner:
        t = await runner.start("limited", memory="100m")
        with pytest.raises(MemoryError) as refused:
            await t.recv()
        assert isinstance(refused.value, RemoteError)


@pytest.mark.slow
async def test_less_memory_than_the_launcher_holds_is_refused(tmp_path: Path) -> None:
    text = "from aioparcs import serve\nTABLE = bytearray(100 << 20)\nserve(len)\n"
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}  # empty at first: what is imported is compiled
    async with job(module(tmp_path, "table", text)) as runner:
        with pytest.raises(StartError) as refused:
            await runner.start_many("table", 2, memory="100m")
        refusal = re.fullmatch(
            r"table did not start: memory=100m is too little: main\.py holds (\d+) MiB when it calls "
            r"serve\(\.\.\.\), which count for each worker; give it (\d+)m or more, or load less",
            str(refused.value),
        )
        assert refusal
        with pytest.raises(StartError, match=r"memory=1 is too little"):
            await runner.start("table", memory=1)
        assert 100 <= int(refusal[1]) < 150
        # What it says is enough, for launchers that hold more than the one that said so, and later too.
        for env in ({}, {}, compiled, compiled, {"PYTHONDONTWRITEBYTECODE": "1"}):
            async with runner.start("table", env=env, memory=f"{refusal[2]}m") as t:
                assert await t.call("len", b"four") == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cpus": 0.5}, "cpus=0.5: the local engine assigns whole CPUs"),
        ({"cpus": 4096}, f"cpus=4096: the local engine assigns whole CPUs, and this program may use {CPUS}"),
        ({"gpus": 1_000_000}, "gpus=1000000: a worker needs 1000000, and this program sees "),
    ],
)
async def test_limits_that_cannot_be_enforced_are_refused_before_the_start(
    options: dict[str, float], message: str
) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=re.escape(message)):
            await runner.start("probe", **options)  # type: ignore[arg-type]  # one of several
        assert not family()
