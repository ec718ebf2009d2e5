"""Running jobs in tests: where their modules are, subscribers that remember, programs in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from aioparcs import Runner, Settings
from aioparcs.engine import Engine
from aioparcs.events import (
    Event,
    EventBus,
    LogLines,
    Notice,
    PoolProgress,
    Subscriber,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
    program_events,
)
from tests.support.forked import is_fork_server
from tests.support.waiting import PATIENCE, until

__all__ = [
    "ENVIRONMENT",
    "MODULES",
    "EventRecorder",
    "children",
    "execute",
    "family",
    "gone",
    "job",
    "left",
    "live",
    "module",
    "program",
]

MODULES = Path(__file__).parents[1] / "modules"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PARCS_", "LEADER_"))}


class EventRecorder:
    """
    A subscriber that remembers.

    Attributes:
        events: ``(what, module, ...)`` in order.
        lines: what workers, or their launchers (None), printed, by worker.
        notes: the notes.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.lines: dict[int | None, list[str]] = {}
        self.notes: list[str] = []

    def __call__(self, event: Event) -> None:
        match event:
            case WorkersRequested():
                self.events.append(("started", event.module, event.workers))
            case WorkersPlaced():
                self.events.append(("placed", event.module, event.workers, event.node))
            case WorkersWaiting():
                self.events.append(("waiting", event.module, event.workers, event.reason))
            case WorkerConnected():
                self.events.append(("connected", event.module, event.worker))
            case WorkerExited():
                self.events.append(("ended", event.module, event.worker, event.error))
            case WorkerStopped():
                self.events.append(("stopped", event.module, event.worker))
            case WorkerProgress():
                self.events.append(("progress", event.module, event.worker, event.done, event.total))
            case PoolProgress():
                self.events.append(("pooled", event.state))
            case LogLines():
                for worker, line in event.lines:
                    self.lines.setdefault(worker, []).append(line)
            case Notice():
                self.notes.append(event.text)


@asynccontextmanager
async def job(
    *modules: Path,
    recorder: Subscriber | None = None,
    calls: Subscriber | None = None,
    tls: bool = False,
    engine: Engine | None = None,
    **settings: Any,
) -> AsyncIterator[Runner]:
    """Enter a runner with the modules of the tests, or those in some folders, settings, and a recorder of calls."""
    events = EventBus(recorder or EventRecorder())
    if calls:
        events.subscribe(calls, calls=True)
    token = program_events.set(events)
    try:
        runner = Runner(modules=modules or [MODULES], settings=Settings(**settings), tls=tls, engine=engine)
    finally:
        program_events.reset(token)
    async with runner:
        yield runner


def module(folder: Path, name: str, text: str) -> Path:
    """Write a module; returns the folder that holds modules."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "main.py").write_text(text)
    return folder


def execute(main: Path | str, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, through pipes."""
    command = [sys.executable, str(main)] if isinstance(main, Path) else [sys.executable, "-c", main]
    return subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT | {"PARCS_MODULES": str(MODULES)} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def program(text: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the text of a runner's main.py; kills it, if it still runs, on leaving."""
    with subprocess.Popen(
        [sys.executable, "-c", text],
        env=ENVIRONMENT | {"PARCS_MODULES": str(MODULES)} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def family(pid: int | None = None) -> list[psutil.Process]:
    """Find the processes that descend from one, this one by default."""
    return [process for process in psutil.Process(pid).children(recursive=True) if not is_fork_server(process.pid)]


def children() -> list[psutil.Process]:
    """Find the children of this process."""
    return [process for process in family() if process.ppid() == os.getpid()]


def live(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Find those that still run."""
    return [process for process in processes if _lives(process)]


def left(processes: list[psutil.Process], timeout: float = PATIENCE) -> list[psutil.Process]:
    """Find those that still run after some seconds."""
    deadline = time.monotonic() + timeout
    while (running := live(processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return running


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(processes: list[psutil.Process], timeout: float = PATIENCE) -> None:
    """Wait for processes to end, or fail."""
    await until(lambda: not live(processes), timeout)
