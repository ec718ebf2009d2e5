"""Liveness: lost workers and launchers are detected in time, slow ones are kept, and none outlives its runner."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from aioparcs import StartError, WorkerLost
from tests.support.engines import Network, command_runner
from tests.support.jobs import EventRecorder, children, family, gone, job, live, module, program
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop

LIVENESS = 1.0
TWICE = 2 * LIVENESS

needs_network = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"),
    reason="a network namespace needs root, ip and tc",
)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


# Lost


async def test_a_killed_worker_is_reported_by_its_launcher() -> None:
    async with job() as runner, runner.start_many("talker", 2) as (victim, other):
        await victim.send(["die", signal.SIGKILL])
        with pytest.raises(WorkerLost, match="was killed by SIGKILL"):
            await victim.recv()
        await other.send(["echo", "fine"])
        assert await other.recv() == "fine"


async def test_each_operation_on_a_lost_worker_raises_a_fresh_error() -> None:
    async with job() as runner, runner.start("talker") as victim:
        await victim.send(["die", signal.SIGKILL])
        calls = (victim.call("echo", 1) for _ in range(3))
        lost = [*await asyncio.gather(*calls, return_exceptions=True)]
        for operation in (victim.recv, victim.recv, partial(victim.send, 1)):
            with pytest.raises(WorkerLost, match="was killed by SIGKILL") as caught:
                await operation()
            caught.value.add_note("of this one")
            assert caught.value.__notes__ == ["of this one"]
            lost.append(caught.value)
        assert {str(error) for error in lost} == {str(lost[0])}
        assert len({id(error) for error in lost}) == 6


async def test_a_killed_launcher_ends_its_own_workers_only() -> None:
    async with job() as runner:
        tasks = await runner.start_many("probe", 3)
        other = await runner.start("talker")
        _, launcher, _ = await tasks[0].call("who")
        processes = [psutil.Process(launcher), *family(launcher)]
        assert len(processes) == 5
        waiting = [asyncio.ensure_future(t.recv()) for t in tasks]
        psutil.Process(launcher).kill()
        done, _ = await asyncio.wait(waiting, timeout=PATIENCE)
        for ended in done:
            with pytest.raises(WorkerLost, match="is lost: its launcher was killed by SIGKILL"):
                ended.result()
        assert len(done) == 3
        await gone(processes)
        await other.send(["echo", "fine"])
        assert await other.recv() == "fine"


@pytest.mark.slow
@needs_network
async def test_an_unreachable_host_is_lost_after_liveness_and_its_workers_end(network: Network) -> None:
    recorder = EventRecorder()
    async with command_runner(
        *network.command, address=network.address, recorder=recorder, liveness=LIVENESS, close_timeout=1.0
    ) as (runner, engine):
        tasks = await runner.start_many("talker", 2)
        await tasks[1].send(["compute", 60])
        assert await tasks[1].recv() == "computing"
        processes = [engine.launcher(), *engine.launcher().children()]
        waiting = [asyncio.ensure_future(t.recv()) for t in tasks]
        network.cut()
        done, _ = await asyncio.wait(waiting, timeout=PATIENCE)
        for ended in done:
            with pytest.raises(WorkerLost, match=r"its host was silent for 1 s \(PARCS_LIVENESS\)"):
                ended.result()
        assert len(done) == 2
        await gone(processes)  # no notice reaches them: they find out by themselves


@pytest.mark.slow
async def test_a_fork_server_that_is_stopped_is_lost_after_liveness_and_its_workers_end() -> None:
    async with job(liveness=LIVENESS) as runner:
        t = await runner.start("talker")
        processes = family()
        (fork_server,) = children()
        waiting = asyncio.ensure_future(t.recv())
        fork_server.suspend()
        with pytest.raises(WorkerLost, match="is lost: its launcher ended with exit code 1") as caught:
            await asyncio.wait_for(waiting, PATIENCE)
        line = "error: the fork server was stopped by a signal for 1 s (PARCS_LIVENESS)"
        assert caught.value.last_lines == (line,)
        await gone(processes)


@pytest.mark.slow
async def test_a_start_by_a_fork_server_that_is_stopped_names_it(tmp_path: Path) -> None:
    async with job(start_timeout=6.0) as runner:
        await runner.start("talker")
        (fork_server,) = children()
        fork_server.suspend()
        with pytest.raises(StartError, match="its launcher is connected; is its fork server stopped"):
            await runner.start("talker")
        fork_server.resume()


# Slow


@pytest.mark.slow
async def test_a_service_that_blocks_its_loop_is_not_lost() -> None:
    async with command_runner(liveness=LIVENESS) as (runner, _), runner.start("talker") as t:
        await t.send(["compute", TWICE])
        assert await t.recv() == "computing"
        await t.send(["echo", "there"])
        assert await t.recv() == "there"


@pytest.mark.slow
async def test_a_runner_that_does_not_read_a_full_channel_is_not_lost() -> None:
    async with command_runner(liveness=LIVENESS) as (runner, _), runner.start("talker") as t:
        await t.send(["echo", *([b"x" * 100_000] * 300)])
        await asyncio.sleep(TWICE)  # the time that passes is what is tested
        for _ in range(300):
            assert len(await t.recv()) == 100_000


@pytest.mark.slow
async def test_a_runner_whose_loop_is_blocked_is_not_lost() -> None:
    async with command_runner(liveness=LIVENESS) as (runner, _), runner.start_many("talker", 2) as tasks:
        time.sleep(TWICE)  # noqa: ASYNC251  # on purpose
        for t in tasks:
            await t.send(["echo", "there"])
            assert await t.recv() == "there"


@pytest.mark.slow
async def test_a_stopped_runner_is_not_lost_while_workers_print_and_fail(tmp_path: Path) -> None:
    text = """
import os, time
from aioparcs import Service, serve
class Loud(Service):
    async def run(self):
        if self.rank:
            await self.recv()
            for i in range(1000):
                print("last words" * 100)
            os._exit(3)
        end = float(await self.recv()) + time.monotonic()
        count = 0
        while time.monotonic() < end:
            print("x" * 1000, count)
            count += 1
            self.progress(count, count)
        await self.send(count)
        await self.recv()
serve(Loud)
"""
    recorder = EventRecorder()
    modules = module(tmp_path, "loud", text)
    async with command_runner(modules=modules, recorder=recorder, liveness=LIVENESS) as (runner, _):
        tasks = await runner.start_many("loud", 40)
        for t in tasks:
            await t.send(TWICE + 0.5)
        await until(lambda: len(recorder.lines.get(0, [])) > 100)
        time.sleep(TWICE)  # noqa: ASYNC251  # on purpose
        printed = await tasks[0].recv()
        await until(lambda: all(t.state == "gone" for t in tasks[1:]))
        for t in tasks[1:]:
            with pytest.raises(WorkerLost, match="ended with exit code 3; its last lines"):
                await t.recv()
        await tasks[0].send("end")
        await tasks[0].shutdown()
    lost = sum(int(note.split()[0].replace(",", "")) for note in recorder.notes if "of output w" in note)
    received = sum(map(len, recorder.lines.values()))
    assert received + lost == printed + 39 * 1000  # what is lost is counted


# Orphaned

ORPHANS = """
import asyncio, os, signal
from pathlib import Path
from aioparcs import Runner, run

async def main(runner):
    t = await runner.start("probe")
    asyncio.ensure_future(t.call("spin", os.environ["SPINS"]))
    talker = await runner.start("talker")
    await talker.send(["stubborn"])
    await talker.recv()
    await talker.send(["echo"])
    other = await runner.start("probe", env={"OTHER": "1"})
    print(await other.call("run_beside", ["sleep", "60"], False), flush=True)
    runner_start = asyncio.ensure_future(runner.start("slow")) if os.environ.get("SLOW") else None
    await asyncio.sleep(60)

run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["none", "fork servers", "all"])
async def test_no_process_outlives_a_runner_that_is_killed(tmp_path: Path, stopped: str) -> None:
    with program(ORPHANS, SPINS=str(tmp_path / "spins")) as runner:
        assert runner.stdout
        child = int(await asyncio.to_thread(runner.stdout.readline))
        await until((tmp_path / "spins").exists)
        processes = family(runner.pid)
        assert child in [process.pid for process in processes]
        assert len(processes) == 3 * 3 + 1
        for process in processes if stopped == "all" else psutil.Process(runner.pid).children():
            if stopped != "none":
                process.suspend()
        runner.kill()
        await gone(processes)


@pytest.mark.parametrize("how", ["import time; time.sleep(60)", "while True: pass"])
async def test_a_launcher_that_still_imports_ends_with_its_runner(tmp_path: Path, how: str) -> None:
    text = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('loads', 'w').close()\n{how}\n"
    modules = module(tmp_path, "slow", text)
    start = "from aioparcs import run\nasync def main(runner):\n    await runner.start('slow')\nrun(main)\n"
    with program(start, PARCS_MODULES=str(modules)) as runner:
        await until((tmp_path / "slow" / "loads").exists)
        processes = family(runner.pid)
        assert len(processes) == 1
        runner.kill()
        await gone(processes)


async def test_a_launcher_that_still_imports_ends_with_its_job(tmp_path: Path) -> None:
    text = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n"
    async with job(module(tmp_path, "slow", text), start_timeout=0.3) as runner:
        with pytest.raises(StartError, match=r"not connected within 0\.3 s"):
            await runner.start("slow")
        processes = family()
    assert not live(processes)
