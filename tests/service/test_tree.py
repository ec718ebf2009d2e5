"""Services that start services, to any depth: what they may, and what is left of a branch that breaks."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import Address, HandshakeError, RemoteError, Runner, Settings, StartError, Task, WorkerLost, codec
from aioparcs.auth import Hello, Role
from aioparcs.channel import introduce
from aioparcs.engine import Job, WorkerGroup
from aioparcs.local import LocalEngine
from aioparcs.transport import dial
from aioparcs.wire import FrameType
from tests.support.engines import command_runner
from tests.support.jobs import MODULES, EventRecorder, family, gone, job, left, module, program
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

LOOPBACK = Address("tcp", "127.0.0.1", 0)


def enter(kind: str, **settings: Any) -> AbstractAsyncContextManager[Runner]:
    """Enter a runner of the local engine, or one over TCP; either with TLS or without."""
    if kind in ("unix", "tls"):
        return job(tls=kind == "tls", **settings)
    return over_tcp(tls=kind == "tcp-tls", **settings)


@asynccontextmanager
async def over_tcp(*, tls: bool, **settings: Any) -> AsyncIterator[Runner]:
    async with command_runner(address=LOOPBACK, tls=tls, **settings) as (runner, _):
        yield runner


async def ask(task: Task, *request: Any) -> Any:
    await task.send(list(request))
    return await task.recv()


def processes(pids: list[int]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pids]


def numbers(tree: list[Any]) -> list[int]:
    return [tree[0], *(number for below in tree[1:] for number in numbers(below))]


# What it is like


@pytest.mark.parametrize("kind", ["unix", "tcp-tls"])
async def test_a_tree_grows_to_any_depth(kind: str) -> None:
    async with enter(kind) as runner, runner.start("tree") as root:
        tree = await ask(root, "start_tree", 3, 2)
        assert sorted(numbers(tree)) == list(range(15))
        assert [len(tree), len(tree[1]), len(tree[1][1]), len(tree[1][1][1])] == [3, 3, 3, 1]


async def test_start_works_in_a_service_as_in_a_runner() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("tree") as root:
        rows = await ask(root, "begin", 3, "tree", {"env": {"X": "1"}, "per_container": 2, "memory": "200m"})
        assert rows == [[f"tree:{1 + rank}", rank, 3, "open"] for rank in range(3)]
        assert await ask(root, "request_child", 1, "who") == [2, 1, 3]
        assert await ask(root, "shut_down_child", 1) == "gone"
        assert await ask(root, "gather", 5) == [f"tree:{number}" for number in range(1, 9)]
    assert ("started", "tree", range(1, 4)) in recorder.events
    assert {("connected", "tree", number) for number in range(9)} <= set(recorder.events)
    assert {("ended", "tree", number, None) for number in range(9)} <= set(recorder.events)


async def test_an_unexpected_error_ends_the_starts_of_a_service_and_reaches_its_loop() -> None:
    async with job() as runner, runner.start("tree") as root:
        await ask(root, "gather", 1)
        async with asyncio.timeout(PATIENCE):
            outcome = await ask(root, "fail_in_handler")
        assert outcome == (
            "the connection to the runner has ended: LookupError: an unexpected error; "
            "[LookupError('an unexpected error')]"
        )


async def test_recv_any_of_a_service_yields_in_the_order_of_arrival() -> None:
    async with job() as runner, runner.start("tree") as root:
        await ask(root, "gather", 3)
        assert len(set(await ask(root, "recv_from_all"))) == 3


async def test_messages_of_a_tree_do_not_pass_through_the_runner(tmp_path: Path) -> None:
    done = tmp_path / "done"
    async with job() as runner, runner.start("tree") as root:
        await ask(root, "gather", 1)
        await root.send(["exchange_messages", 100, str(done)])
        deadline = time.monotonic() + PATIENCE
        while not done.exists() and time.monotonic() < deadline:
            time.sleep(0.005)  # noqa: ASYNC251  # the runner's loop doesn't turn
        assert done.exists()
        assert await root.recv() is None


async def test_a_service_whose_workers_have_an_interpreter_each(tmp_path: Path) -> None:
    text = (MODULES / "tree" / "main.py").read_text().replace("serve(Node)", "serve(Node, fork=False)")
    async with job(module(tmp_path, "tree", text)) as runner, runner.start("tree") as root:
        assert numbers(await ask(root, "start_tree", 2, 1)) == [0, 1, 2]


FUNCTIONS = """
import os
from pathlib import Path
from aioparcs import serve

def square(number):
    once = Path(__file__).parent / str(number)
    if number % 7 == 3 and not once.exists():
        once.touch()
        os._exit(1)
    return number * number

serve(square)
"""


async def test_a_pool_in_a_service_replaces_workers_that_die(tmp_path: Path) -> None:
    async with job(MODULES, module(tmp_path, "squares", FUNCTIONS)) as runner, runner.start("tree") as root:
        assert await ask(root, "map_squares", "squares", 20) == [number * number for number in range(20)]


# What goes wrong


async def test_errors_propagate_through_each_generation() -> None:
    async with job() as runner:
        root = await runner.start("tree")
        await ask(root, "start_chain", 2)
        with pytest.raises(ValueError, match="as it was told") as failure:
            await ask(root, "request_child", 0, "request_child", 0, "fail")
        assert isinstance(failure.value, RemoteError)
        assert "worker tree:1" in failure.value.traceback
        assert "worker tree:2" in failure.value.traceback


async def test_a_worker_that_dies_is_lost_to_the_service_that_started_it() -> None:
    async with job() as runner, runner.start("tree") as root:
        await ask(root, "gather", 2)
        os.kill(await ask(root, "request_child", 0, "pid"), signal.SIGKILL)
        assert await ask(root, "wait_lost", 0) == ["tree:1", "was killed by SIGKILL", None, signal.SIGKILL, []]
        assert await ask(root, "wait_lost", 1, "leave", 5) == [
            "tree:2",
            "ended with exit code 5",
            5,
            None,
            ["my last line"],
        ]


async def test_a_start_that_fails_is_the_same_error_in_a_service_as_in_the_runner(tmp_path: Path) -> None:
    module(tmp_path, "broken", "print('before the end')\nraise SystemExit(3)")
    async with job(MODULES, tmp_path) as runner, runner.start("tree") as root:
        for name in ("broken", "absent"):
            with pytest.raises(StartError) as failure:
                await runner.start(name)
            error = failure.value
            assert await ask(root, "try_start", name, {}) == [error.module, error.reason, list(error.last_lines)]
        name, reason, lines = await ask(root, "try_start", "tree", {"gpus": 1000})
        assert (name, reason.partition(", ")[0], lines) == ("tree", "gpus=1000: a worker needs 1000", [])
        assert await ask(root, "try_start", "tree", {}) is None


async def test_a_start_that_takes_too_long(tmp_path: Path) -> None:
    module(tmp_path, "slow", "import time\ntime.sleep(60)")
    async with job(MODULES, tmp_path, start_timeout=6.0) as runner, runner.start("tree") as root:
        _, reason, _ = await ask(root, "try_start", "slow", {})
        assert reason.startswith("it was not connected within 6 s (PARCS_START_TIMEOUT)")


async def test_a_start_that_is_cancelled_leaves_no_worker(tmp_path: Path) -> None:
    recorder = EventRecorder()
    module(tmp_path, "slow", "import time\ntime.sleep(60)")
    async with job(MODULES, tmp_path, recorder=recorder) as runner, runner.start("tree") as root:
        assert await ask(root, "cancel_start", "slow") == "cancelled"
        await until(lambda: any(event[:2] in (("ended", "slow"), ("stopped", "slow")) for event in recorder.events))


async def test_a_first_start_that_is_cancelled_while_the_runner_is_dialled_spoils_no_later_one() -> None:
    async with job() as runner, runner.start("tree") as root:
        assert await ask(root, "cancel_first_start") is None
        assert await ask(root, "request_child", 0, "echo", "here") == "here"


# What may be started


async def test_a_tree_is_no_deeper_than_max_depth() -> None:
    async with job(max_depth=2) as runner, runner.start("tree") as root:
        await ask(root, "start_chain", 1)
        assert await ask(root, "request_child", 0, "try_start", "tree", {}) == [
            "tree", "it would be generation 3 of its job; the limit is 2 (PARCS_MAX_DEPTH)", []
        ]  # fmt: skip


async def test_services_start_no_more_than_max_spawned() -> None:
    async with job(max_spawned=3) as runner, runner.start("tree") as root:
        await ask(root, "start_chain", 2)
        assert await ask(root, "try_start", "tree", {}) is None
        _, reason, _ = await ask(root, "request_child", 0, "try_start", "tree", {})
        assert reason.startswith("services would have 4 workers at once; the limit is 3 (PARCS_MAX_SPAWNED)")
        assert await ask(root, "shut_down_child", 1) == "gone"
        assert await ask(root, "request_child", 0, "try_start", "tree", {}) is None
        async with runner.start_many("tree", 5):
            pass  # the runner's own don't count


async def test_any_number_of_starts_may_be_refused_at_once() -> None:
    async with job(max_spawned=2) as runner, runner.start("tree") as root:
        reasons = await ask(root, "try_start_many", 500)
        assert len(reasons) == 498
        assert all("the limit is 2" in reason for reason in reasons)
        assert await ask(root, "request_child", 1, "echo", "here") == "here"


@pytest.mark.parametrize(
    "options, module_name, reason",
    [
        ({}, "registry:5000/tree", "services start modules by their names; to allow this image, name it in "),
        (
            {"spawnable": ["functions"]},
            "tree",
            "its runner lets services start functions: to allow this one, add it to",
        ),
        (
            {"spawnable": ()},
            "tree",
            "its runner lets services start no module: to allow this one, add it to Runner(spawn",
        ),
        ({"spawnable": ["a:b"]}, "a:b", "that is an image's name, and only the swarm engine runs images"),
    ],
)
async def test_services_start_what_their_runner_lets_them(options: Any, module_name: str, reason: str) -> None:
    async with Runner(modules=[MODULES], **options) as runner, runner.start("tree") as root:
        assert (await ask(root, "try_start", module_name, {}))[1].startswith(reason)


@pytest.mark.parametrize("options", [{"wire": "v1"}, {"swarm": {"mounts": ["/:/host"]}}])
async def test_options_that_only_a_runner_may_set_are_refused(options: dict[str, Any]) -> None:
    async with job() as runner, runner.start("tree") as root:
        _, reason, _ = await ask(root, "try_start", "tree", options)
        assert reason.endswith("can only be set by its runner, not by a service")


SPAWN, KILL = FrameType.SPAWN, FrameType.KILL
ADDRESS = "tcp://127.0.0.1:1"


@pytest.mark.parametrize(
    "type, values",
    [
        (SPAWN, [1, "tree", 0, {}, ADDRESS]),
        (SPAWN, ["1", "tree", 1, {}, ADDRESS]),
        (SPAWN, [1, "tree", 1, [], ADDRESS]),
        (SPAWN, [0, "tree", 1, {}, ADDRESS]),
        (SPAWN, [0]),
        (SPAWN, 0),
        (FrameType.SPAWNED, [7]),
        (FrameType.STARTED, [[]]),
        (KILL, [1]),
        (KILL, [2, 9.0]),
        (KILL, [2, signal.SIGSTOP]),
        (FrameType.LOG, [[], 0]),
    ],
)
async def test_invalid_control_frames_of_a_service_end_its_own_workers_only(type: int, values: Any) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start_many("tree", 2) as (root, other):
        await asyncio.gather(ask(root, "start_chain", 1), ask(other, "start_chain", 1))
        await ask(root, "send_frame", type, codec.encode_inline(values)[0])
        worker, reason, *_ = await ask(root, "wait_lost", 0)
        assert (worker.partition(":")[0], reason.partition(":")[0]) == ("tree", "is lost")
        assert (await ask(root, "try_start", "tree", {}))[1].endswith("the connection to it has ended")
        assert await ask(other, "request_child", 0, "echo", "here") == "here"
        assert any("broke its connection" in note for note in recorder.notes)


@pytest.mark.parametrize(
    "values, reason",
    [
        ([{"swarm": {"mounts": []}}, ADDRESS], "swarm= can only be set by its runner, not by a service"),
        ([{"cpus": "all"}, ADDRESS], "cpus='all' is invalid"),
        ([{"gpus": -1}, ADDRESS], "gpus=-1: it must be a whole number"),
        ([{"cpus": True}, ADDRESS], "cpus=True is invalid"),
        ([{"memory": 1 << 64}, ADDRESS], "memory=18446744073709551616 is invalid"),
        ([{"memory": "9999999999t"}, ADDRESS], "memory='9999999999t' is not a size in bytes"),
        ([{"\x1b[2J": 1}, ADDRESS], r"the option '\x1b[2J' can only be set by its runner"),
        ([{"x" * 70_000: 1}, ADDRESS], "the option a str of 70,000 can only be set by its runner"),
        ([{}, "nowhere"], "not an address"),
        ([{}, ADDRESS + "9" * 70_000], "its service's address has 70,017 characters; 1000 is the limit"),
    ],
)
async def test_a_runner_refuses_invalid_requests_of_a_service(values: list[Any], reason: str) -> None:
    async with job() as runner, runner.start("tree") as root:
        await ask(root, "start_chain", 1)
        assert (await ask(root, "send_spawn", "tree", *values)).startswith(reason)


async def test_a_runner_starts_no_folder_that_a_service_names() -> None:
    async with job() as runner, runner.start("tree") as root:
        await ask(root, "start_chain", 1)
        reason = await ask(root, "send_spawn", str(MODULES / "tree"), {}, ADDRESS)
        assert reason == "a path as a module's name can only be set by its runner, not by a service"


async def test_a_service_ends_only_its_own_workers() -> None:
    async with job() as runner, runner.start_many("tree", 2) as (root, other):
        await ask(root, "start_chain", 1)
        await ask(other, "start_chain", 1)
        for worker in range(4):
            if worker not in (2, 3):
                await ask(root, "send_frame", KILL, codec.encode_inline([worker, signal.SIGKILL])[0])
        assert await ask(root, "request_child", 0, "echo", 1) == await ask(other, "request_child", 0, "echo", 1) == 1


async def test_only_a_live_worker_may_connect_as_a_parent_and_only_once() -> None:
    engine = ExposedEngine([MODULES])
    async with job(engine=engine) as runner, runner.start("tree") as root:
        await ask(root, "start_chain", 1)
        for number, reason in ((0, "parent 0 is already connected"), (7, "unexpected parent 7")):
            reader, writer = await dial(engine.job.address)
            hello = Hello.of(Role.PARENT, engine.job.id, number, Settings())
            with pytest.raises(HandshakeError, match=reason):
                await introduce(reader, writer, hello, engine.job.token, 5)
            writer.close()
            await writer.wait_closed()


class ExposedEngine(LocalEngine):
    """The local engine, which tells what only its job should know, and which groups were released."""

    job: Job
    released: list[WorkerGroup]

    async def open(self, job: Job) -> None:
        self.job = job
        self.released = []
        await super().open(job)

    async def release(self, group: WorkerGroup) -> None:
        self.released.append(group)


# How a branch ends


async def test_workers_may_finish_when_their_service_has_finished(tmp_path: Path) -> None:
    recorder, path = EventRecorder(), tmp_path / "enough"
    async with job(recorder=recorder) as runner, runner.start("tree") as root:
        await ask(root, "start_chain", 1)
        assert await ask(root, "request_child", 0, "finish_later", str(path)) == "going on"
        await root.send_eof()  # its program ends, and waits for its worker
        path.touch()
        await until(lambda: ("ended", "tree", 0, None) in recorder.events)
        assert ("ended", "tree", 1, None) in recorder.events


async def test_workers_that_go_on_are_ended_after_close_timeout() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder, close_timeout=1.0) as runner:
        root = await runner.start("tree")
        await ask(root, "start_chain", 1)
        assert await ask(root, "request_child", 0, "compute") == "computing"
        await root.send_eof()
        await until(lambda: ("stopped", "tree", 1) in recorder.events)
        await until(lambda: ("ended", "tree", 0, None) in recorder.events)


async def test_a_failing_service_ends_its_branch() -> None:
    async with job() as runner:
        root = await runner.start("tree")
        branch = processes(await ask(root, "start_chain", 3))
        with pytest.raises(ValueError, match="as it was told"):
            await ask(root, "fail")
        await gone(branch)


@pytest.mark.parametrize("dies", [0, 1, 2])
async def test_the_branch_of_a_killed_worker_is_killed(dies: int) -> None:
    async with job() as runner:
        root, other = await runner.start_many("tree", 2)
        pids = await ask(root, "start_chain", 3)
        await ask(root, *["request_child", 0] * 2, "request_child", 0, "compute")  # the last one never looks up
        await ask(other, "start_chain", 1)
        branch = processes(pids)
        branch[dies].kill()
        await gone(branch[dies:])
        assert all(process.is_running() for process in branch[:dies])
        if dies == 0:
            with pytest.raises(WorkerLost, match="was killed by SIGKILL"):
                await root.recv()
        else:
            answer = await ask(root, *["request_child", 0] * (dies - 1), "wait_lost", 0)
            assert answer[1:4] == ["was killed by SIGKILL", None, signal.SIGKILL]
        assert await ask(other, "request_child", 0, "echo", 1) == 1


async def test_a_service_that_is_cut_off_from_its_runner_loses_its_workers() -> None:
    async with job() as runner, runner.start("tree") as root:
        branch = processes(await ask(root, "start_chain", 2))[1:]
        await ask(root, "cut_connection")
        await gone(branch)
        worker, reason, *_ = await ask(root, "wait_lost", 0)
        assert worker == "tree:1"
        assert reason.startswith("is lost: the connection to the runner has ended")


async def test_the_end_of_a_runner_ends_workers_at_any_depth() -> None:
    with suppress(KeyError):
        async with job() as runner:
            root = await runner.start("tree")
            branch = processes(await ask(root, "start_chain", 3))
            await ask(root, *["request_child", 0] * 3, "compute")
            raise KeyError
    assert left(branch) == []


def test_the_death_of_a_runner_ends_workers_at_any_depth() -> None:
    text = """
import asyncio, time
from aioparcs import run

async def main(runner):
    root = await runner.start("tree")
    await root.send(["start_chain", 3])
    print(*await root.recv(), flush=True)
    await asyncio.sleep(60)

run(main)
"""
    with program(text) as runner:
        assert runner.stdout
        branch = processes([int(pid) for pid in runner.stdout.readline().split()])
        assert len(branch) == 4
        there = family(runner.pid)
        runner.kill()
        assert left([*branch, *there], 10) == []


# What an engine is told


async def test_an_engine_releases_a_group_with_its_last_worker() -> None:
    engine = ExposedEngine([MODULES])
    async with job(engine=engine) as runner:
        first = await runner.start_many("tree", 2)
        await first[0].shutdown()
        assert engine.released == []
        await first[1].kill()
        await until(lambda: [group.first for group in engine.released] == [0])
        async with runner.start("tree") as root:
            await ask(root, "start_chain", 1)
            await ask(root, "shut_down_child", 0)
            await until(lambda: [group.first for group in engine.released] == [0, 3])
            assert (engine.released[-1].spec.parent, engine.released[0].spec.parent) == (2, -1)


async def test_failed_launchers_are_kept_until_their_branch_or_the_job_ends(tmp_path: Path) -> None:
    module(tmp_path, "broken", "raise SystemExit(3)")
    engine = ExposedEngine([MODULES, tmp_path])
    async with job(engine=engine) as runner:
        with pytest.raises(StartError):
            await runner.start("broken")
        async with runner.start("tree") as root:
            await ask(root, "try_start", "broken", {"env": {"X": "1"}})
            await ask(root, "gather", 1)
            await ask(root, "shut_down_child", 0)
            await until(lambda: [group.first for group in engine.released] == [3])
        await until(lambda: {group.first for group in engine.released} == {1, 2, 3})


async def test_a_pool_keeps_its_launchers_for_replacements_until_it_ends(tmp_path: Path) -> None:
    engine = ExposedEngine([module(tmp_path, "squares", FUNCTIONS)])
    async with job(engine=engine) as runner:
        async with runner.pool("squares", 1) as pool:
            with pytest.raises(WorkerLost):
                await pool.submit(3)
            assert await pool.submit(3) == 9
            assert engine.released == []
        await until(lambda: len(engine.released) == 1)


async def test_a_pool_replaces_workers_of_a_launcher_that_serves_others_too(tmp_path: Path) -> None:
    async with job(module(tmp_path, "squares", FUNCTIONS)) as runner, runner.pool("squares", 1) as pool:
        async with runner.start("squares"):
            pass
        with pytest.raises(WorkerLost):
            await pool.submit(10)
        assert await pool.submit(10) == 100
