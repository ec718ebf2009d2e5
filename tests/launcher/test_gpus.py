"""GPUs of workers: each worker of this machine sees its own, as long as it lives."""

import asyncio
import os
import re
import secrets
from pathlib import Path

import psutil
import pytest

from aioparcs import Runner, StartError
from aioparcs.launcher.process.gpus import visible_gpus
from tests.support.jobs import job, live, module
from tests.support.waiting import until

CODE = """
import os
from aioparcs import serve

def gpus(_=None):
    return os.environ.get("CUDA_VISIBLE_DEVICES")

def pid(_=None):
    return os.getpid()

def of_child(_=None):
    return os.popen("echo $CUDA_VISIBLE_DEVICES").read().strip()

serve(gpus, pid, of_child, fork=FORK)
"""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the GPUs that the runner sees: three that no other test has."""
    names = [f"GPU-{secrets.token_hex(8)}" for _ in range(3)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return module(tmp_path, "seeing", CODE.replace("FORK", "True"))


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "fresh"])
@pytest.mark.slow
async def test_each_worker_sees_its_own(names: list[str], tmp_path: Path, fork: bool) -> None:
    folder = module(tmp_path, "seeing", CODE.replace("FORK", str(fork)))
    async with job(folder) as runner, runner.start_many("seeing", 3, gpus=1) as tasks:
        assert sorted(await asyncio.gather(*(t.call("gpus") for t in tasks))) == sorted(names)
        assert await tasks[0].call("of_child") == await tasks[0].call("gpus")
        with pytest.raises(StartError, match="gpus=1: 0 of the 3 GPUs that its launcher sees are free; other workers"):
            await runner.start("seeing", gpus=1)
        async with runner.start("seeing") as other:  # which asks for none, and sees all
            assert await other.call("gpus") == ",".join(names)


async def test_a_worker_may_have_several(names: list[str], folder: Path) -> None:
    async with job(folder) as runner:
        async with runner.start("seeing", gpus=2) as task:
            assert await task.call("gpus") == ",".join(names[:2])
        async with runner.start("seeing", gpus=3) as task:
            assert await task.call("gpus") == ",".join(names)
        with pytest.raises(StartError, match="gpus=2: 2 workers need 4, and this program sees 3 "):
            await runner.start_many("seeing", 2, gpus=2)


@pytest.mark.slow
async def test_a_gpu_is_free_again_when_its_worker_has_ended(names: list[str], folder: Path) -> None:
    async with job(folder) as runner, runner.pool("seeing", 3, gpus=1, retries=1) as pool:
        for _ in range(3):
            found = await pool.map(range(60), function="pid")
            victim = psutil.Process(found[0])
            victim.kill()
            await until(lambda victim=victim: not live([victim]))  # type: ignore[misc]  # mypy#6123
            await until(lambda: pool.size == 3)
        seen: set[str] = set()
        while seen != set(names):
            seen |= set(await pool.map(range(100)))


@pytest.mark.slow
async def test_recycled_workers_take_over_the_gpus(names: list[str], folder: Path) -> None:
    async with job(folder) as runner, runner.pool("seeing", 3, gpus=1, max_calls=10) as pool:
        assert set(await pool.map(range(100))) <= set(names)


@pytest.mark.slow
async def test_pools_and_programs_do_not_share_a_gpu(names: list[str], folder: Path) -> None:
    async with job(folder) as runner, job(folder) as other:
        async with runner.pool("seeing", 1, gpus=1) as one, other.pool("seeing", 2, gpus=1) as two:
            mine, theirs = {await one.submit()}, set(await two.map(range(200)))
            assert mine.isdisjoint(theirs)
            assert mine | theirs <= set(names)
            with pytest.raises(StartError, match="gpus=2: 0 of the 3 GPUs"):
                await runner.start("seeing", gpus=2)
        async with runner.start("seeing", gpus=3) as task:
            assert await task.call("gpus") == ",".join(names)


async def test_the_environment_of_a_start_may_name_others(names: list[str], folder: Path) -> None:
    chosen = [f"MIG-{secrets.token_hex(8)}" for _ in range(2)]
    async with job(folder) as runner:
        env = {"CUDA_VISIBLE_DEVICES": ",".join(chosen)}
        async with runner.start_many("seeing", 2, gpus=1, env=env) as tasks:
            assert sorted([await t.call("gpus") for t in tasks]) == sorted(chosen)
        with pytest.raises(
            StartError, match=re.escape(f"sees 2 (CUDA_VISIBLE_DEVICES={env['CUDA_VISIBLE_DEVICES']!r})")
        ):
            await runner.start_many("seeing", 3, gpus=1, env=env)


async def test_a_pool_without_a_size_has_no_more_workers_than_gpus(names: list[str], folder: Path) -> None:
    async with job(folder) as runner, runner.pool("seeing", gpus=3) as pool:
        assert pool.size == 1


BOSS = """
from aioparcs import Service, serve


class Boss(Service):
    async def run(self):
        async with self.pool("seeing", 2, gpus=1) as pool:
            await self.send(sorted(set(await pool.map(range(200)))))


serve(Boss)
"""


@pytest.mark.slow
async def test_pools_of_services_get_gpus_too(names: list[str], folder: Path) -> None:
    module(folder, "boss", BOSS)
    async with job(folder) as runner, runner.start("boss") as task:
        assert set(await task.recv()) <= set(names)


@pytest.mark.parametrize(
    "value, names",
    [
        ("", []),
        ("0,1", ["0", "1"]),
        (" 2 , 0,", ["2", "0"]),
        ("0,-1,1", ["0"]),
        ("-1", []),
        ("GPU-a,GPU-a", ["GPU-a"]),
        ("MIG-GPU-a/1/0", ["MIG-GPU-a/1/0"]),
    ],
    ids=range(7),
)
def test_the_variable_is_read_as_cuda_reads_it(value: str, names: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": value}) == names


async def test_without_the_variable_the_devices_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    there = sum(bool(re.fullmatch(r"nvidia\d+", name)) for name in os.listdir("/dev"))  # quick
    assert visible_gpus({}) == [str(i) for i in range(there)]
    async with job(folder) as runner:
        with pytest.raises(StartError, match=rf"sees {there} \(CUDA_VISIBLE_DEVICES is not set, and in /dev\)"):
            await runner.start("seeing", gpus=there + 1)


async def test_a_runner_outside_of_its_block_starts_nothing(names: list[str]) -> None:
    with pytest.raises(RuntimeError, match="inside the runner's block"):
        await Runner(engine="local").start("seeing", gpus=1)


@pytest.mark.slow
async def test_workers_that_end_slowly_hold_their_gpus_until_they_are_gone(names: list[str], tmp_path: Path) -> None:
    slow = "import random, time\ndef teardown():\n    time.sleep(0.05 + random.random() / 5)\n"
    folder = module(tmp_path, "seeing", slow + CODE.replace("FORK", "True").replace("pid, of", "pid, teardown, of"))
    async with job(folder) as runner, runner.pool("seeing", 3, gpus=1, max_calls=1) as pool:
        assert set(await pool.map(range(40))) == set(names)
