"""A service of functions: its calls, their order, their ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aioparcs import EncodeError, EndOfChannel, RemoteError, Runner, Task
from aioparcs.channel import read_results
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop


class Posted:
    """A call to post."""

    kwargs: Mapping[str, Any] = {}
    call_id = -1

    def __init__(self, function: str, args: Sequence[Any]) -> None:
        self.function = function
        self.args = args


@pytest.fixture(scope="module")
async def runner() -> AsyncIterator[Runner]:
    """Yield a runner whose launcher has loaded the module: a start for each test is only a fork."""
    async with job() as runner:
        async with runner.start("functions"):
            pass
        yield runner


@pytest.fixture
async def t(runner: Runner) -> AsyncIterator[Task]:
    async with runner.start("functions") as t:
        yield t


async def test_calls_with_positional_and_keyword_arguments(t: Task) -> None:
    assert await t.call("add", 1) == 2
    assert await t.call("add", "a", b="b") == "ab"
    assert await t.call("add", b=[2], a=[1]) == [1, 2]
    assert await asyncio.gather(*(t.call("add", i) for i in range(200))) == list(range(1, 201))


async def test_the_channel_stays_alive_while_a_plain_function_computes(t: Task, tmp_path: Path) -> None:
    go = tmp_path / "go"
    computing = asyncio.ensure_future(t.call("wait_for", str(go)))
    queued = asyncio.ensure_future(t.call("add", 1))
    assert await t.call("wait_coroutine", 0.01) == 0.01
    assert not computing.done()
    assert not queued.done(), "plain functions run one at a time"
    await t.call("touch", str(go))
    assert await computing != "MainThread"
    assert await queued == 2


@pytest.mark.slow
async def test_coroutine_functions_run_at_once(t: Task) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.gather(*(t.call("wait_coroutine", 0.5) for _ in range(100)))
    assert loop.time() - begun < PATIENCE


async def test_cancelling_a_running_coroutine_call_cancels_it_there(t: Task, tmp_path: Path) -> None:
    started, cancelled = tmp_path / "started", tmp_path / "cancelled"
    call = asyncio.ensure_future(t.call("touch_if_cancelled", str(started), str(cancelled)))
    await until(started.exists)
    call.cancel()
    await until(cancelled.exists)
    assert call.cancelled()
    assert await t.call("add", 1) == 2


async def test_a_queued_call_that_is_cancelled_is_never_made(t: Task, tmp_path: Path) -> None:
    go = tmp_path / "go"
    computing = asyncio.ensure_future(t.call("wait_for", str(go)))
    queued = asyncio.ensure_future(t.call("print_text", "never"))
    assert await t.call("wait_coroutine", 0) == 0  # both of the others have arrived there
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    await t.call("touch", str(go))
    await computing
    assert await t.call("add", 1) == 2


async def test_a_call_whose_cancellation_overtakes_it_is_never_made(tmp_path: Path) -> None:
    recorder, started, go = EventRecorder(), tmp_path / "started", tmp_path / "go"
    async with job(recorder=recorder) as runner, runner.start("functions") as t:
        blocking = asyncio.ensure_future(t.call("block_loop", str(started), str(go)))
        await until(started.exists)  # its loop stands still: what is sent now arrives there at once, later
        unwanted = asyncio.ensure_future(t.call("print_text", "unwanted"))
        await asyncio.wait([unwanted], timeout=0.01)
        unwanted.cancel()
        await asyncio.wait([unwanted])
        await until(lambda: not t.statistics().bytes_unsent)
        go.touch()
        await blocking
        await t.call("print_text", "last")
    assert recorder.lines[0] == ["last"]


async def test_an_unknown_function_lists_those_that_there_are(t: Task) -> None:
    with pytest.raises(
        LookupError, match="no function 'nope' is served here; there are: add, pid, wait_for, block_loop, "
    ):
        await t.call("nope")


async def test_an_unknown_function_of_a_pool_is_a_lookup_error(t: Task) -> None:
    coroutines = await t.call("aioparcs.concurrency", 1, "add")  # those alone of which several may run at once
    assert "add" not in coroutines
    names = await t.call("aioparcs.concurrency", 1, "add", 0, True)
    assert names["coroutines"] == coroutines
    assert {"add", *coroutines} <= {*names["functions"]}
    unknown: list[Any] = ["nope", [], {"a": []}]
    for nothing in unknown:
        with pytest.raises(LookupError, match=r"no function .* is served here; there are: add, ") as caught:
            await t.call("aioparcs.concurrency", 1, nothing)
        assert isinstance(caught.value, RemoteError)
        assert caught.value.type == "aioparcs.NoFunction"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, builtin",
    [("KeyError", KeyError), ("ValueError", ValueError), ("StopIteration", RemoteError), ("SystemExit", RemoteError)],
)
@pytest.mark.parametrize("name", ["fail", "fail_coroutine"])
async def test_an_exception_of_a_function_is_raised_by_its_call(
    t: Task, name: str, kind: str, builtin: type[Exception]
) -> None:
    with pytest.raises(builtin) as caught:
        await t.call(name, kind, "why")
    assert isinstance(caught.value, RemoteError)
    assert caught.value.worker == t.name
    assert kind in caught.value.traceback
    assert "why" in caught.value.traceback
    assert "aioparcs/service" not in caught.value.traceback
    assert await t.call("add", 1) == 2


@pytest.mark.slow
async def test_a_function_that_cancels_itself_is_answered(t: Task) -> None:
    with pytest.raises(RemoteError, match="CancelledError"):
        await asyncio.wait_for(t.call("cancel_itself"), 10)
    assert await t.call("add", 1) == 2


async def test_wrong_arguments_are_the_callers_error(t: Task) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        await t.call("add")


async def test_values_that_have_no_form_on_the_wire(t: Task) -> None:
    with pytest.raises(EncodeError, match="object cannot be sent"):
        await t.call("add", object())
    with pytest.raises(RemoteError) as caught:
        await t.call("unserialisable")
    assert isinstance(caught.value, TypeError)
    assert caught.value.message.startswith("the result of unserialisable can't be sent: result[1]: object cannot")
    with pytest.raises(
        RemoteError, match=r"the result of unserialisable_later can't be sent: result\[0\]\.a: object cannot be sent; "
    ):
        await t.call("unserialisable_later")
    assert await t.call("add", 1) == 2


@pytest.mark.slow
async def test_a_message_to_a_service_of_functions_is_an_error_that_says_what_to_do(runner: Runner) -> None:
    async with runner.start("functions") as t:
        await t.send("hello")
        with pytest.raises(RemoteError, match=r"use call\(\) instead of send\(\)"):
            await t.recv()


@pytest.mark.slow
async def test_calls_that_wait_when_the_worker_dies_fail(runner: Runner) -> None:
    t = await runner.start("functions")
    calls = [asyncio.ensure_future(t.call("wait_coroutine", 60)) for _ in range(3)]
    await t.call("add", 1)
    await t.kill()
    errors: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error).__name__ for error in errors} <= {"ChannelClosed", "WorkerLost"}


async def test_leaving_while_a_function_computes_kills_it(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder, close_timeout=0.2) as runner, runner.start("functions") as t:
        call = asyncio.ensure_future(t.call("wait_for", str(tmp_path / "never")))
        assert await t.call("wait_coroutine", 0) == 0
    await asyncio.wait([call])
    assert call.exception() is not None
    happened = [event[0] for event in recorder.events]
    assert [one for one in happened if one != "waiting"] == ["started", "connected", "ended"]  # a slow start is told


KINDS = """
import functools
from aioparcs import serve
class Box:
    def method(self): return "method"
async def later(): return "later"
serve(Box().method, later, len, lambda: 1)
"""


WRAPPED = """
import asyncio, functools, threading
from aioparcs import serve
def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
def bare(function):
    return lambda *args: function(*args)
def sync(function):
    @functools.wraps(function)
    def wrapper(*args):
        return asyncio.run(function(*args))
    return wrapper
@decorated
async def double(n): return 2 * n, threading.current_thread() is threading.main_thread()
@decorated
async def meet(n):
    global met
    met = asyncio.Barrier(n) if met is None else met
    await met.wait()
@decorated
async def fail(kind): raise kind_of(kind)
def kind_of(kind): return {"KeyError": KeyError, "StopIteration": StopIteration}[kind]("why")
@decorated
async def sleep(path):
    try:
        open(path, "w").close()
        await asyncio.sleep(60)
    finally:
        open(path + ".cancelled", "w").close()
@functools.cache
async def cached(n): return n
@sync
async def made_sync(n): await asyncio.sleep(0); return n
met = None
def returns_coroutine(n): return bare(double.__wrapped__)(n)
def returns_failing(kind): return fail.__wrapped__(kind)
serve(double, meet, fail, sleep, cached, made_sync, returns_coroutine, returns_failing)
"""


@pytest.fixture
async def wrapped(tmp_path: Path) -> AsyncIterator[Task]:
    async with job(module(tmp_path, "wrapped", WRAPPED)) as runner, runner.start("wrapped") as t:
        yield t


async def test_coroutine_functions_behind_plain_decorators_are_awaited(wrapped: Task) -> None:
    assert await wrapped.call("double", 4) == (8, True)
    assert await wrapped.call("cached", 4) == 4
    assert await wrapped.call("made_sync", 4) == 4
    assert await wrapped.call("returns_coroutine", 4) == (8, True)
    await asyncio.gather(*(wrapped.call("meet", 20) for _ in range(20)))  # any number at once
    for name in ("fail", "returns_failing"):
        for kind, builtin in (("KeyError", KeyError), ("StopIteration", RuntimeError)):
            with pytest.raises(builtin, match="why") as caught:
                await wrapped.call(name, kind)
            assert "aioparcs/service" not in caught.value.traceback  # type: ignore[attr-defined]  # a RemoteError


async def test_a_decorated_coroutine_function_is_cancelled_with_its_call(wrapped: Task, tmp_path: Path) -> None:
    path = tmp_path / "started"
    call = asyncio.ensure_future(wrapped.call("sleep", str(path)))
    await until(path.exists)
    call.cancel()
    await until((tmp_path / "started.cancelled").exists)
    assert await wrapped.call("double", 1) == (2, True)


async def test_a_pool_runs_decorated_coroutine_functions_at_once(tmp_path: Path) -> None:
    async with job(module(tmp_path, "wrapped", WRAPPED)) as runner:
        async with runner.pool("wrapped", 1, concurrency=3) as pool:
            await pool.map([3] * 6, function="meet")


@pytest.mark.slow
async def test_methods_and_builtins_are_functions_too(tmp_path: Path) -> None:
    async with job(module(tmp_path, "kinds", KINDS)) as runner, runner.start("kinds") as t:
        assert await t.call("method") == "method"
        assert await t.call("later") == "later"
        assert await t.call("len", [1, 2]) == 2
        assert await t.call("<lambda>") == 1
        await t.send_eof()
        with pytest.raises(EndOfChannel):
            await t.recv()


async def test_calls_that_were_returned_are_answered_before_a_later_one_can_kill_the_worker() -> None:
    results: list[int] = []
    async with job() as runner:
        t = await runner.start("crunch")
        client = t.handle.channel.calls
        assert await t.call("square", 3) == 9
        client.set_result_handler(lambda frames: results.extend(call_id for call_id, _, _ in read_results(frames)))
        for call_id in range(100, 120):
            client.revoke(call_id)  # as if these calls were on their way: they are returned at once
        client.post_calls([Posted("die_at", (1, 1))])
        await t.handle.wait_exited()
    assert results == list(range(100, 120))
