"""Code that is edited while a runner is open, and what a runner that is open for long keeps."""

import asyncio
import gc
import os
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import Runner, Task
from aioparcs.channel import Channel, FrameConnection
from aioparcs.local.sources import Sources, Tree
from aioparcs.runner.launchers import LauncherClient
from tests.support.jobs import EventRecorder, family, gone, job, module
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

MAIN = """
import os, sys
sys.path.append(os.path.dirname(os.getcwd()))
import helper, shared
from aioparcs import serve
def versions():
    import lazy
    return [{main}, helper.VALUE, shared.VALUE, os.getppid()]
serve(versions)
"""


def write(folder: Path, *, main: int = 1, helper: int = 1, shared: int = 1) -> Path:
    """Write a module, its helper and a file beside the module's folder; values of another length are other code."""
    module(folder, "m", MAIN.format(main=main))
    (folder / "m" / "helper").mkdir(exist_ok=True)
    (folder / "m" / "helper" / "__init__.py").write_text(f"VALUE = {helper}\n")
    (folder / "m" / "lazy.py").touch()
    (folder / "shared.py").write_text(f"VALUE = {shared}\n")
    return folder


@pytest.mark.parametrize("edited", ["main", "helper", "shared"])
async def test_edited_code_runs_at_the_next_start(tmp_path: Path, edited: str) -> None:
    recorder = EventRecorder()
    async with job(write(tmp_path), recorder=recorder) as runner:
        async with runner.start("m") as t:
            *values, first = await t.call("versions")
            assert values == [1, 1, 1]
        async with runner.start("m") as t:
            assert (await t.call("versions"))[-1] == first  # nothing has changed
        old = family()
        write(tmp_path, **{edited: 22})
        async with runner.start("m") as t, runner.pool("m", 1) as pool:
            *values, second = await t.call("versions")
            assert values == [22 if name == edited else 1 for name in ("main", "helper", "shared")]
            assert await pool.submit() == [*values, second]
        await gone(old)  # the launcher of the old code
        await until(lambda: len(runner._job.registry.launchers) == 1)
        assert len(family()) == 2
    assert recorder.notes == []


async def test_workers_keep_the_code_that_they_were_started_with(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(write(tmp_path), recorder=recorder) as runner:
        async with runner.pool("m", 1) as pool, runner.start("m") as t:
            *_, first = await t.call("versions")
            write(tmp_path, main=22)
            async with runner.start("m") as other:
                assert (await other.call("versions"))[0] == 22
            assert recorder.notes == [
                "its code has changed: running workers keep the old code, and new workers run the new code"
            ]
            assert (await t.call("versions"))[0] == 1

            # A pool replaces a worker that it has lost by one of the same code: it is in the middle of its work.
            (worker,) = pool._dispatcher.workers.up.values()
            await worker.task.kill()
            assert await pool.submit() == [1, 1, 1, first]

            await pool.resize(2)  # more workers are new ones
            values = await asyncio.gather(
                *(worker.task.channel.call("versions") for worker in pool._dispatcher.workers.up.values())
            )
            assert sorted(main for main, *_ in values) == [1, 22]
        await until(lambda: len(runner._job.registry.launchers) == 1)


async def test_only_files_with_code_count_as_changed(tmp_path: Path) -> None:
    write(tmp_path)
    folder = tmp_path / "m"
    (folder / "data").mkdir()
    (folder / ".git").mkdir()
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").touch()
    tree = Tree(folder)
    sources = Sources(await tree.marks())
    try:
        for name in ("data/result.csv", ".git/hook.py", "env/new.py", "notes.txt"):
            (folder / name).write_text("new")
            assert not sources.have_changed(await tree.marks())
        (folder / "data" / "new.py").touch()
        assert sources.have_changed(await tree.marks())
        (folder / "data" / "new.py").unlink()
        assert not sources.have_changed(await tree.marks())
        os.utime(folder / "helper" / "__init__.py", ns=(0, 0))
        assert sources.have_changed(await tree.marks())
    finally:
        sources.close()


async def test_concurrent_starts_share_one_check_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: Counter[str] = Counter()

    def look(tree: Tree, path: str) -> Any:
        looks[path] += 1
        return before(tree, path)

    async def edit_and_start(runner: Runner) -> Task:
        write(tmp_path, helper=22)
        return await runner.start("m")

    before = Tree._look
    monkeypatch.setattr(Tree, "_look", look)
    async with job(write(tmp_path)) as runner:
        await runner.start("m")
        looks.clear()
        tasks = await asyncio.gather(*(runner.start("m") for _ in range(10)), edit_and_start(runner))
        assert looks == {str(tmp_path / "m"): 1, str(tmp_path / "m" / "helper"): 1}
        assert [(await t.call("versions"))[1] for t in tasks] == [22] * 11


# What a runner keeps that is open for long


def tables(runner: Runner) -> dict[str, int]:
    """Count what a runner keeps for its workers and launchers."""
    supervisor, registry, state, engine = (
        runner._job.supervisor,
        runner._job.registry,
        runner._job.state,
        runner._job.engine,
    )
    launchers: Any = engine._launchers  # type: ignore[attr-defined]  # the local one
    sizes = {
        "serving": len(supervisor._serving),
        "workers": len(state.workers) + len(registry.workers),
        "deadlines": len(state._workers.starting) + len(state._unexplained),
        "reservations": len(state.reservations),
        "launchers": len(registry.launchers),
        "supervised": len(state.launchers),
        "sessions": len(registry.sessions),
        "processes": len(engine._processes),  # type: ignore[attr-defined]  # the local one
        "groups": sum(len(one.groups) for one in launchers._all.values()),
    }
    gc.collect()
    kinds = Counter(type(one) for one in gc.get_objects())
    sizes["control connections"] = kinds[FrameConnection] - kinds[Channel]  # a channel is built on one of its own
    return sizes | {kind.__name__: kinds[kind] for kind in (LauncherClient, asyncio.Task, asyncio.TimerHandle)}


async def test_ended_workers_are_removed_from_all_tables() -> None:
    async with job() as runner:

        async def use(count: int) -> None:
            for n in range(count):
                t: Task = await runner.start("functions")
                await (t.shutdown() if n % 2 else t.kill())
            async with runner.pool("functions", 1) as pool:
                for _ in range(count // 10):
                    (worker,) = pool._dispatcher.workers.up.values()
                    await worker.task.kill()
                    await pool.submit(1, function="add")
                assert len(pool._supervisor._startup.provider._reservations) == 1  # type: ignore[attr-defined]  # the runner's
            await until(lambda: not runner._job.state.workers)

        await use(10)
        before, files, tasks = tables(runner), psutil.Process().num_fds(), len(runner._job.registry.tasks)
        await use(30)
        assert tables(runner) == before
        assert psutil.Process().num_fds() == files
        assert len(runner._job.registry.tasks) <= max(2 * tasks, 256)  # it is cleared from time to time
        assert len(family()) == 2


async def test_unneeded_launchers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 2
    monkeypatch.setattr("aioparcs.local.launchers._MOST_IDLE", most)
    async with job() as runner:
        async with runner.pool("functions", 1, env={"N": "pool"}) as pool:
            for n in range(most + 2):
                async with runner.start("functions", env={"N": str(n)}) as t:
                    await t.call("add", n)
            await until(lambda: tables(runner)["launchers"] == most + 1)
            await until(lambda: len(family()) == 2 * (most + 1) + 1)
            sizes = tables(runner)
            assert (sizes["processes"], sizes["supervised"]) == (most + 1, most + 1)
            assert await pool.submit(1, function="add") == 2
        async with runner.start("functions", env={"N": "0"}) as t:
            assert await t.call("add", 1) == 2
