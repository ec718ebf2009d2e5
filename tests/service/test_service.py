"""A service class: its conversation, its place, its end."""

import asyncio
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aioparcs import EncodeError, EndOfChannel, RemoteError, Runner, Service, Settings, WorkerLost, serve
from tests.support.jobs import EventRecorder, execute, family, gone, job, module
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

# Conversation


async def test_messages_both_ways_in_order() -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["echo", 1, "two", [3.5, None], {"four": b"4"}])
        assert [await t.recv() for _ in range(4)] == [1, "two", [3.5, None], {"four": b"4"}]
        await t.send_all(*(["echo", i] for i in range(1000)))
        await t.send_eof()
        assert [message async for message in t] == list(range(1000))
        with pytest.raises(EndOfChannel):
            await t.recv()


async def test_recv_into_memory_of_the_services_own() -> None:
    async with job() as runner, runner.start("talker") as t:
        for payload in (b"", b"small", bytes(range(256)) * 4096):
            await t.send_all(["fill", len(payload) + 1], payload)
            assert await t.recv() == [len(payload), payload]


@pytest.mark.slow
async def test_rank_size_and_number() -> None:
    async with job() as runner:
        first = await runner.start("talker")
        many = await runner.start_many("talker", 3)
        assert [(t.rank, t.size, t.worker) for t in (first, *many)] == [(0, 1, 0), (0, 3, 1), (1, 3, 2), (2, 3, 3)]
        for t in (first, *many):
            await t.send(["who"])
            assert (await t.recv())[:3] == [t.rank, t.size, t.worker]


async def test_progress_reaches_the_observer() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("talker") as t:
        await t.send(["report_progress", 3, 4])
        await t.recv()
        await until(lambda: ("progress", "talker", 0, 3.0, 4.0) in recorder.events)


async def test_calls_of_a_class_service_are_declined_and_it_goes_on() -> None:
    async with job() as runner, runner.start("talker") as t:
        with pytest.raises(RemoteError, match="takes no calls"):
            await t.call("echo", 1)
        await t.send(["echo", 1])
        assert await t.recv() == 1


# Ends


async def test_an_exception_is_the_builtin_too_with_its_traceback_and_place() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        t = await runner.start("talker")
        await t.send(["fail", "ValueError", "bad thing"])
        with pytest.raises(ValueError, match="bad thing") as caught:
            await t.recv()
        error = caught.value
        assert isinstance(error, RemoteError)
        assert (error.type, error.message, error.worker) == ("ValueError", "bad thing", "talker:0")
        assert "raise errors[kind](*arguments)" in error.traceback
        assert error.traceback.count("File") == error.traceback.count("talker/main.py"), "only the service's own frames"
        await until(lambda: t.state == "gone")
        for again in (t.recv(), t.send(1), t.call("f")):  # it stays so, in both directions
            with pytest.raises(RemoteError):
                await again
        await t.shutdown()
    assert "ValueError: bad thing" in recorder.lines[0]
    assert ("ended", "talker", 0, "ended with exit code 1") in recorder.events


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, builtin", [("CustomKeyError", KeyError), ("OSError", OSError), ("StopIteration", RuntimeError)]
)
async def test_subclasses_are_their_builtin(kind: str, builtin: type[Exception]) -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["fail", kind, "why"])
        with pytest.raises(builtin) as caught:
            await t.recv()
        assert isinstance(caught.value, RemoteError)
        assert kind in str(caught.value)


async def test_the_cause_of_a_remote_error_is_kept() -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["fail_with_cause"])
        with pytest.raises(RuntimeError, match="because of the other") as caught:
            await t.recv()
        assert isinstance(caught.value.__cause__, KeyError)
        assert isinstance(caught.value.__cause__, RemoteError)


async def test_an_unserialisable_message_names_its_place() -> None:
    async with job() as runner, runner.start("talker") as t:
        with pytest.raises(EncodeError, match=r"\$\.rows\[0\]: object"):
            await t.send({"rows": [object()]})
        await t.send(["unserialisable"])
        with pytest.raises(TypeError, match=r"\$\.rows\[1\]: object") as caught:
            await t.recv()
        assert isinstance(caught.value, RemoteError)
        assert "encoder.py" not in caught.value.traceback


@pytest.mark.slow
@pytest.mark.parametrize("code", [None, 0])
async def test_sys_exit_without_an_error_is_a_clean_end(code: int | None) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("talker") as t:
        await t.send(["leave", code])
        assert [message async for message in t] == ["leaving"]
    assert ("ended", "talker", 0, None) in recorder.events


@pytest.mark.slow
@pytest.mark.parametrize("code, number", [(3, 3), ("what is wrong", 1)])
async def test_sys_exit_with_an_error_is_the_programs_failure(code: Any, number: int) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("talker") as t:
        await t.send(["leave", code])
        assert await t.recv() == "leaving"
        with pytest.raises(RemoteError, match=f"SystemExit in worker talker:0: {code}"):
            await t.recv()
    assert ("ended", "talker", 0, f"ended with exit code {number}") in recorder.events
    assert recorder.lines.get(0, []) == ([code] if isinstance(code, str) else [])


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 7])
async def test_a_process_that_vanishes_is_a_loss_whatever_its_exit_code(code: int) -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["vanish", code])
        with pytest.raises(WorkerLost, match=f"^worker talker:0 ended with exit code {code}$"):
            await t.recv()
        with pytest.raises(WorkerLost):
            await t.send(1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_killed_worker_is_named_with_its_signal(number: int) -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["print_lines", "one", "two"])
        await t.recv()
        await t.send(["die", number])
        with pytest.raises(WorkerLost, match=signal.Signals(number).name) as caught:
            await t.recv()
        assert (caught.value.signal, caught.value.last_lines) == (number, ("one", "two"))


async def test_a_partial_message_is_never_received() -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send_all(["echo", "before"], ["die_in_mid_message"])
        assert await t.recv() == "before"
        with pytest.raises(WorkerLost, match="SIGKILL"):
            await t.recv()


async def test_a_worker_that_ends_without_reading_everything_delivers_what_it_sent() -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["leave", 0])
        with suppress(EndOfChannel):  # it may be so quick that it is noticed here
            for _ in range(50):
                await t.send(["echo", "x" * 10_000])
        assert await t.recv() == "leaving"
        with pytest.raises(EndOfChannel):
            await t.recv()


@pytest.mark.slow
async def test_a_service_may_ignore_the_end_of_its_channel(tmp_path: Path) -> None:
    text = """
from aioparcs import Service, serve
class Patient(Service):
    async def run(self):
        while True: await self.send(await self.recv())
serve(Patient)
"""
    recorder = EventRecorder()
    async with job(module(tmp_path, "patient", text), recorder=recorder) as runner, runner.start("patient") as t:
        await t.send(1)
        assert await t.recv() == 1
    assert ("ended", "patient", 0, None) in recorder.events
    assert recorder.lines == {}


# serve()


@pytest.mark.parametrize(
    "targets",
    [(), (object,), (Service, Service), (Service, print), ("text",), (print, print), (Service.run, lambda: None, 1)],
)
def test_serve_takes_a_service_or_functions(targets: Any) -> None:
    with pytest.raises(TypeError, match="one subclass of Service, or functions with different names"):
        serve(*targets)


class Plain(Service):
    def run(self) -> None:  # type: ignore[override]  # as the original PARCS has it
        pass


class Yielding(Service):
    async def run(self) -> Any:
        yield 1


class NoService:
    async def run(self) -> None:
        pass


class Directing(Runner):
    pass


@pytest.mark.parametrize(
    "target, message",
    [
        (Plain, r"Plain\.run is a plain function: write async def run\(self\), with await before self\.recv\(\)$"),
        (Plain(), r"Plain\.run is a plain function: write async def run\(self\)"),
        (Yielding, r"Yielding\.run is a generator function, because it contains yield: write async def run\(self\)"),
        (NoService, r"NoService is not a service: class NoService\(Service\)$"),
        (Directing, r"Directing is a runner: run\(Directing\)$"),
        (
            partial(max, 1),
            r"functools\.partial\(.*\) has no name to be called by: define a function, def NAME\(\.\.\.\)",
        ),
        (NoService(), "NoService object at .* is not a function$"),
    ],
)
def test_serve_says_what_to_write_instead(target: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        serve(target)


def test_serve_keeps_functions_of_one_name_apart() -> None:
    with pytest.raises(TypeError, match=r"two are called 'run'; in a decorator, functools\.wraps keeps"):
        serve(Service.run, NoService.run)


INSTANCE = """
from aioparcs import Service, serve
class Counting(Service):
    def __init__(self, first): self.count = first
    async def run(self):
        async for number in self:
            self.count += number
            await self.send(self.count)
serve(Counting(10){})
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", ", fork=False"])
async def test_each_worker_has_its_copy_of_an_instance(tmp_path: Path, options: str) -> None:
    async with job(module(tmp_path, "counting", INSTANCE.format(options))) as runner:
        async with runner.start_many("counting", 2) as tasks:
            for i, t in enumerate(tasks):
                await t.send_all(i, 1)
                assert [await t.recv(), await t.recv()] == [10 + i, 11 + i]


@pytest.mark.slow
def test_a_service_run_alone_explains_itself(tmp_path: Path) -> None:
    text = "from aioparcs import serve\ndef f(): pass\nserve(f)"
    done = execute(module(tmp_path, "lonely", text) / "lonely" / "main.py")
    assert (done.returncode, done.stdout) == (2, "")
    usage = "this is a service: a runner starts it, with runner.start('lonely'); try: aioparcs run RUNNER\n"
    assert done.stderr == usage


@pytest.mark.slow
def test_main_with_an_impossible_setting(tmp_path: Path) -> None:
    text = "from aioparcs import serve\ndef f(): pass\nserve(f)"
    done = execute(module(tmp_path, "lonely", text) / "lonely" / "main.py", PARCS_LIVENESS="soon")
    assert done.returncode == 2
    assert done.stderr == "error: PARCS_LIVENESS='soon' is not a positive number of seconds\n"


async def test_a_service_without_run_says_so(tmp_path: Path) -> None:
    module(tmp_path, "idle", "from aioparcs import Service, serve\nclass Idle(Service): pass\nserve(Idle)")
    async with job(tmp_path) as runner, runner.start("idle") as t:
        with pytest.raises(TypeError, match=r"Idle has no run\(\) method"):
            await t.recv()


SLOW_TO_END = """
import asyncio
from aioparcs import Service, serve
class Slow(Service):
    async def run(self):
        try:
            await self.send("running")
            await asyncio.sleep(60)
        finally:
            print("cleaned up")
serve(Slow)
"""


async def test_sigterm_lets_the_service_clean_up(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "slow", SLOW_TO_END), recorder=recorder, close_timeout=0.2) as runner:
        t = await runner.start("slow")
        assert await t.recv() == "running"
        await t.shutdown()
    assert recorder.lines[0] == ["cleaned up"]
    assert ("stopped", "slow", 0) in recorder.events


async def test_workers_of_a_runner_that_fails_clean_up_and_their_output_is_shown(tmp_path: Path) -> None:
    recorder = EventRecorder()
    with suppress(KeyError):
        async with job(module(tmp_path, "slow", SLOW_TO_END), recorder=recorder) as runner:
            t = await runner.start("slow")
            assert await t.recv() == "running"
            raise KeyError
    assert recorder.lines[0] == ["cleaned up"]
    assert ("stopped", "slow", 0) in recorder.events


async def test_a_worker_that_leaves_before_it_is_killed_has_not_failed() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        t = await runner.start("talker")
        await t.send(["who"])
        _, _, _, pid, _ = await t.recv()
        others = [process for process in family() if process.pid != pid]
        for process in others:
            process.suspend()  # so that the request to kill it comes late
        killing = asyncio.create_task(t.kill())
        await gone([process for process in family() if process.pid == pid])
        for process in others:
            process.resume()
        await killing
    assert ("stopped", "talker", 0) in recorder.events


FRESH = """
import os, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
from aioparcs import serve
def where(): return [os.getpid(), threading.active_count(), sorted(n for n in os.environ if n.startswith("PARCS_"))]
serve(where{})
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [", fork=False", ""])
async def test_modules_with_threads_before_serve_have_fresh_interpreters(tmp_path: Path, options: str) -> None:
    module(tmp_path, "fresh", FRESH.format(options))
    async with job(tmp_path, start_timeout=30) as runner:
        async with runner.start_many("fresh", 2) as tasks:
            (one, threads, variables), (other, _, _) = await asyncio.gather(*(t.call("where") for t in tasks))
            assert one != other
            assert threads >= 2
            assert variables == ["PARCS_JOB", "PARCS_START_TIMEOUT"], (
                "no address and no token is left in the environment"
            )


def test_settings_reach_the_workers() -> None:
    assert Settings.from_env(Settings(start_timeout=30.0).to_env()) == Settings(start_timeout=30.0)


FAILING = """
import asyncio
from aioparcs import ConnectionLost, Service, serve
class Failing(Service):
    async def run(self):
        {work}
serve(Failing)
"""
CANCEL = "asyncio.current_task().cancel(); await self.recv()"


async def test_a_service_that_cancels_itself_fails_with_one_line(tmp_path: Path) -> None:
    async with job(module(tmp_path, "failing", FAILING.format(work=CANCEL))) as runner:
        t = await runner.start("failing")
        with pytest.raises(WorkerLost, match="ended with exit code 1") as lost:
            await t.recv()
    first, where, *_, last = lost.value.last_lines
    assert first == "Traceback (most recent call last):"
    assert where == f'  File "{tmp_path}/failing/main.py", line 6, in run'
    assert last.startswith("error: the service was cancelled by its own code, ")
    assert not [line for line in lost.value.last_lines if "aioparcs/" in line or "asyncio/" in line]


@pytest.mark.slow
@pytest.mark.parametrize("group", [False, True])
async def test_a_lost_connection_is_reported_without_the_systems_traceback(tmp_path: Path, group: bool) -> None:
    work = """
        lost = ConnectionLost("worker 7 is gone")
        lost.__cause__ = ConnectionResetError(104, "reset")
        raise """
    work += "ExceptionGroup('all', [lost])" if group else "ValueError('late') from lost"
    recorder = EventRecorder()
    async with job(module(tmp_path, "failing", FAILING.format(work=work)), recorder=recorder) as runner:
        t = await runner.start("failing")
        with pytest.raises(RemoteError) as failed:
            await t.recv()
    for text in "\n".join(recorder.lines[0]), failed.value.traceback:
        assert "ConnectionLost: worker 7 is gone" in text
        assert "ConnectionResetError" not in text
