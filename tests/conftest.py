"""Strictness for every test: both event loops, and nothing left behind.

An `async def` test of channels runs once on uvloop and once on asyncio's own loop in debug mode. One of the rooms
above them runs on one of the two, chosen by its name, and with ``TEST_DEEP=1`` on both: its workers are processes,
which take most of the time of all tests. A test that leaves a task, a descriptor or a child process, or lets the loop
report an error that was not handled, fails in its teardown.
"""

import asyncio
import gc
import importlib.util
import os
import secrets
import signal
import socket
import time
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import pytest

from aioparcs.codec.types import named, registered
from aioparcs.shared import keep_spare, own_probe
from tests.support.deep import IS_DEEP
from tests.support.forked import ForkServer, can_fork
from tests.support.leaks import SESSION, Snapshot, descendants, tasks_left
from tests.support.live import hide_swarm
from tests.support.scheduling import ClusterScheduling

_HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
_LOOPS = [pytest.param(("asyncio", {"use_uvloop": False, "debug": True}), id="asyncio")]
if _HAS_UVLOOP:
    _LOOPS.insert(0, pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))
_ONE_LOOP = [pytest.param(("asyncio", {"use_uvloop": _HAS_UVLOOP}), id="one loop")]
# Rooms whose own code deals with the event loop: transports and connections.
_EACH_ON_BOTH = ("tests/channel/", "tests/wire/", "tests/support/", "tests/test_")

# Rooms whose tests have other subjects than the start of an interpreter: that of their programs is a fork.
_FORKED = tuple(
    f"tests/{room}"
    for room in ("cli/", "collectives/", "display/", "executor/", "exits/", "launcher/test_files", "launcher/test_gpus",
                 "launcher/test_output", "local/test_threads", "monitor/", "pool/", "program/",
                 "recording/", "runner/", "service/", "shared/test_processes", "telemetry/", "top/", "web/")
)  # fmt: skip

_OUTLIVING = pytest.StashKey[list[str]]()
_END_OF_ORPHANS = 2.0  # seconds a process that lost its parent may take to end after the last test


hide_swarm()
# The histories of programs that tests run are not the user's own.
_STATE = TemporaryDirectory(prefix="aioparcs-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-loop", action="store_true", help="run each async test on one event loop")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "anyio_backend" in metafunc.fixturenames:
        metafunc.parametrize("anyio_backend", _loops(metafunc), indirect=True, scope="module")


def _loops(metafunc: pytest.Metafunc) -> list[Any]:
    """Return the event loops that a test runs on."""
    if metafunc.config.getoption("one_loop") or metafunc.definition.get_closest_marker("one_loop"):
        return _ONE_LOOP
    name = metafunc.definition.nodeid
    if IS_DEEP or name.startswith(_EACH_ON_BOTH):
        return _LOOPS
    return [_LOOPS[crc32(name.encode()) % len(_LOOPS)]]


@pytest.fixture(scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Return the event loop that anyio's plugin runs the test on."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def _keeps_two_descriptors() -> None:
    """Open what every process that shares memory keeps open: a test that does is not to blame for it."""
    own_probe()
    keep_spare()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Yield the process that forks programs."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _forks_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fork the programs of a test: half the time of a start from nothing."""
    if request.node.nodeid.startswith(_FORKED) and can_fork() and not request.node.get_closest_marker("fresh"):
        with request.getfixturevalue("fork_server").serving():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def _leaves_nothing(_forks_programs: None) -> Iterator[list[str]]:
    problems: list[str] = []
    before = Snapshot.take()
    yield problems
    gc.collect()  # what only the collector closes was leaked all the same: its ResourceWarning is an error
    gc.freeze()  # what is still there, such as a library that the test has imported, is not looked through again
    problems += before.leaks()
    if problems:
        pytest.fail("the test left behind:\n  " + "\n  ".join(problems), pytrace=False)


@pytest.fixture(autouse=True)
def _ends_its_tasks(request: pytest.FixtureRequest, _leaves_nothing: list[str]) -> None:
    # Set up before and torn down after every other fixture of the test, but inside its loop, which
    # silently cancels whatever still runs when it is closed. A test without a loop gets none.
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("_watched_loop")


@pytest.fixture(autouse=True)
def _forgets_its_types() -> Iterator[None]:
    """Remove the types that a test registers: they belong to the process."""
    tables: tuple[dict[Any, Any], ...] = (named, registered)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


@pytest.fixture
def original_port() -> Iterator[None]:
    """Hold port 4444, on which services of the original PARCS listen: other tests on this machine wait for it."""
    with socket.socket(socket.AF_UNIX) as lock:
        deadline = time.monotonic() + 100
        while True:
            try:
                lock.bind("\0aioparcs-tests-of-port-4444")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield


@pytest.fixture
async def _watched_loop(_leaves_nothing: list[str]) -> AsyncIterator[None]:
    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trace = "".join(traceback.format_exception(error)) if error else repr(context)
        _leaves_nothing.append(f"an error that was not handled: {context['message']}\n{trace}")

    asyncio.get_running_loop().set_exception_handler(note)
    before = asyncio.all_tasks()
    yield
    _leaves_nothing += tasks_left(before)
    # The loop is closed next, in this same phase, for which pytest keeps the warnings' state and restores it.
    warnings.showwarning = lambda message, *_: _leaves_nothing.append(str(message))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        report.outcome, report.longrepr = "failed", f"{report.longrepr[2]} (with CI=true this is a failure)"
    return report


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ClusterScheduling:
    return ClusterScheduling(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_OUTLIVING] = []
    # A shell that runs something in the background has it ignore Ctrl-C, and so would all programs of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ[SESSION] = secrets.token_hex(8)
    if _HAS_UVLOOP:
        import uvloop

        uvloop.new_event_loop().close()  # opens libuv's pipes, which stay open for the life of the process


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    gc.disable()  # it would look again and again through tests that all stay
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    # A collection after each test then walks what the test made, not all that was ever imported.
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ())
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} tests were not run: {reason}", yellow=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    alive = descendants(os.environ[SESSION], _END_OF_ORPHANS)
    _STATE.cleanup()
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # a process of pytest-xdist's: the one that shares the tests out reports it
        output[SESSION] = alive
        return
    of_processes = session.config.stash[_OUTLIVING]
    alive = [*alive, *of_processes]
    if alive:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("\nprocesses outlive the tests:\n  " + "\n  ".join(alive), red=True)


def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_OUTLIVING].extend(getattr(node, "workeroutput", {}).get(SESSION, ()))
