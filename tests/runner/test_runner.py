"""A runner's workers: how they start, and what is left of them."""

import asyncio
import math
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from aioparcs import ChannelClosed, Runner, SettingError, Settings, StartError, Task, WorkerLost
from aioparcs.engine import WorkerGroup
from aioparcs.local import LocalEngine
from aioparcs.runner.state import reservations
from aioparcs.runner.state.stimuli import Action, EndWorker
from tests.support.jobs import MODULES, EventRecorder, family, gone, job, live, module
from tests.support.waiting import PATIENCE, until

# start


async def test_start_can_be_awaited_and_entered() -> None:
    async with job() as runner:
        t = await runner.start("talker")
        async with runner.start("talker") as other:
            await other.send(["echo", 1])
            assert await other.recv() == 1
        assert other.state == "gone"
        await t.send(["echo", 2])
        assert await t.recv() == 2
        assert (t.module, t.name, t.state, repr(t)) == ("talker", "talker:0", "open", "<Task talker:0 open>")
        statistics = t.statistics()
        assert (statistics.messages_sent, statistics.messages_received) == (1, 1)
        await t.shutdown()
        await t.shutdown()
        assert repr(t) == "<Task talker:0 gone>"
        with pytest.raises(ChannelClosed):
            await t.send(1)


@pytest.mark.slow
async def test_many_starts_at_once_share_a_launcher_for_each_environment() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        plain = [runner.start("talker") for _ in range(5)]
        special = [runner.start("talker", env={"NAME": "value"}) for _ in range(3)]
        tasks = await asyncio.gather(*plain, *special, runner.start("functions"))
        talkers, launchers = tasks[:8], set()
        for t in talkers:
            await t.send_all(["who"], ["environment", "NAME"])
            launchers.add((await t.recv())[4])
        assert [await t.recv() for t in talkers] == [None] * 5 + ["value"] * 3
        assert len(launchers) == 2
        # A fork server and its agent for each of three, and the workers.
        assert len(family()) == 3 * 2 + 9
        first_end = next(i for i, event in enumerate(recorder.events) if event[0] == "connected")
        assert [event[0] for event in recorder.events[:first_end]] == ["started"] * 9, "none waits for another"


async def test_a_cancelled_start_kills_the_worker(tmp_path: Path) -> None:
    module(tmp_path, "late", "import time; time.sleep(60)")
    async with job(tmp_path) as runner:
        start = asyncio.ensure_future(runner.start("late").__aenter__())
        await until(family)
        begun = asyncio.get_running_loop().time()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert asyncio.get_running_loop().time() - begun < PATIENCE


async def test_an_unexpected_error_ends_the_workers_of_a_launcher_and_reaches_the_loop() -> None:
    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    async with job() as runner:
        one, other = await runner.start_many("talker", 2)
        supervisor: Any = runner._job.supervisor
        execute = supervisor._execute

        def fail(action: Action) -> None:
            execute(action)
            if isinstance(action, EndWorker):
                supervisor._execute = execute
                raise LookupError("an unexpected error")

        supervisor._execute = fail
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: contexts.append(context))
        try:
            await one.send(["leave", 3])
            with pytest.raises(WorkerLost, match="is lost with its launcher: LookupError: an unexpected error"):
                await other.recv()
        finally:
            loop.set_exception_handler(before)
    assert [repr(context["exception"]) for context in contexts] == ["LookupError('an unexpected error')"]


# start_many


async def test_start_many_awaited_is_in_order_of_rank() -> None:
    async with job() as runner:
        tasks = await runner.start_many("talker", 4)
        assert [t.rank for t in tasks] == [0, 1, 2, 3]
        assert {t.state for t in tasks} == {"open"}


async def test_start_many_iterated_gives_each_as_it_connects() -> None:
    async with job() as runner:
        tasks = [t async for t in runner.start_many("talker", 4)]
        assert sorted(t.rank for t in tasks) == [0, 1, 2, 3]


async def test_start_many_entered_ends_them_all() -> None:
    async with job() as runner:
        async with runner.start_many("talker", 3) as tasks:
            await tasks[0].send(["echo", 1])
            assert await tasks[0].recv() == 1
        assert {t.state for t in tasks} == {"gone"}
        with suppress(KeyError):
            async with runner.start_many("talker", 3) as tasks:
                for t in tasks:
                    await t.send(["compute", 60])
                    await t.recv()
                raise KeyError
        assert {t.state for t in tasks} == {"gone"}


FAILING = """
import os, sys
from aioparcs import Service, serve
class Failing(Service):
    async def run(self):
        await self.send(self.rank)
if os.environ.get("FAIL"): sys.exit("no")
serve(Failing)
"""


@pytest.mark.slow
async def test_a_failed_start_kills_the_others_unless_min_workers_allows_it(tmp_path: Path) -> None:
    async with job(module(tmp_path, "failing", FAILING)) as runner:
        with pytest.raises(StartError, match=r"no$") as caught:
            await runner.start_many("failing", 3, env={"FAIL": "1"})
        assert caught.value.last_lines == ("no",)
        errors = await runner.start_many("failing", 3, env={"FAIL": "1"}, return_exceptions=True)
        assert [type(error) for error in errors] == [StartError] * 3
        errors = [e async for e in runner.start_many("failing", 3, env={"FAIL": "1"}, return_exceptions=True)]
        assert [type(error) for error in errors] == [StartError] * 3
        with pytest.raises(StartError, match=r"only 0 of min_workers=2 started: its main.py ended with exit code 1"):
            await runner.start_many("failing", 3, env={"FAIL": "1"}, min_workers=2)
        assert not family()


# Each of its workers runs main.py; those from rank 2 on are late.
SLOW_START = """
import os, time
place = os.environ.get("PARCS_PLACE")
while place and int(place.split(",")[1]) >= 2 and not os.path.exists(os.environ["GATE"]): time.sleep(0.005)
from aioparcs import serve
def rank(): return int(place.split(",")[1])
serve(rank, fork=False)
"""


@pytest.mark.slow
async def test_start_many_returns_with_min_workers_and_the_others_join(tmp_path: Path) -> None:
    gate, env = tmp_path / "gate", {"GATE": str(tmp_path / "gate")}
    async with job(module(tmp_path, "slow_start", SLOW_START)) as runner:
        async with runner.start_many("slow_start", 4, min_workers=2, env=env) as tasks:
            assert sorted([await t.call("rank") for t in tasks]) == [0, 1]
        assert {t.state for t in tasks} == {"gone"}
        async with runner.start_many("slow_start", 4, min_workers=2, env=env) as tasks:
            assert len(tasks) == 2
            gate.touch()
            await until(lambda: len(tasks) == 4)
            assert sorted([await t.call("rank") for t in tasks]) == [0, 1, 2, 3]


@pytest.mark.slow
async def test_leaving_the_loop_over_starts_early_kills_those_it_has_not_given() -> None:
    async with job() as runner:
        async for t in runner.start_many("talker", 5):
            await t.send(["who"])
            *_, pid, launcher = await t.recv()
            break
        await until(lambda: _children(launcher, but=pid) == 1)  # its agent
        await t.send(["echo", 1])
        assert await t.recv() == 1


def _children(pid: int, *, but: int) -> int:
    return sum(process.pid != but for process in live(psutil.Process(pid).children()))


@pytest.mark.parametrize(
    "counts, error",
    [
        ((0,), "count=0: it must be a whole number, at least 1"),
        ((-1,), "count=-1: it must be a whole number, at least 1"),
        ((2.0,), "count=2.0: it must be a whole number, at least 1"),
        ((2.5,), "count=2.5: it must be a whole number, at least 1"),
        (("3",), "count='3': it must be a whole number, at least 1"),
        ((None,), "count=None: it must be a whole number, at least 1"),
        ((math.nan,), "count=nan: it must be a whole number, at least 1"),
        ((math.inf,), "count=inf: it must be a whole number, at least 1"),
        ((3, 4), "min_workers=4: it must be at most 3"),
        ((3, 0), "min_workers=0: it must be a whole number, at least 1"),
        ((3, 1.5), "min_workers=1.5: it must be a whole number, at least 1"),
    ],
)
def test_impossible_counts_are_refused(counts: tuple[Any, ...], error: str) -> None:
    runner = Runner(modules=[MODULES])
    with pytest.raises((TypeError, ValueError)) as refused:
        runner.start_many("talker", counts[0], min_workers=counts[1] if len(counts) > 1 else None)
    assert str(refused.value) == error


async def test_refused_counts_leave_the_runner_usable() -> None:
    async with job() as runner:
        with pytest.raises(StartError, match="need about"):
            await runner.start_many("functions", 10**30)
        async with runner.pool("functions", np.int64(1)) as pool:
            wrong: tuple[Any, ...] = (2.0, "3", None, math.nan)
            for size in wrong:
                with pytest.raises(TypeError, match=r"size=.*must be a whole number"):
                    await pool.resize(size)
            with pytest.raises(ValueError, match="size=0"):
                await pool.resize(0)
            assert await pool.map([1, 2], function="add") == [2, 3]
        async with runner.start_many("functions", np.uint8(2), min_workers=np.int16(1)) as tasks:
            assert await tasks[0].call("add", 4) == 5


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 0},
        {"cpus": math.nan},
        {"cpus": math.inf},
        {"cpus": 1e308},
        {"cpus": "2"},
        {"cpus": 1j},
        {"memory": "much"},
        {"memory": -1},
        {"memory": 1.5},
        {"memory": 2**64 - 1},
        {"memory": "9999999999t"},
        {"memory": "1e400"},
        {"gpus": -1},
        {"gpus": 1.5},
        {"gpus": "1"},
        {"gpus": 2**70},
        {"wire": "v3"},
        {"env": 3},
        {"env": [("A", "x")]},
        {"env": {3: "x"}},
        {"env": {None: None}},
        {"env": {"A": "\ud800"}},
        {"env": {"N": 1}},
        {"env": {"": "x"}},
        {"env": {"A=B": "x"}},
        {"env": {"A": "\0"}},
    ],
)
def test_options_with_impossible_values(options: dict[str, Any]) -> None:
    runner = Runner(modules=[MODULES])
    for starting in (runner.start, partial(runner.start_many, count=2), partial(runner.pool, size=2)):
        if "wire" in options and isinstance(starting, partial) and starting.func == runner.pool:
            continue
        with pytest.raises(SettingError, match=next(iter(options))):
            starting("talker", **options)


def test_original_services_are_started_one_by_one() -> None:
    with pytest.raises(SettingError, match="one by one"):
        Runner(modules=[MODULES]).start_many("talker", 2, wire="v1")


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", "all", math.nan])
def test_impossible_numbers_of_workers_for_a_container(value: Any) -> None:
    with pytest.raises(SettingError, match="per_container="):
        Runner(modules=[MODULES]).start_many("talker", 2, per_container=value)


@pytest.mark.parametrize("wrong", [2, None, b"talker"])
def test_other_values_are_no_modules(wrong: Any) -> None:
    runner = Runner(modules=[MODULES])
    for starting in (runner.start, partial(runner.start_many, count=2), partial(runner.pool, size=2)):
        with pytest.raises(TypeError, match=f"module={wrong!r}: it must be a function or a Service class, "):
            starting(wrong)


@pytest.mark.parametrize("missing", ["", " "])
def test_a_start_without_a_name_says_what_is_missing(missing: str) -> None:
    runner = Runner()
    for start in (runner.start, partial(runner.start_many, count=2), partial(runner.pool, size=2)):
        with pytest.raises(SettingError, match=f"^module={missing!r}: the module's name is missing"):
            start(missing)


async def test_what_start_and_start_many_return_is_used_once() -> None:
    async with job() as runner:
        one, many = runner.start("talker"), runner.start_many("talker", 2)
        tasks = [await one, *await many]
        for starting in (one, many):
            with pytest.raises(RuntimeError, match="can be used only once"):
                await starting
            with pytest.raises(RuntimeError, match="can be used only once"):
                async with starting:
                    pass
        with pytest.raises(RuntimeError, match="can be used only once"):
            await anext(aiter(many))
        for t in tasks:
            await t.send(["echo", 1])
            assert await t.recv() == 1


async def test_a_path_names_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(tmp_path, "here", "from aioparcs import serve\ndef where():\n    return __file__\nserve(where)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    paths: list[str | Path] = ["./here", "here/", str(tmp_path / "here"), "~/here", Path("here"), tmp_path / "here"]
    async with job() as runner:
        tasks = await asyncio.gather(*(runner.start(path) for path in paths))
        assert {await t.call("where") for t in tasks} == {str(tmp_path / "here" / "main.py")}
        assert [t.name for t in tasks] == [f"here:{n}" for n in range(6)]
        assert len(runner._job.registry.launchers) == 1
        with pytest.raises(StartError, match=rf"there is no main.py in {tmp_path}/there"):
            await runner.start("./there")


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "nosuch",
            {},
            f"there is no module of that name .* in {MODULES}; there are: .*functions, .*talker, .*tree, values; PARCS",
        ),
        ("x" * 256, {}, f"there is no module of that name .* in {MODULES}"),
        ("registry/image:1", {}, "only the swarm engine runs images"),
        ("talker", {"cpus": 0.5}, "the local engine assigns whole CPUs"),
        ("talker", {"cpus": 999_999}, "this program may use"),
        ("talker", {"gpus": 999_999}, "this program sees"),
    ],
)
async def test_an_impossible_start_fails_at_once_with_its_reason(
    name: str, options: dict[str, Any], message: str
) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=message):
            await runner.start(name, **options)
        assert not family()


async def test_limits_are_set_on_the_worker(tmp_path: Path) -> None:
    text = """
import os, resource
from aioparcs import serve
def limits(): return [len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_DATA)[0]]
serve(limits)
"""
    async with job(module(tmp_path, "limited", text)) as runner:
        async with runner.start("limited", cpus=1, memory="512m") as t:
            assert await t.call("limits") == [1, 512 << 20]


# The runner's own life


async def test_settings_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="it must be a Settings, such as"):
        Runner(settings={"start_timeout": 1.0})  # type: ignore[arg-type]  # on purpose


async def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^Settings\(start_timeout=-1\): it must be a positive number of seconds$"):
        Runner(settings=Settings(start_timeout=-1))


async def test_a_runner_that_is_not_entered_starts_nothing() -> None:
    runner = Runner(modules=[MODULES], settings=Settings())
    for attempt in (runner.start("talker"), runner.start_many("talker", 2)):
        with pytest.raises(RuntimeError, match="inside the runner's block"):
            await attempt
    async with runner:
        pass
    with pytest.raises(RuntimeError, match="inside the runner's block"):
        await runner.start("talker")
    with pytest.raises(RuntimeError, match="entered only once"):
        await runner.__aenter__()


@pytest.mark.slow
async def test_two_jobs_at_once_in_one_process() -> None:
    async def work(name: str) -> tuple[str, int]:
        async with job() as runner, runner.start("talker", env={"NAME": name}) as t:
            await t.send_all(["environment", "NAME"], ["who"])
            return await t.recv(), (await t.recv())[2]

    assert await asyncio.gather(*map(work, "abc")) == [("a", 0), ("b", 0), ("c", 0)]


async def test_all_connections_are_encrypted_with_tls() -> None:
    async with job(tls=True) as runner, runner.start_many("talker", 2) as tasks:
        for t in tasks:
            await t.send_all(["fill", 1 << 20], os.urandom(1 << 20), ["print_lines", "x"])
            count, payload = await t.recv()
            assert (count, len(payload), await t.recv()) == (1 << 20, 1 << 20, "printed")


async def test_a_start_that_is_on_its_way_when_the_runner_leaves_fails(tmp_path: Path) -> None:
    async with job(module(tmp_path, "late", "import time; time.sleep(60)")) as runner:
        start = asyncio.ensure_future(runner.start("late").__aenter__())
        await until(family)
    with pytest.raises(StartError, match="its runner has ended"):
        await start


@pytest.mark.slow
async def test_a_launcher_that_is_killed_takes_its_workers_along_and_the_next_start_gets_another() -> None:
    async with job() as runner:
        tasks = await runner.start_many("talker", 2)
        await tasks[0].send(["who"])
        *_, pid, launcher = await tasks[0].recv()
        processes = family()
        os.kill(launcher, 9)
        for t in tasks:
            with pytest.raises(WorkerLost, match="is lost: its launcher was killed by SIGKILL"):
                await t.recv()
        await gone(processes)
        async with runner.start("talker") as t:
            await t.send(["echo", 1])
            assert await t.recv() == 1
            assert pid not in [process.pid for process in live(family())]


async def test_of_the_launchers_that_have_failed_the_latest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "_FAILED_KEPT", 2)
    released: list[str] = []
    engine = LocalEngine([module(tmp_path, "failing", "raise SystemExit(3)")])

    async def release(group: WorkerGroup) -> None:
        released.append(group.spec.env["TURN"])
        await LocalEngine.release(engine, group)

    monkeypatch.setattr(engine, "release", release)
    async with job(engine=engine) as runner:
        for turn in range(5):
            with pytest.raises(StartError, match="exit code 3"):
                await runner.start("failing", env={"TURN": str(turn)})
        await until(lambda: len(released) == 3)
        assert released == ["0", "1", "2"]


async def test_a_worker_started_after_a_killed_one_has_a_new_number(tmp_path: Path) -> None:
    async with job() as runner:
        first: Task = await runner.start("talker")
        await first.kill()
        second = await runner.start("talker")
        assert (first.state, second.state) == ("gone", "open")
        assert second.worker == 1, "numbers are never used twice"
