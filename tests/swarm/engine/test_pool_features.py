"""Pools on a real Swarm: streams, elastic sizes, journals, and what runs where and when."""

import asyncio
import re
import secrets
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from aioparcs import Executor, Pool, WorkerLost
from aioparcs.swarm import SwarmEngine
from aioparcs.swarm.docker.client import SwarmClient
from tests.support.command import COMMAND, ENVIRONMENT
from tests.support.jobs import MODULES, EventRecorder, module
from tests.support.live import PATIENCE, Cluster, ask, left
from tests.support.submitted import containers, own
from tests.support.swarm_jobs import SHARED, Job, holding, kill, marks, mounts, running, services, until

pytestmark = pytest.mark.one_loop


# Streams


async def test_streams_arrive_in_order_and_only_those_of_a_killed_container_are_lost(
    cluster: Cluster, job: Job, folder: Path
) -> None:
    begun: set[int] = set()
    lost: dict[int, WorkerLost] = {}
    is_killed = asyncio.Event()

    async def read(pool: Pool, number: int) -> None:
        """Read a stream, and stop in its midst."""
        function = ("forever", "aforever")[number % 2]
        try:
            async with pool.stream(f"{SHARED}/{number}", function=function) as stream:
                for item in range(300):
                    assert await anext(stream) == item
                    if item == 100:
                        begun.add(number)
                        await is_killed.wait()
        except WorkerLost as error:
            lost[number] = error

    async with job() as runner, runner.pool("streams", 6, swarm=mounts(folder)) as pool:
        for function in ("count", "acount"):
            assert [item async for item in pool.stream(1000, function=function)] == list(range(1000))
        assert Counter([item async for item in pool.stream_map([3] * 40)]) == dict.fromkeys(range(3), 40)
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(read(pool, number))
            await until(lambda: len(begun) == 12)
            killed = (await running(cluster, runner))[-1]
            await kill(killed)
            await until(lambda: pool.size == 4)
            is_killed.set()
        assert len(lost) == 4, "two workers had two of the streams each"
        for number, error in lost.items():
            assert error.call.endswith(f"'{SHARED}/{number}')")
            assert error.worker.endswith(f" on node{killed.node + 1}")
        ends = [(folder / str(number)).read_text().split()[0] for number in range(12) if number not in lost]
        assert set(ends) <= {"GeneratorExit", "CancelledError"}, "each generator that goes on has been ended"
        await until(lambda: pool.size == 6)
        assert [item async for item in pool.stream(3)] == [0, 1, 2]


# Elastic sizes


async def test_an_elastic_pool_gets_containers_for_what_waits_and_gives_them_back(
    cluster: Cluster, job: Job, folder: Path
) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, holding(runner, folder, (2, 12), idle=0.5, retries=1) as pool:
        assert (pool.size, len(await running(cluster, runner))) == (2, 2)
        calls = asyncio.ensure_future(pool.starmap([(SHARED, str(i)) for i in range(40)]))
        await until(lambda: pool.size == 12 and len(marks(folder)) == 12)
        there = await running(cluster, runner)
        assert len(await services(cluster, runner)) == 4, "one for each of the sizes 2, 4, 8 and 12"
        # Two containers each, on two nodes; which ones also depends on what other jobs run there.
        assert len(there) == 8
        assert len({one.node for one in there}) > 1

        await kill(there[0])
        await until(lambda: pool.size < 12)
        await pool.resize((2, 6))
        assert pool.size == 6, "the others finish the calls that they have"
        (folder / "go").touch()
        assert await calls == [str(i) for i in range(40)]
        assert Counter(marks(folder).values())[1] >= 38, "only what ran in the killed one was begun again"
        await until(lambda: pool.size == 2)
        while len(await services(cluster, runner)) > 3:  # that of the killed container stays until the end
            pass
    assert {(2, 2), (12, 12)} <= {
        (event[1].workers, event[1].wanted) for event in recorder.events if event[0] == "pooled"
    }
    assert not [note for note in recorder.notes if "goes on with" in note]


# Journals


SURVEY = """
import os
import signal

from aioparcs import run


def cube(n):
    print("called", n)
    return n**3


async def main(runner):
    count = total = 0
    async with runner.pool(cube, 3) as pool:
        async for result in pool.imap_unordered(range(200), journal="run.journal"):
            count, total = count + 1, total + result
            if count == int(os.environ.get("STOP", 0)):
                os.kill(os.getpid(), signal.SIGKILL)
    print(count, total)


run(main)
"""


def survey(cluster: Cluster, folder: Path, *arguments: str) -> tuple[int, str, list[int]]:
    """Run the program; return its exit code, its last line, and the items for which its workers were called."""
    variables = {
        "LEADER_URL": f"unix://{own(cluster).nodes[0].socket}",
        "PARCS_REGISTRY": f"{cluster.registry}/tests-files",
    }
    done = subprocess.run(
        [*COMMAND, "run", "survey", *arguments], cwd=folder, env=ENVIRONMENT | cluster.environment | variables,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    called = [int(number) for number in re.findall(r"called (\d+)$", done.stdout + done.stderr, re.MULTILINE)]
    return done.returncode, done.stdout.strip().rpartition("\n")[2], called


@pytest.mark.alone
def test_a_submitted_runner_that_was_killed_goes_on_from_its_journal(cluster: Cluster, tmp_path: Path) -> None:
    module(tmp_path, "survey", SURVEY)
    there = ("--on", "swarm", "--fetch", "run.journal")
    assert survey(cluster, tmp_path, *there, "-e", "STOP=120")[0] == 137
    assert (tmp_path / "run.journal").exists()
    whole = f"200 {sum(n**3 for n in range(200))}"
    code, last, called = survey(cluster, tmp_path, *there, "--send", "run.journal")
    assert (code, last) == (0, whole)
    assert len(called) == len(set(called)) <= 80
    assert survey(cluster, tmp_path, "--on", "local") == (0, whole, []), "the local engine finds the same results"


# What runs where, and when


async def test_sizes_threads_and_rates_are_those_of_the_cluster(cluster: Cluster, job: Job) -> None:
    nodes = await asyncio.to_thread(ask, cluster, SwarmClient.nodes)
    cpus = [node["Description"]["Resources"]["NanoCPUs"] // 10**9 for node in nodes]
    async with job() as runner:
        async with runner.pool("crunch") as pool:
            assert pool.size == sum(cpus)
            assert await pool.submit(function="threads") == ("1", cpus[0])
            pairs = [pair async for pair in pool.imap_unordered(range(300), keyed=True)]
            assert sorted(pairs) == [(i, i * i) for i in range(300)]
        async with runner.pool("crunch", cpus=min(cpus), rate="50/s", function="now") as pool:
            assert pool.size == sum(cpu // min(cpus) for cpu in cpus)
            assert await pool.submit(function="threads") == (str(min(cpus)), min(cpus))
            begun = sorted(await pool.map([None] * 51))
            assert begun[-1] - begun[0] > 0.5, "fifty pauses of 20 ms; the first of the calls may begin late"


async def test_a_call_that_is_stuck_on_one_node_is_answered_by_another(job: Job, folder: Path) -> None:
    async with job() as runner, holding(runner, folder, 6, hedge=2.0) as pool:
        names = [*map(str, range(20)), "stuck", *map(str, range(20, 40))]
        hosts = await pool.starmap([(SHARED, name) for name in names], function="stuck_once")
        assert hosts[20] != (folder / "stuck").read_text()
        (folder / "go").touch()


# Without asyncio


def test_an_executor_outlives_a_container_and_leaves_nothing(
    cluster: Cluster, images: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = secrets.token_hex(4)
    monkeypatch.setenv("PARCS_REGISTRY", cluster.registry)
    monkeypatch.setenv("PARCS_RUN", job)
    engine = SwarmEngine(cluster.leader_url)
    with Executor(8, module=MODULES / "crunch", engine=engine, retries=1, swarm=mounts(folder)) as executor:
        futures = [executor.submit("hold", SHARED, str(i)) for i in range(24)]
        while len(marks(folder)) < 8:
            time.sleep(0.01)
        killed, *_ = containers(cluster, job)
        asyncio.run(kill(killed))
        (folder / "go").touch()
        assert [future.result(PATIENCE) for future in futures] == [str(i) for i in range(24)]
        with pytest.raises(ValueError, match="3 is odd"):
            executor.submit("refuse_odd", 3).result(PATIENCE)
        assert list(executor.map("square", range(500))) == [i * i for i in range(500)]
    assert left(cluster, job) == []
