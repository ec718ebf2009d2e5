"""The function ``teardown`` of a module: called once in each worker at its clean end, whatever ends it."""

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from aioparcs import RemoteError, StartError
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

PLAIN = """
import os, signal, threading, time
from pathlib import Path
from aioparcs import deadlines, serve
state = {}
def setup(folder, fail=False):
    if fail:
        raise ValueError("not today")
    state["file"] = open(f"{folder}/{os.getpid()}", "w")
    state["thread"] = threading.get_ident()
def work(n):
    return os.getpid()
def linger(path):
    Path(path).touch()
    time.sleep(60)
def teardown():
    Path(state["file"].name + ".begun").touch()
    time.sleep(0.3)  # a kill would come before the end of this
    same = state["thread"] == threading.get_ident()
    state["file"].write(f"torn down in the thread of setup: {same}")
serve(work, setup, linger, teardown)
"""
DONE = "torn down in the thread of setup: True"


def _torn_down(folder: Path) -> dict[int, str]:
    return {int(path.name): path.read_text() for path in folder.iterdir() if path.name.isdecimal()}


async def test_each_worker_of_a_pool_tears_down_at_the_pools_end(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "plain", PLAIN), recorder=recorder) as runner:
        async with runner.pool("plain", 3, setup={"folder": str(tmp_path)}) as pool:
            pids = set(await pool.map(range(300)))
        assert _torn_down(tmp_path).keys() >= pids
        assert list(_torn_down(tmp_path).values()) == [DONE] * 3
    assert recorder.lines == {}


async def test_workers_that_leave_by_resize_tear_down(tmp_path: Path) -> None:
    async with job(module(tmp_path, "plain", PLAIN)) as runner:
        async with runner.pool("plain", 3, setup={"folder": str(tmp_path)}) as pool:
            await pool.resize(2)
            await until(lambda: list(_torn_down(tmp_path).values()).count(DONE) == 1)
            assert await pool.map(range(20))
            await pool.resize(1)  # the end of the pool comes while this one is torn down
            await until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
        assert list(_torn_down(tmp_path).values()) == [DONE] * 3


async def test_a_worker_that_is_killed_does_not_tear_down(tmp_path: Path) -> None:
    async with job(module(tmp_path, "plain", PLAIN)) as runner:
        async with runner.pool("plain", 2, setup={"folder": str(tmp_path)}) as pool:
            pool.submit(str(tmp_path / "busy"), function="linger")
            await until((tmp_path / "busy").exists)
        assert sorted(_torn_down(tmp_path).values()) == ["", DONE]


async def test_a_worker_without_setup_has_nothing_to_tear_down(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "plain", PLAIN), recorder=recorder) as runner:
        async with runner.pool("plain", 1) as pool:
            assert await pool.map(range(3))
        async with runner.start("plain") as t:
            with pytest.raises(RemoteError, match="not today"):
                await t.call("setup", str(tmp_path), fail=True)
        async with runner.start("plain") as t:
            await t.call("setup", str(tmp_path))
        assert list(_torn_down(tmp_path).values()) == [DONE]
    assert recorder.lines == {}


FOUND = """
import os
from pathlib import Path
folder = None
def setup(path):
    global folder
    folder = path
def work(n):
    return os.getpid()
"""
OWN = """
def teardown({parameters}):
    Path(folder, str(os.getpid())).write_text("done")
"""


async def _found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, teardown: str) -> dict[int | None, Any]:
    """Run pools of a function in a module of the program, with `setup` and without; return what workers print."""
    (tmp_path / f"{name}.py").write_text(FOUND + teardown)
    monkeypatch.syspath_prepend(tmp_path)
    work, recorder = import_module(name).work, EventRecorder()
    async with job(recorder=recorder) as runner:
        async with runner.pool(work, 2) as pool:
            await pool.map(range(20))
        async with runner.pool(work, 2, setup={"path": str(tmp_path)}) as pool:
            await pool.map(range(20))
    return recorder.lines


async def test_the_teardown_of_a_program_is_called_where_its_pool_has_called_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = await _found(tmp_path, monkeypatch, "torn_own", OWN.format(parameters=""))
    assert lines == {}
    assert list(_torn_down(tmp_path).values()) == ["done"] * 2


async def test_a_program_without_teardown_has_nothing_to_tear_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _found(tmp_path, monkeypatch, "torn_none", "") == {}


@pytest.mark.parametrize(
    "name, teardown, line",
    [
        (
            "torn_import",
            "from shutil import rmtree as teardown",
            "warning: teardown is not called at this worker's end: teardown is not a function of torn_import",
        ),
        (
            "torn_eager",
            OWN.format(parameters="path"),
            "in teardown(), which this worker has called at its end; nothing else has failed",
        ),
    ],
)
async def test_a_teardown_of_a_program_that_is_not_to_be_called_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, teardown: str, line: str
) -> None:
    lines = await _found(tmp_path, monkeypatch, name, teardown)
    assert [last for *_, last in lines.values()] == [line] * 2


async def test_a_function_of_a_program_may_be_called_teardown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_called.py").write_text("def teardown(n):\n    return -n\n")
    monkeypatch.syspath_prepend(tmp_path)
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        async with runner.pool(import_module("torn_called").teardown, 1) as pool:
            assert await pool.map([1]) == [-1]
    assert recorder.lines == {}


COROUTINE = """
import asyncio
from pathlib import Path
from aioparcs import serve
log = []
async def {setup}():
    log.append("set up")
async def nap():
    Path("begun").touch()
    try:
        await asyncio.sleep(60)
    finally:
        log.append("nap ended")
{wrapper}
async def teardown():
    await asyncio.sleep(0)
    Path("log").write_text(", ".join([*log, "torn down"]))
serve(nap, {setup}, teardown)
"""
WRAPPER = """
import functools
def wrapped(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call
@wrapped
"""


@pytest.mark.parametrize("setup, log", [("setup", "set up, nap ended"), ("prepare", "nap ended")])
@pytest.mark.parametrize("wrapper", ["", WRAPPER], ids=["coroutine function", "wrapped"])
async def test_a_coroutine_function_tears_down_after_the_calls_that_run(
    tmp_path: Path, wrapper: str, setup: str, log: str
) -> None:
    text = COROUTINE.format(setup=setup, wrapper=wrapper)
    async with job(module(tmp_path, "naps", text)) as runner, runner.start("naps") as t:
        if setup == "setup":
            await t.call("setup")
        napping = asyncio.ensure_future(t.call("nap"))
        await until((tmp_path / "naps" / "begun").exists)
        await t.shutdown()
        await asyncio.gather(napping, return_exceptions=True)
    assert (tmp_path / "naps" / "log").read_text() == f"{log}, torn down"


FAILING = """
import sys
from aioparcs import serve
def square(n):
    return n * n
{kind} teardown():
    {end}
serve(square, teardown)
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    "end, last", [("raise KeyError('gone')", "KeyError: 'gone'"), ("sys.exit(3)", "SystemExit: 3")]
)
async def test_its_exception_is_printed_once_and_loses_nothing(tmp_path: Path, kind: str, end: str, last: str) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "failing", FAILING.format(kind=kind, end=end)), recorder=recorder) as runner:
        async with runner.pool("failing", 1) as pool:
            results: list[Any] = await pool.map(range(1000))
    assert results == [n * n for n in range(1000)]
    first, *middle, error, note = recorder.lines.pop(0)
    assert (first, error) == ("Traceback (most recent call last):", last)
    assert note == "in teardown(), which this worker has called at its end; nothing else has failed"
    assert [line.strip() for line in middle if line.endswith(("teardown", end))] == [
        f'File "{tmp_path}/failing/main.py", line 7, in teardown',
        end,
    ]
    assert recorder.lines == {}
    assert ("ended", "failing", 0, None) in recorder.events


ENDLESS = """
import asyncio, time
from aioparcs import deadlines, serve
deadlines.TEARDOWN = 0.1
{text}
serve(teardown)
"""


@pytest.mark.parametrize(
    "text",
    [
        "def teardown(): time.sleep(60)",
        "async def teardown(): await asyncio.sleep(60)",
    ],
)
async def test_its_time_is_limited(tmp_path: Path, text: str) -> None:
    recorder = EventRecorder()
    endless = module(tmp_path, "endless", ENDLESS.format(text=text))
    async with job(endless, recorder=recorder, close_timeout=60.0) as runner, asyncio.timeout(PATIENCE):
        async with runner.start("endless"):
            pass
    assert recorder.lines == {
        0: ["warning: teardown() was not done 0.1 s after the runner had ended this worker, and ends with it"]
    }


async def test_a_teardown_that_takes_arguments_is_refused(tmp_path: Path) -> None:
    text = "from aioparcs import serve\ndef teardown(path): pass\nserve(teardown)"
    async with job(module(tmp_path, "eager", text)) as runner:
        with pytest.raises(StartError) as caught:
            await runner.start("eager")
    assert caught.value.last_lines[-1].endswith("teardown is called at the end of each worker, and takes no arguments")
