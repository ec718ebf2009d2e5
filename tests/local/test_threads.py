"""The threads of numerical libraries in workers: as many as the CPUs that a worker has to itself."""

from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner
from aioparcs.cpus import usable_cpus
from aioparcs.engine import WorkerSpec
from aioparcs.engine.threads import thread_share
from aioparcs.swarm.docker.records import SwarmNode
from aioparcs.swarm.engine.placement import with_threads
from tests.support.jobs import job, module

VARIABLES = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
]
CODE = f"""
import os

AT_LOAD = [os.environ.get(name) for name in {VARIABLES}]

import numpy
from aioparcs import serve

def at_load(_=None):
    return AT_LOAD

def threads(_=None):
    numpy.ones((500, 500)) @ numpy.ones((500, 500))
    return len(os.listdir("/proc/self/task"))

def launcher(_=None):
    return os.getppid()

serve(at_load, threads, launcher)
"""
CPUS = usable_cpus()


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables from the runner's environment."""
    for name in [*VARIABLES, "PARCS_THREADS"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return module(tmp_path, "numeric", CODE)


async def loaded(runner: Runner, size: int | None, **options: Any) -> list[str | None]:
    async with runner.pool("numeric", size, **options) as pool:
        answer: list[str | None] = await pool.submit()
    return answer


@pytest.mark.slow
async def test_the_share_is_set_before_the_module_is_loaded(folder: Path) -> None:
    async with job(folder) as runner:
        assert await loaded(runner, 1) == [str(CPUS)] * 5
        assert await loaded(runner, CPUS) == ["1"] * 5
        assert await loaded(runner, 2 * CPUS) == ["1"] * 5
        assert await loaded(runner, None) == ["1"] * 5
    async with job(folder) as runner:
        assert await loaded(runner, 3, cpus=CPUS) == [str(CPUS)] * 5


@pytest.mark.skipif(CPUS < 2, reason="with one CPU there is one thread in any case")
@pytest.mark.slow
async def test_numpy_has_so_many_threads(folder: Path) -> None:
    async with job(folder) as runner:
        async with runner.pool("numeric", 1) as pool:
            many = await pool.submit(function="threads")
        async with runner.pool("numeric", CPUS) as pool:
            assert await pool.submit(function="threads") < many


@pytest.mark.slow
async def test_workers_that_join_a_pool_have_its_share_and_its_launcher(folder: Path) -> None:
    async with job(folder) as runner, runner.pool("numeric", 2) as pool:
        before = await pool.submit(), await pool.submit(function="launcher")
        await pool.resize(4)
        assert set(await pool.map(range(200), function="launcher")) == {before[1]}
        assert all(answer == before[0] for answer in await pool.map(range(200)))


@pytest.mark.slow
async def test_start_and_start_many_share_by_their_number(folder: Path) -> None:
    async with job(folder) as runner:
        async with runner.start("numeric") as task:
            assert await task.call("at_load") == [str(CPUS)] * 5
        async with runner.start_many("numeric", 2 * CPUS) as tasks:
            assert await tasks[0].call("at_load") == ["1"] * 5


@pytest.mark.slow
async def test_a_launcher_that_has_loaded_the_module_for_fewer_threads_is_used_again(folder: Path) -> None:
    async with job(folder) as runner, runner.start_many("numeric", CPUS) as tasks:
        async with runner.start("numeric") as task:
            assert await task.call("launcher") == await tasks[0].call("launcher")
            assert await task.call("at_load") == ["1"] * 5
        async with runner.start("numeric", env={"OMP_NUM_THREADS": "1"}) as task:
            assert await task.call("launcher") != await tasks[0].call("launcher")


@pytest.mark.slow
async def test_what_the_user_has_set_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with job(folder) as runner:
        assert await loaded(runner, 9 * CPUS, env={"MKL_NUM_THREADS": "3"}) == ["1", "1", "3", "1", "1"]
        assert await loaded(runner, 1, env={"OMP_NUM_THREADS": "7"}) == ["7", None, None, None, None]
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "5")
    async with job(folder) as runner:
        assert await loaded(runner, 9 * CPUS) == ["1", "5", "1", "1", "1"]
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert await loaded(runner, 1) == ["2", "5", None, None, None]


async def test_a_setting_undoes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCS_THREADS", "off")
    async with job(folder) as runner:
        assert await loaded(runner, 2) == [None] * 5


BOSS = """
from aioparcs import Service, serve


class Boss(Service):
    async def run(self):
        async with self.pool("numeric", 4) as pool:
            await self.send(await pool.submit())
            await pool.resize(5)
            answers = await pool.map(range(500))
            await self.send(all(answer == answers[0] for answer in answers))


serve(Boss)
"""


@pytest.mark.slow
async def test_pools_of_services_share_the_cpus_too(folder: Path) -> None:
    async with job(folder, module(folder, "boss", BOSS)) as runner:
        async with runner.start("boss") as task:
            assert await task.recv() == [str(max(1, CPUS // 4))] * 5
            assert await task.recv()


def node(cpus: float, availability: str = "active") -> SwarmNode:
    resources: Any = {"NanoCPUs": int(cpus * 1e9), "MemoryBytes": 1 << 30}
    spec: Any = {"Availability": availability}
    return {"ID": "1", "Spec": spec, "Status": {"State": "ready"}, "Description": {"Resources": resources}}


@pytest.mark.parametrize(
    "spec, count, threads",
    [
        (WorkerSpec("x"), 2, "8"),
        (WorkerSpec("x"), 3, "4"),
        (WorkerSpec("x"), 200, "1"),
        (WorkerSpec("x", together=4), 1, "4"),
        (WorkerSpec("x", cpus=3.5), 100, "3"),
        (WorkerSpec("x", cpus=0.5), 1, "1"),
    ],
    ids=range(6),
)
def test_the_share_on_a_swarm(spec: WorkerSpec, count: int, threads: str) -> None:
    nodes = [node(16), node(8), node(1, "drain")]
    env = with_threads(spec, count, nodes, {}).env
    assert env == dict.fromkeys(VARIABLES, threads)
    assert with_threads(spec, count, nodes, {"OMP_NUM_THREADS": "2"}).env == {}
    named = spec._replace(env={"A": "b", "MKL_NUM_THREADS": "9"})
    assert with_threads(named, count, nodes, {}).env == {**env, "A": "b", "MKL_NUM_THREADS": "9"}


def test_without_nodes_it_is_one_thread() -> None:
    assert set(with_threads(WorkerSpec("x"), 3, [], {}).env.values()) == {"1"}
    assert thread_share(2.9, {}) == 2
