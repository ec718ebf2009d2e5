"""An engine for tests: launchers behind any command, such as one that enters a namespace, and over any transport."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from aioparcs import Address, Runner, Settings
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.errors import signal_name
from aioparcs.events import EventBus, LogLines, program_events
from aioparcs.launcher.context import RunnerEndpoint, pass_token
from aioparcs.local.process import Process
from aioparcs.transport import Listener, listen
from tests.support.jobs import ENVIRONMENT, MODULES, EventRecorder

__all__ = ["CommandEngine", "Network", "command_runner"]

_LOOPBACK = Address("tcp", "127.0.0.1", 0)


class CommandEngine:
    """
    Each start is a launcher of its own behind a command.

    Attributes:
        processes: the launchers' processes, by slot.
        folder: where each has a folder of its own, named by its slot, and is sent files; None for that of its module.
    """

    def __init__(self, *command: str, address: Address = _LOOPBACK, modules: Path = MODULES,
                 folder: Path | None = None) -> None:  # fmt: skip
        self.folder = folder
        self.processes: list[Process] = []
        self._command = command
        self._address = address
        self._modules = modules
        self._job: Job

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        return await listen(self._address, on_connect, tls=tls)

    async def open(self, job: Job) -> None:
        self._job = job

    async def default_size(self, spec: WorkerSpec) -> int:
        return 1

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        job, slot, token = self._job, len(self.processes), pass_token(self._job.token)
        module = self._modules / spec.module
        folder = self.folder / str(slot) if self.folder else module
        folder.mkdir(parents=True, exist_ok=True)
        endpoint = RunnerEndpoint(job.address, job.id, slot, job.token, None)
        process = Process(
            [*self._command, sys.executable, str(module / "main.py")],
            folder,
            {**ENVIRONMENT, **job.settings.to_env(), **spec.env, **endpoint.to_env(token)},
            inherit=[token],
            keep=20,
            on_line=lambda line: job.events.publish(LogLines(time.monotonic(), spec.module, ((None, line),))),
        )
        self.processes.append(process)
        needs_files = bool(self.folder and spec.files)
        return WorkerGroup(spec, first, count, (Placement(slot, first, count),), needs_files)

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        (placement,) = group.placements
        code = await asyncio.shield(self.processes[placement.launcher].exited)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        yield LauncherState(placement.launcher, "gone", how, code)

    async def address(self, launcher: int) -> Address:
        raise AssertionError("these launchers dial in")

    def poll_now(self) -> None:
        """Do nothing: the end of a process is noticed at once."""

    async def stop(self, group: WorkerGroup) -> None:
        for placement in group.placements:
            self.processes[placement.launcher].kill()

    async def release(self, group: WorkerGroup) -> None:
        pass

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        return self.processes[launcher].last

    async def aclose(self) -> None:
        await asyncio.gather(*(process.wait(5) for process in self.processes))

    def launcher(self, slot: int = 0) -> psutil.Process:
        """Find the launcher: the process itself, or what it runs as a child."""
        process = psutil.Process(self.processes[slot]._process.pid)
        while process.cmdline()[:1] == list(self._command[:1]):
            (process,) = process.children()
        return process


@asynccontextmanager
async def command_runner(
    *command: str,
    address: Address = _LOOPBACK,
    modules: Path = MODULES,
    recorder: EventRecorder | None = None,
    tls: bool = False,
    folder: Path | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Runner, CommandEngine]]:
    """Enter a runner whose launchers run behind a command."""
    engine = CommandEngine(*command, address=address, modules=modules, folder=folder)
    token = program_events.set(EventBus(recorder or EventRecorder()))
    try:
        runner = Runner(engine=engine, settings=Settings(**settings), tls=tls)
    finally:
        program_events.reset(token)
    async with runner:
        yield runner, engine


class Network:
    """
    A host of its own for a test: a network namespace at the other end of a cable (needs root).

    Attributes:
        address: where this end listens.
        far: the other end's address.
        command: what runs a command there.
    """

    def __init__(self) -> None:
        self._name = f"aioparcs{os.getpid()}"
        self._link = f"ap{os.getpid()}"
        network = f"10.214.{os.getpid() >> 6 & 255}"  # runs side by side have networks of their own
        own = (os.getpid() & 63) * 4 + 1
        self.address, self.far = Address("tcp", f"{network}.{own}", 0), f"{network}.{own + 1}"
        self.command = ("ip", "netns", "exec", self._name)

    def __enter__(self) -> "Network":
        _ip("netns", "add", self._name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "far", "netns", self._name)
        _ip("addr", "add", f"{self.address.host}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        for command in (f"addr add {self.far}/30 dev far", "link set far up", "link set lo up"):
            _ip("-n", self._name, *command.split())
        return self

    def cut(self) -> None:
        """Drop every packet silently, in both directions."""
        drop = ["root", "tbf", "rate", "8bit", "burst", "1", "limit", "1"]
        subprocess.run(["tc", "qdisc", "add", "dev", self._link, *drop], check=True)
        subprocess.run([*self.command, "tc", "qdisc", "add", "dev", "far", *drop], check=True)

    def __exit__(self, *_: object) -> None:
        _ip("link", "del", self._link)
        _ip("netns", "del", self._name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
